"""Finding inputs: files, folders and .zip archives, in one fixed order, each opened as a seekable file."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from builder.errors import InputError, UsageError
from builder.model import InputRef

# A zip member up to this size is unpacked in memory, a larger one into a temporary file.
SPOOL_BYTES = 16 << 20
_COPY_BYTES = 1 << 20


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


def iter_inputs(sources: Iterable[str]) -> Iterator[InputRef]:
    """Every file below the sources, folders and archives in sorted order, each file once.

    An archive that cannot be read is an input itself: who scans it finds out.

    Raises:
        UsageError: if a source does not exist.
    """
    paths = check_sources(sources)
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for file in _iter_files(path):
            try:
                status = os.stat(file)  # noqa: PTH116  (a hot loop over millions of files)
            except OSError:
                yield InputRef(file)  # a broken link: reading it tells so in the report
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if stat.S_ISDIR(status.st_mode):
                yield InputRef(file)  # it could not be listed; the report says so
                continue
            if not stat.S_ISREG(status.st_mode):
                continue  # a pipe, a socket or a device; opening one could wait for ever
            if file.lower().endswith(".zip") and zipfile.is_zipfile(file):
                yield from _iter_members(file, status.st_size)
            else:
                yield InputRef(file, size=status.st_size)


def _iter_files(path: Path) -> Iterator[str]:
    """Paths of everything at or below `path` that is not a folder."""
    if not path.is_dir():
        if path.is_file():
            yield str(path)
        return
    walked: set[tuple[int, int]] = set()
    failed: list[str] = []
    for folder, folders, names in os.walk(path, followlinks=True, onerror=lambda error: failed.append(error.filename)):
        yield from failed  # a folder that cannot be listed: trying to read it tells why in the report
        failed.clear()
        try:
            status = os.stat(folder)  # noqa: PTH116
        except OSError:
            yield folder
            continue
        if (status.st_dev, status.st_ino) in walked:
            folders.clear()  # a link to a folder that was walked already, perhaps one above this
            continue
        walked.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            yield f"{folder}/{name}"
    yield from failed


# What the module raises for archives that are damaged, encrypted or of an unknown kind.
_ZIP_FAILURES: Final = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError, ValueError,
    LookupError, struct.error,
)  # fmt: skip


def _iter_members(archive: str, size: int) -> Iterator[InputRef]:
    try:
        with zipfile.ZipFile(archive) as opened:
            places = sorted(enumerate(opened.infolist()), key=lambda item: item[1].filename)
    except _ZIP_FAILURES:
        # Not readable as an archive: scanning it says so in the report.
        yield InputRef(archive, size=size)
        return
    for place, info in places:
        if not info.is_dir():
            yield InputRef(archive, info.filename, info.file_size, place)


@lru_cache(maxsize=4)
def _archive(path: str, modified: int) -> zipfile.ZipFile:
    """An archive kept open between members: its directory is read once, not once a member."""
    del modified  # part of the cache's key: a changed archive is opened anew
    return zipfile.ZipFile(path)


def open_input(source: InputRef) -> BinaryIO:
    """Open an input for reading and seeking.

    Raises:
        InputError: if it cannot be opened or unpacked.
    """
    try:
        if not source.member:
            return Path(source.path).open("rb")
        return _unpack(source)
    except _ZIP_FAILURES as error:
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


def _unpack(source: InputRef) -> BinaryIO:
    """One archive member as a seekable file; never more than the size its directory entry promises."""
    archive = _archive(source.path, Path(source.path).stat().st_mtime_ns)
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  (closed by the caller)
    try:
        with archive.open(archive.infolist()[source.place]) as member:
            left = source.size
            while left > 0:
                block = member.read(min(_COPY_BYTES, left))
                if not block:
                    raise InputError(f"zip member ends {left} bytes early")
                spool.write(block)
                left -= len(block)
            if member.read(1):
                raise InputError("zip member is longer than its directory entry says")
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return cast(BinaryIO, spool)
