"""Finding inputs: files, folders, objects and members of .zip archives, in one fixed order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stillframe.errors import InputError, UsageError
from stillframe.options import MAX_UNPACKED
from stillframe.parallel import map_ahead
from stillframe.source.folders import Walk
from stillframe.source.inputs import InputRef, Rejected, S3Object, Skipped
from stillframe.source.s3_objects import check_location, list_objects
from stillframe.source.zip_members import list_members, looks_like_archive
from stillframe.store.s3_client import PARALLEL, SCHEME, S3Settings

type Found = InputRef | Rejected | Skipped

_NO_SETTINGS = S3Settings()
_DIGEST_BYTES: Final = 1 << 16


def check_sources(sources: Iterable[str], s3: S3Settings = _NO_SETTINGS) -> None:
    """See that there is something at every source; `s3` says how `s3://` locations are reached.

    Raises:
        UsageError: if one does not exist.
        StoreError: if a store does not tell.
    """
    for source in sources:
        if source.startswith(SCHEME):
            check_location(source, s3)
            continue
        path = Path(source)
        if not source or not (path.is_file() or path.is_dir()):
            raise UsageError(f"no such file or folder: {source or repr(source)}")


def iter_inputs(
    sources: Iterable[str], destination: str = "", max_unpacked: int = MAX_UNPACKED, s3: S3Settings = _NO_SETTINGS
) -> Iterator[Found]:
    """Every file below the sources, folders, prefixes and archives in sorted order, each file and object once.

    Another name or link of a file or folder found already, and a link into `destination`, are passed over. Archives
    that cannot be read, and what would unpack to more than it may, are rejected.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if a store of sources fails.
    """
    sources = list(sources)
    check_sources(sources, s3)
    files = _Files(Walk(destination), max_unpacked)
    objects: set[str] = set()
    for source in sources:
        if source.startswith(SCHEME):
            found = [item for item in list_objects(source, s3) if str(item) not in objects]
            objects.update(map(str, found))
            yield from _iter_remote(found, max_unpacked)
        else:
            yield from files.found(Path(source))


class _Files:
    """Finds files, each once, whatever its names."""

    def __init__(self, walk: Walk, max_unpacked: int) -> None:
        self._walk = walk
        self._max_unpacked = max_unpacked
        self._seen: dict[tuple[int, int], str] = {}

    def found(self, path: Path) -> Iterator[Found]:
        """What there is at or below a path."""
        for file in self._walk.files(path):
            if isinstance(file, Skipped):
                yield file
                continue
            try:
                status = os.stat(file)  # noqa: PTH116  (a hot loop over millions of files)
            except OSError:
                yield InputRef(path=file)  # a broken link: reading it tells so in the report
                continue
            first = self._seen.get((status.st_dev, status.st_ino))
            if first is not None:
                if first != file:
                    yield Skipped(file, f"the same file as {first}")
                continue
            self._seen[status.st_dev, status.st_ino] = file
            if stat.S_ISDIR(status.st_mode):
                yield InputRef(path=file)  # it could not be listed; the report says so
            elif not stat.S_ISREG(status.st_mode):
                yield Skipped(file, "a pipe, a socket or a device")  # opening one could wait for ever
            else:
                source = InputRef(path=file, size=status.st_size)
                if _named_archive(file) and looks_like_archive(source):
                    yield from list_members(source, self._max_unpacked)
                else:
                    yield source


def _named_archive(path: str) -> bool:
    return path.lower().endswith(".zip")


def _iter_remote(objects: Iterable[S3Object], max_unpacked: int) -> Iterator[Found]:
    """Objects and the members of archives among them, in order; several archives are listed at once."""

    def inputs(remote: S3Object) -> list[InputRef | Rejected]:
        source = InputRef(path=str(remote), size=remote.size, remote=remote)
        return _members(source, max_unpacked) if _named_archive(remote.key) else [source]

    for several in map_ahead(
        inputs, objects, PARALLEL, window=2 * PARALLEL, apart=lambda remote: _named_archive(remote.key)
    ):
        yield from several


def _members(source: InputRef, max_unpacked: int) -> list[InputRef | Rejected]:
    """The members of an object that is named as an archive; itself if it is none, since a scan tells what it is."""
    found = list_members(source, max_unpacked)
    match found:
        case [Rejected(path=path)] if path == str(source):
            try:
                return found if looks_like_archive(source) else [source]
            except InputError:
                return found
    return found
