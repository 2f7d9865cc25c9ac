"""Lists and unpacks members of archives as inputs."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from stillframe.dicom.files import ReadableFile, join_files
from stillframe.errors import InputError, StoreError
from stillframe.source.changes import has_changed, reason_of_input
from stillframe.source.files import open_unchanged
from stillframe.source.inputs import CHANGED, InputRef, Rejected
from stillframe.source.nested_archives import NestedArchives, Unpacked
from stillframe.source.s3_file import RangeFile, open_object
from stillframe.source.zip_archive import MAX_DEPTH, MAX_MEMBERS, MAX_RATIO, Member, read_directory, unpack

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
        self, archive: Unpacked | None = None, prefix: str = "", depth: int = 1
    ) -> Iterator[InputRef | Rejected]:
        """The members of the archive, or of one within it that is unpacked already, in order of their names."""
        for member in sorted(self._read_directory(archive), key=lambda member: member.name):
            if member.name.endswith("/"):
                continue
            self._count(member.size)
            source = replace(
                self._archive, member=prefix + member.name, size=member.size, entry=member, unpacked=archive
            )
            if member.size > self._max_unpacked:
                reason = f"would unpack to {member.size} bytes, {self._max_unpacked} are allowed (--max-unpacked)"
                yield Rejected.of(source, reason)
            elif member.name.lower().endswith(".zip"):
                yield from self._nested(source, depth)
            else:
                yield source

    def _read_directory(self, archive: Unpacked | None) -> tuple[Member, ...]:
        if archive is None:
            with _open_whole(self._archive) as file:
                return read_directory(file)
        with Path(archive.path).open("rb") as held:
            return read_directory(join_files([(held, archive.start, archive.size)]))

    def _nested(self, source: InputRef, depth: int) -> Iterator[InputRef | Rejected]:
        if depth == MAX_DEPTH:
            yield Rejected.of(source, f"archives within each other are read {MAX_DEPTH} deep")
            return
        try:
            archive = self._kept.keep(iter_member(source), source.size)
            yield from self.members(archive, f"{source.member}!", depth + 1)
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


def list_members(source: InputRef, max_unpacked: int, nested: NestedArchives) -> list[InputRef | Rejected]:
    """The members of an archive, in order of their names. What cannot or may not be read is rejected.

    One member may unpack to `max_unpacked` bytes. `nested` takes the archives within it.

    Raises:
        StoreError: if the store of an archive fails.
    """
    try:
        members = list(_Listing(source, max_unpacked, nested).members())
    except StoreError:
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
    start = 0
    if source.unpacked is not None:
        file: ReadableFile = Path(source.unpacked.path).open("rb")  # noqa: SIM115  (closed below)
        start = source.unpacked.start
    elif source.remote is not None:
        file = RangeFile(source.remote, _FIRST_OF_MEMBER)
    else:
        file = open_unchanged(source)
    with closing(file):
        yield from unpack(file, source.entry, start)


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
