"""Lists and unpacks members of archives as inputs."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from stillframe.dicom.files import ReadableFile, join_files
from stillframe.errors import FailedJob, InputError
from stillframe.source.changes import has_changed, reason_of_input
from stillframe.source.files import open_unchanged
from stillframe.source.inputs import CHANGED, InputRef, Rejected
from stillframe.source.nested_archives import NestedArchive, NestedArchives
from stillframe.source.s3_file import RangeFile, open_object
from stillframe.source.zip_archive import (
    MAX_DEPTH,
    MAX_MEMBERS,
    MAX_RATIO,
    Member,
    find_packed,
    lies_open,
    read_directory,
    unpack,
)

# A zip member up to this size is unpacked in memory, a larger one into a temporary file.
SPOOL_BYTES: Final = 16 << 20
# Enough for a member's local header and the packed bytes that hold its UIDs.
_FIRST_OF_MEMBER: Final = 1 << 14


class _TooMuch(InputError):
    """An archive with more members, or more bytes in them, than it may have."""


class _Listing:
    """The members of an archive file, those of archives within it included."""

    def __init__(self, source: InputRef, max_unpacked: int, nested: NestedArchives) -> None:
        self._archive = source
        self._max_unpacked = max_unpacked
        self._kept = nested
        self._members = self._unpacked = 0

    def members(
        self, archive: NestedArchive | None = None, prefix: str = "", depth: int = 1
    ) -> Iterator[InputRef | Rejected]:
        """The members of the archive, or of one within it that is unpacked already, in order of their names."""
        for member in sorted(self._read_directory(archive), key=lambda member: member.name):
            if member.name.endswith("/"):
                continue
            self._count(member.size)
            source = replace(self._archive, member=prefix + member.name, size=member.size, entry=member, nested=archive)
            if member.size > self._max_unpacked:
                reason = f"would unpack to {member.size} bytes, {self._max_unpacked} are allowed (--max-unpacked)"
                yield Rejected.of(source, reason)
            elif member.name.lower().endswith(".zip"):
                yield from self._nested(source, depth)
            else:
                yield source

    def _read_directory(self, archive: NestedArchive | None) -> tuple[Member, ...]:
        source = replace(self._archive, nested=archive)
        with closing(_open_archive(source)) as file:
            return read_directory(file if archive is None else join_files([(file, archive.start, archive.size)]))

    def _nested(self, source: InputRef, depth: int) -> Iterator[InputRef | Rejected]:
        if depth == MAX_DEPTH:
            yield Rejected.of(source, f"archives within each other are read {MAX_DEPTH} deep")
            return
        try:
            yield from self.members(self._unpack(source), f"{source.member}!", depth + 1)
        except _TooMuch:
            raise
        except InputError as error:
            yield Rejected.of(source, error)

    def _unpack(self, source: InputRef) -> NestedArchive:
        """An archive within the archive where it lies, if it is not packed; else unpacked, once for the job."""
        assert source.entry is not None
        if not lies_open(source.entry):
            return self._kept.keep(iter_member(source), source.size)
        outer = source.nested or NestedArchive("", 0, source.size)
        with closing(_open_archive(source)) as file:
            start = find_packed(file, source.entry, outer.start)
            if start + source.size > file.seek(0, io.SEEK_END):
                raise InputError("the archive ends before the member does")
        return replace(outer, start=start, size=source.size)

    def _count(self, size: int) -> None:
        self._members += 1
        self._unpacked += size
        if self._members > MAX_MEMBERS:
            raise _TooMuch(f"holds more than {MAX_MEMBERS} files")
        if self._unpacked > max(self._max_unpacked, MAX_RATIO * self._archive.size):
            raise _TooMuch(f"its members would unpack to more than {MAX_RATIO} times its size (--max-unpacked)")


def list_members(source: InputRef, max_unpacked: int, nested: NestedArchives) -> list[InputRef | Rejected]:
    """The members of an archive, in order of their names. What cannot or may not be read is rejected.

    One member may unpack to `max_unpacked` bytes. `nested` takes the archives within it.

    Raises:
        StoreError: if the store of an archive fails.
    """
    try:
        members = list(_Listing(source, max_unpacked, nested).members())
    except (FailedJob, MemoryError):
        raise
    except Exception as error:  # whatever an archive is, it ends no job
        return [Rejected.of(source, reason_of_input(source, error))]
    return [Rejected.of(source, CHANGED)] if has_changed(source) else members


def looks_like_archive(source: InputRef) -> bool:
    """Whether an input ends as an archive does.

    Raises:
        InputError, StoreError: if it cannot be read.
    """
    with _open_whole(source) as file:
        return zipfile.is_zipfile(file)


def _open_whole(source: InputRef) -> ReadableFile:
    """The file or the object that holds an input."""
    return open_unchanged(source) if source.remote is None else open_object(source.remote)


def iter_member(source: InputRef) -> Generator[bytes]:
    """The bytes of an archive member in blocks, never more than its directory entry promises.

    Raises:
        InputError: if it cannot be unpacked.
        StoreError: if the store of the archive fails.
    """
    assert source.entry is not None
    with closing(_open_archive(source, _FIRST_OF_MEMBER)) as file:
        yield from unpack(file, source.entry, source.nested.start if source.nested else 0)


def _open_archive(source: InputRef, first: int = 0) -> ReadableFile:
    """The file or the object in which the archive of a member lies; `first` is how much of an object is asked for."""
    if source.nested is not None and source.nested.path:
        return Path(source.nested.path).open("rb")
    if source.remote is not None and first:
        return RangeFile(source.remote, first)
    return _open_whole(source)


def unpack_member(source: InputRef) -> ReadableFile:
    """One archive member as a seekable file.

    Raises:
        InputError, StoreError: as `iter_member` does.
    """
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  (closed by the caller)
    try:
        for block in iter_member(source):
            spool.write(block)
        if has_changed(source):
            raise InputError(CHANGED)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool
