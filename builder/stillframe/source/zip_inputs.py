"""Lists and unpacks members of archives as inputs. Archives stay open between their members."""

from __future__ import annotations

import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, cast

from stillframe.dicom.files import ReadableFile
from stillframe.errors import InputError, reason_of
from stillframe.source.inputs import InputRef, Rejected, S3Object
from stillframe.source.s3_file import RangeFile, open_object
from stillframe.source.zip_archive import MAX_DEPTH, MAX_MEMBERS, MAX_RATIO, Archive

# A zip member up to this size is unpacked in memory, a larger one into a temporary file.
SPOOL_BYTES: Final = 16 << 20
_OPEN_ARCHIVES: Final = 8
# Enough for a member's local header and the packed bytes that hold its UIDs.
_FIRST_OF_MEMBER: Final = 1 << 14


class _TooMuch(InputError):
    """An archive with more members, or more bytes in them, than it may have."""


class _Listing:
    """The members of an archive file, those of archives within it included."""

    def __init__(self, source: InputRef, max_unpacked: int) -> None:
        self._archive = source
        self._max_unpacked = max_unpacked
        self._members = self._unpacked = 0

    def members(self, indexes: tuple[int, ...] = (), prefix: str = "") -> Iterator[InputRef | Rejected]:
        """The members of the archive at `indexes`, in order of their names."""
        members = _opened(self._archive, indexes).members
        for index, member in sorted(enumerate(members), key=lambda pair: pair[1].name):
            if member.name.endswith("/"):
                continue
            self._count(member.size)
            source = replace(self._archive, member=prefix + member.name, size=member.size, indexes=(*indexes, index))
            if member.size > self._max_unpacked:
                reason = f"would unpack to {member.size} bytes, {self._max_unpacked} are allowed (--max-unpacked)"
                yield Rejected.of(source, reason)
            elif member.name.lower().endswith(".zip"):
                yield from self._nested(source)
            else:
                yield source

    def _nested(self, source: InputRef) -> Iterator[InputRef | Rejected]:
        if len(source.indexes) == MAX_DEPTH:
            yield Rejected.of(source, f"archives within each other are read {MAX_DEPTH} deep")
            return
        try:
            yield from self.members(source.indexes, f"{source.member}!")
        except _TooMuch:
            raise
        except InputError as error:
            yield Rejected.of(source, error)

    def _count(self, size: int) -> None:
        self._members += 1
        self._unpacked += size
        if self._members > MAX_MEMBERS:
            raise _TooMuch(f"holds more than {MAX_MEMBERS} files")
        if self._unpacked > max(self._max_unpacked, MAX_RATIO * self._archive.size):
            raise _TooMuch(f"its members would unpack to more than {MAX_RATIO} times its size (--max-unpacked)")


def list_members(source: InputRef, max_unpacked: int) -> list[InputRef | Rejected]:
    """The members of an archive, in order of their names. What cannot or may not be read is rejected.

    One member may unpack to `max_unpacked` bytes.

    Raises:
        StoreError: if the store of an archive fails.
    """
    try:
        return list(_Listing(source, max_unpacked).members())
    except (InputError, OSError) as error:
        return [Rejected.of(source, reason_of(error))]


def looks_like_archive(source: InputRef) -> bool:
    """Whether an input ends as an archive does.

    Raises:
        InputError, StoreError: if it is an object that cannot be read.
    """
    if source.remote is None:
        return zipfile.is_zipfile(source.path)
    with open_object(source.remote) as file:
        return zipfile.is_zipfile(file)


def archive_of(source: InputRef) -> Archive:
    """The archive that an input is a member of.

    Raises:
        InputError: if it cannot be opened.
        StoreError: if its store fails.
    """
    try:
        return _opened(source, source.indexes[:-1])
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror or error}") from error


def _opened(source: InputRef, indexes: tuple[int, ...]) -> Archive:
    """As `_open`. Where several threads want the same archive, one opens it and the others wait."""
    if indexes:
        _opened(source, indexes[:-1])
    version = source.remote or os.stat(source.path).st_mtime_ns  # noqa: PTH116
    with _opening[hash((source.path, indexes)) % len(_opening)]:
        return _open(source.path, version, indexes)


_opening: Final = tuple(threading.Lock() for _ in range(16))


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _open(path: str, version: int | S3Object, indexes: tuple[int, ...]) -> Archive:
    """An archive, within others if it has `indexes`. It stays open between members: its directory is read once."""
    if indexes:
        return Archive(unpack_member(_open(path, version, indexes[:-1]), indexes[-1]))
    if isinstance(version, S3Object):
        reopen = partial(RangeFile, version, _FIRST_OF_MEMBER)
        return Archive(open_object(version), cast("Callable[[], ReadableFile]", reopen))
    return Archive(Path(path).open("rb"))


def unpack_member(archive: Archive, index: int) -> ReadableFile:
    """One archive member as a seekable file, never larger than its directory entry promises.

    Raises:
        InputError: if it cannot be unpacked.
    """
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  (closed by the caller)
    try:
        for block in archive.unpack(archive.members[index]):
            spool.write(block)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool
