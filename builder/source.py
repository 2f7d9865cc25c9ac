"""Finding inputs: files, folders and .zip archives, in one fixed order, each opened as a seekable file."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from builder.archive import MAX_DEPTH, MAX_MEMBERS, MAX_RATIO, Archive
from builder.errors import InputError, UsageError
from builder.model import MAX_UNPACKED, InputRef, Rejected, Skipped

# A zip member up to this size is unpacked in memory, a larger one into a temporary file.
SPOOL_BYTES = 16 << 20
_OPEN_ARCHIVES: Final = 8

type Found = InputRef | Rejected | Skipped


def check_sources(sources: Iterable[str]) -> list[Path]:
    """The paths of the sources.

    Raises:
        UsageError: if one does not exist.
    """
    paths = []
    for source in sources:
        path = Path(source)
        if not source or not (path.is_file() or path.is_dir()):
            raise UsageError(f"no such file or folder: {source or repr(source)}")
        paths.append(path)
    return paths


def iter_inputs(sources: Iterable[str], destination: str = "", max_unpacked: int = MAX_UNPACKED) -> Iterator[Found]:
    """Every file below the sources, folders and archives in sorted order, each file once.

    Another name or link of a file or folder found already, and a link into `destination`, are passed over. Archives
    that cannot be read, and what would unpack to more than it may, are rejected.

    Raises:
        UsageError: if a source does not exist.
    """
    paths = check_sources(sources)
    seen: dict[tuple[int, int], str] = {}
    walk = _Walk(destination)
    for path in paths:
        for file in walk.files(path):
            if isinstance(file, Skipped):
                yield file
                continue
            try:
                status = os.stat(file)  # noqa: PTH116  (a hot loop over millions of files)
            except OSError:
                yield InputRef(file)  # a broken link: reading it tells so in the report
                continue
            first = seen.get((status.st_dev, status.st_ino))
            if first is not None:
                if first != file:
                    yield Skipped(file, f"the same file as {first}")
                continue
            seen[status.st_dev, status.st_ino] = file
            if stat.S_ISDIR(status.st_mode):
                yield InputRef(file)  # it could not be listed; the report says so
            elif not stat.S_ISREG(status.st_mode):
                yield Skipped(file, "a pipe, a socket or a device")  # opening one could wait for ever
            elif file.lower().endswith(".zip") and zipfile.is_zipfile(file):
                yield from _iter_members(file, status.st_size, max_unpacked)
            else:
                yield InputRef(file, size=status.st_size)


class _Walk:
    """Goes through folders, each once, and never into the destination."""

    def __init__(self, destination: str) -> None:
        self._folders: dict[tuple[int, int], str] = {}
        # In a tree `studies` may be a link to where there is more room.
        roots = [destination, f"{destination}/studies"] if destination else []
        self._roots = [os.path.realpath(root) for root in roots]
        self._root_places = [_place(root) for root in self._roots]

    def files(self, path: Path) -> Iterator[str | Skipped]:
        """Paths of everything at or below `path` that is not a folder, or is one that cannot be listed."""
        if not path.is_dir():
            yield str(path)
            return
        waiting = [str(path)]
        while waiting:
            folder = waiting.pop()
            place = _place(folder)
            first = self._folders.setdefault(place, folder) if place else folder
            if place and place in self._root_places:
                yield Skipped(folder, "the destination", noteworthy=True)
            elif first != folder:
                yield Skipped(folder, f"the same folder as {first}")
            else:
                yield from self._list(folder, waiting)

    def _list(self, folder: str, waiting: list[str]) -> Iterator[str | Skipped]:
        """The files of a folder; its folders wait, the first of them last."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield folder  # trying to read it tells why in the report
            return
        folders = []
        for entry in found:
            path = f"{folder}/{entry.name}"
            if self._roots and entry.is_symlink() and self._leads_into_destination(path):
                yield Skipped(path, "a link into the destination", noteworthy=True)
            elif _is_folder(entry):
                folders.append(path)
            else:
                yield path
        waiting.extend(reversed(folders))

    def _leads_into_destination(self, path: str) -> bool:
        target = os.path.realpath(path)
        return any(target == root or target.startswith(f"{root}/") for root in self._roots)


def _place(folder: str) -> tuple[int, int] | None:
    """What tells a folder from every other; None if it is not there."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


class _TooMuch(InputError):
    """An archive that asks for more than any of its members may cost."""


class _Listing:
    """The members of an archive file, those of archives within it included."""

    def __init__(self, path: str, size: int, max_unpacked: int) -> None:
        self._path = path
        self._size = size
        self._max_unpacked = max_unpacked
        self._members = self._unpacked = 0

    def found(self, places: tuple[int, ...] = (), prefix: str = "") -> Iterator[InputRef | Rejected]:
        """The members of the archive at `places`, in order of their names."""
        members = _archive(self._path, _modified(self._path), places).members
        for place, member in sorted(enumerate(members), key=lambda item: item[1].name):
            if member.name.endswith("/"):
                continue
            self._count(member.size)
            source = InputRef(self._path, prefix + member.name, member.size, (*places, place))
            if member.size > self._max_unpacked:
                reason = f"would unpack to {member.size} bytes, {self._max_unpacked} are allowed (--max-unpacked)"
                yield Rejected(str(source), reason)
            elif member.name.lower().endswith(".zip"):
                yield from self._nested(source)
            else:
                yield source

    def _nested(self, source: InputRef) -> Iterator[InputRef | Rejected]:
        if len(source.places) == MAX_DEPTH:
            yield Rejected(str(source), f"archives within each other are read {MAX_DEPTH} deep")
            return
        try:
            yield from self.found(source.places, f"{source.member}!")
        except _TooMuch:
            raise
        except InputError as error:
            yield Rejected(str(source), str(error))

    def _count(self, size: int) -> None:
        self._members += 1
        self._unpacked += size
        if self._members > MAX_MEMBERS:
            raise _TooMuch(f"holds more than {MAX_MEMBERS} files")
        if self._unpacked > max(self._max_unpacked, MAX_RATIO * self._size):
            raise _TooMuch(f"its members would unpack to more than {MAX_RATIO} times its size (--max-unpacked)")


def _iter_members(archive: str, size: int, max_unpacked: int) -> Iterable[InputRef | Rejected]:
    try:
        return list(_Listing(archive, size, max_unpacked).found())
    except InputError as error:
        return [Rejected(archive, str(error))]
    except OSError as error:
        return [Rejected(archive, f"cannot be read: {error.strerror or error}")]


def _modified(path: str) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _archive(path: str, modified: int, places: tuple[int, ...]) -> Archive:
    """An archive, within others if `places` say so, kept open between members: its directory is read once."""
    if not places:
        return Archive(Path(path).open("rb"))
    return Archive(_unpack(_archive(path, modified, places[:-1]), places[-1]))


def _unpack(archive: Archive, place: int) -> BinaryIO:
    """One archive member as a seekable file; never more than the size its directory entry promises."""
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  (closed by the caller)
    try:
        for block in archive.unpack(archive.members[place]):
            spool.write(block)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return cast(BinaryIO, spool)


def read_head(source: InputRef, size: int) -> bytes:
    """The first `size` bytes of an input, or all of a shorter one; of an archive member no more is unpacked.

    Raises:
        InputError: if it cannot be opened or unpacked.
        OSError: if it cannot be read.
    """
    if not source.member:
        with open_input(source) as file:
            return file.read(size)
    head = b""
    archive = _archive_of(source)
    for block in archive.unpack(archive.members[source.places[-1]]):
        head += block
        if len(head) >= size:
            break
    return head[:size]


def _archive_of(source: InputRef) -> Archive:
    try:
        return _archive(source.path, _modified(source.path), source.places[:-1])
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror or error}") from error


def open_input(source: InputRef) -> BinaryIO:
    """Open an input for reading and seeking.

    Raises:
        InputError: if it cannot be opened or unpacked.
    """
    if source.member:
        return _unpack(_archive_of(source), source.places[-1])
    try:
        return Path(source.path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None  # its text would name the file again
        raise InputError(f"cannot be opened: {reason or error}") from error


def file_state(file: BinaryIO) -> tuple[int, ...]:
    """What changes when the file of an open input is written to; nothing for an input in memory or unpacked."""
    if not isinstance(file, BufferedReader):
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
    """
    file = open_input(source)
    if source.member or source.size > SPOOL_BYTES:
        return file
    with file:
        data = file.read(source.size + 1)
    return LoadedInput(data) if len(data) <= source.size else open_input(source)  # it grew since it was found
