"""Finds inputs in one fixed order: files, folders, objects, and members of .zip archives."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

from stillframe.errors import InputError, NotFound, Refused, UsageError, blame_machine
from stillframe.options import MAX_UNPACKED
from stillframe.parallel import map_ahead
from stillframe.source.changes import let_settle, state_of
from stillframe.source.folders import Walk
from stillframe.source.inputs import Elsewhere, InputRef, Item, Rejected, S3Object, Skipped
from stillframe.source.manifest import NO_COLUMN, Listed, is_like_header
from stillframe.source.met import Met
from stillframe.source.nested_archives import NestedArchives
from stillframe.source.s3_objects import check_location, is_of_one_line, iter_objects
from stillframe.source.zip_inputs import list_members, looks_like_archive
from stillframe.store.s3_client import PARALLEL, SCHEME, S3Settings, check_place

type Line = Listed | Rejected | Elsewhere
"""What a line of a manifest comes to before anything is looked for."""

_NO_SETTINGS = S3Settings()
_NO_FILE: Final = "no such file or folder"
_UNPACKED_HERE: Final = (
    "its archive is packed within another one, and unpacked on this machine alone: unpack the outer archive, or build "
    "it without --scheduler"
)
# Objects that are listed for a line of a manifest before its turn comes: what one request brings.
_OF_A_LINE_AHEAD: Final = 1000


def check_sources(sources: Iterable[str], s3: S3Settings = _NO_SETTINGS) -> None:
    """Check that every source exists; `s3` says how `s3://` locations are reached.

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


def seen_elsewhere(item: Item) -> Item:
    """What was found, or its rejection if workers on other machines cannot open it."""
    if isinstance(item, InputRef) and item.nested is not None and item.nested.path:
        return Rejected.of(item, _UNPACKED_HERE)
    return item


def iter_inputs(
    sources: Iterable[str],
    destination: str = "",
    max_unpacked: int = MAX_UNPACKED,
    s3: S3Settings = _NO_SETTINGS,
    settle: float = 0.0,
    lines: Iterable[Line] = (),
) -> Iterator[Item]:
    """Every file below the sources, folders, prefixes and archives in sorted order, each file and object once.

    Another name or link of a file or folder that came before is passed over, as is a link into `destination`. Archives
    that cannot be read are rejected, and so are members that would unpack to more than `max_unpacked` bytes. Files that
    were written less than `settle` seconds ago are given that time to become whole.

    What the `lines` of manifests name comes after the sources. A line that names nothing is rejected. A file or an
    object counts as another where another study is given for it.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if a store of sources fails.
    """
    sources = list(sources)
    check_sources(sources, s3)
    nested = NestedArchives()

    def expand(item: Item) -> Sequence[Item]:
        return _expand(item, max_unpacked, nested) if isinstance(item, InputRef) and _named_archive(item) else [item]

    def is_far(item: Item) -> bool:
        return isinstance(item, InputRef) and item.remote is not None and _named_archive(item)

    items = let_settle(_iter_items(sources, destination, s3, lines), settle)
    for several in map_ahead(expand, items, PARALLEL, window=2 * PARALLEL, apart=is_far):
        yield from several


def _iter_items(sources: Iterable[str], destination: str, s3: S3Settings, lines: Iterable[Line]) -> Iterator[Item]:
    """Files and objects, archives among them as one."""

    def list_line(line: Line) -> tuple[Line, Iterable[S3Object] | Rejected | None]:
        return line, _list_line(line, s3) if isinstance(line, Listed) else None

    with closing(Met()) as met:
        search = _Search(destination, met)
        for source in sources:
            if source.startswith(SCHEME):
                yield from search.of_objects(iter_objects(source, s3))
            else:
                yield from search.of_path(Path(source))
        with closing(map_ahead(list_line, lines, PARALLEL, window=2 * PARALLEL, apart=_is_far)) as listed:
            for line, objects in listed:
                if not isinstance(line, Listed):
                    yield line
                elif isinstance(objects, Rejected):
                    yield objects
                elif objects is not None:
                    yield from search.of_objects(objects, line.study)
                else:
                    yield from search.of_path(Path(line.location), line.study)


def _is_far(line: Line) -> bool:
    return isinstance(line, Listed) and line.location.startswith(SCHEME)


def _list_line(line: Listed, s3: S3Settings) -> Iterable[S3Object] | Rejected | None:
    """The objects that a line names, None for a path, or why it names nothing. Only the first of them are there yet."""
    location = line.location

    def reject(reason: object) -> Rejected:
        return Rejected(path=line.line, reason=str(reason), study=line.study)

    try:
        check_place(location)
        if not location.startswith(SCHEME):
            flaw = _flaw_of_path(location)
            header = f" ({NO_COLUMN})" if flaw and is_like_header(location) else ""
            return reject(f"{flaw}: {location}{header}") if flaw else None
        objects = iter_objects(location, s3, alone=line.alone)
        first = [*islice(objects, _OF_A_LINE_AHEAD)]
    except (UsageError, NotFound) as error:
        return reject(error)
    except Refused as error:
        if not is_of_one_line(error):
            raise
        return reject(error)
    return chain(first, objects) if first else reject(f"no such object, and none below it: {location}")


def _flaw_of_path(location: str) -> str:
    """Why a path is no source; empty if it is one."""
    try:
        mode = os.stat(location).st_mode  # noqa: PTH116  (pathlib takes some failures for answers)
    except (FileNotFoundError, NotADirectoryError):
        return _NO_FILE
    except OSError as error:
        blame_machine(error)
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "no name that a file can have"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _NO_FILE


class _Search:
    """Looks at files and objects, each once."""

    def __init__(self, destination: str, met: Met) -> None:
        self._walk = Walk(destination, met)
        self._met = met

    def of_objects(self, objects: Iterable[S3Object], study: str = "") -> Iterator[InputRef]:
        """The objects as inputs, those that came before left out; a manifest gives the `study` of them."""
        for remote in self._met.new_objects(objects, study):
            yield InputRef(path=str(remote), size=remote.size, remote=remote, study=study)

    def of_path(self, path: Path, study: str = "") -> Iterator[InputRef | Skipped]:
        """Files at or below a path."""
        for file in self._walk.files(path, study):
            item = file if isinstance(file, Skipped) else _look_at(file, self._met, study)
            if item is not None:
                yield replace(item, study=study) if study else item


def _look_at(path: str, met: Met, study: str) -> InputRef | Skipped | None:
    """What is at a path; None if the very path came before."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a hot loop over millions of files)
    except OSError:
        return InputRef(path=path)  # a broken link: reading it tells so in the report
    first = met.file(status, path, study)
    if first is not None:
        return None if first == path else Skipped(path, f"the same file as {first}")
    if stat.S_ISDIR(status.st_mode):
        return InputRef(path=path)  # it could not be listed; the report says so
    if not stat.S_ISREG(status.st_mode):
        return Skipped(path, "a pipe, a socket or a device")  # opening one could wait for ever
    return InputRef(path=path, size=status.st_size, state=state_of(status))


def _named_archive(item: InputRef) -> bool:
    return item.path.lower().endswith(".zip")


def _expand(source: InputRef, max_unpacked: int, nested: NestedArchives) -> list[InputRef | Rejected]:
    """The members of what is named as an archive, or itself if it is none: a scan then tells what it is."""
    if source.remote is None:
        try:
            return [*list_members(source, max_unpacked, nested)] if looks_like_archive(source) else [source]
        except (InputError, OSError):
            return [source]
    members = list_members(source, max_unpacked, nested)
    match members:
        case [Rejected(path=path)] if path == str(source):
            with suppress(InputError):
                return [*members] if looks_like_archive(source) else [source]
    return [*members]
