"""Finding inputs: files, folders, objects and .zip archives, in one fixed order, each opened as a seekable file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO, Final

from builder.ahead import map_ahead
from builder.errors import InputError, UsageError
from builder.folders import Walk
from builder.members import SPOOL_BYTES, archive_of, list_members, looks_like_archive, unpack_member
from builder.model import MAX_UNPACKED, InputRef, Rejected, S3Object, Skipped
from builder.s3_client import PARALLEL, SCHEME, S3Settings
from builder.s3_file import open_object
from builder.s3_source import check_location, list_objects, read_object, read_range

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
                yield InputRef(file)  # a broken link: reading it tells so in the report
                continue
            first = self._seen.get((status.st_dev, status.st_ino))
            if first is not None:
                if first != file:
                    yield Skipped(file, f"the same file as {first}")
                continue
            self._seen[status.st_dev, status.st_ino] = file
            if stat.S_ISDIR(status.st_mode):
                yield InputRef(file)  # it could not be listed; the report says so
            elif not stat.S_ISREG(status.st_mode):
                yield Skipped(file, "a pipe, a socket or a device")  # opening one could wait for ever
            else:
                source = InputRef(file, size=status.st_size)
                if _named_archive(file) and looks_like_archive(source):
                    yield from list_members(source, self._max_unpacked)
                else:
                    yield source


def _named_archive(path: str) -> bool:
    return path.lower().endswith(".zip")


def _iter_remote(objects: Iterable[S3Object], max_unpacked: int) -> Iterator[Found]:
    """Objects and the members of archives among them, in order; several archives are listed at once."""

    def found(item: S3Object) -> list[InputRef | Rejected]:
        source = InputRef(str(item), size=item.size, remote=item)
        return _members(source, max_unpacked) if _named_archive(item.key) else [source]

    for several in map_ahead(found, objects, PARALLEL, lambda item: _named_archive(item.key)):
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


def read_head(source: InputRef, size: int) -> bytes:
    """The first `size` bytes of an input, or all of a shorter one; of an archive member no more is unpacked.

    Raises:
        InputError: if it cannot be opened or unpacked.
        OSError: if it cannot be read.
        StoreError: if its store fails.
    """
    if source.remote is not None and not source.member:
        return read_range(source.remote, 0, min(size, source.size))
    if not source.member:
        with open_input(source) as file:
            return file.read(size)
    head = b""
    archive = archive_of(source)
    for block in archive.unpack(archive.members[source.places[-1]]):
        head += block
        if len(head) >= size:
            break
    return head[:size]


def open_input(source: InputRef) -> BinaryIO:
    """Open an input for reading and seeking.

    Reading an object raises `InputError` if it is not the one that was found any more, `StoreError` if its store fails.

    Raises:
        InputError: if it cannot be opened or unpacked.
        StoreError: if its store fails.
    """
    if source.member:
        return unpack_member(archive_of(source), source.places[-1])
    if source.remote is not None:
        return open_object(source.remote)
    try:
        return Path(source.path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None  # its text would name the file again
        raise InputError(f"cannot be opened: {reason or error}") from error


def open_to_end(source: InputRef) -> BinaryIO:
    """As `open_input`, to be read once to its end: an object that is not large comes with one request.

    Raises:
        InputError: if it cannot be opened or unpacked.
        StoreError: if its store fails.
    """
    return open_input(source) if source.remote is None else load_input(source)


def digest_of(file: BinaryIO) -> str:
    """Digest of an input's bytes; the file is left at its end."""
    file.seek(0)
    buffer = memoryview(bytearray(_DIGEST_BYTES))
    digest = hashlib.sha256()
    while count := file.readinto(buffer):  # type: ignore[attr-defined]  # every file opened here has it
        digest.update(buffer[:count])
    return f"sha256:{digest.hexdigest()}"


def source_digest(source: InputRef) -> str:
    """Digest of an input's bytes; empty if it cannot be read: whoever makes its objects says why.

    Raises:
        StoreError: if the store of the input fails.
    """
    try:
        with open_to_end(source) as file:
            return digest_of(file)
    except (InputError, OSError):
        return ""


def file_state(file: BinaryIO) -> tuple[int, ...]:
    """What changes when the file of an open input is written to.

    Nothing for an input in memory or unpacked; nor for an object, every range of which comes of the same version.
    """
    if not isinstance(file, BufferedReader) or not isinstance(file.raw, FileIO):
        return ()
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class LoadedInput(BytesIO):
    """An input in memory. Frames may be views of it that outlive its use, so closing it does nothing."""

    def close(self) -> None:
        """Leave the memory to the last view of it."""


def load_input(source: InputRef) -> BinaryIO:
    """As `open_input`; an input of at most `SPOOL_BYTES` is held in memory.

    It is read once then, however often it is gone through, and stays the same if the file is changed meanwhile.

    Raises:
        InputError: if it cannot be opened or unpacked.
        OSError: if it cannot be read.
        StoreError: if its store fails.
    """
    if source.member or source.size > SPOOL_BYTES:
        return open_input(source)
    if source.remote is not None:
        return LoadedInput(read_object(source.remote))
    with open_input(source) as file:
        data = file.read(source.size + 1)
    return LoadedInput(data) if len(data) <= source.size else open_input(source)  # it grew since it was found
