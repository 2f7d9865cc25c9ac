"""Opening inputs: a file, an object or the member of an archive as one seekable file, and what its bytes are."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Final

from stillframe.dicom.files import LoadedInput, ReadableFile
from stillframe.errors import InputError
from stillframe.source.inputs import InputRef
from stillframe.source.s3_file import open_object
from stillframe.source.s3_objects import read_object
from stillframe.source.zip_inputs import SPOOL_BYTES, archive_of, unpack_member

_DIGEST_BYTES: Final = 1 << 16


def read_head(source: InputRef, size: int) -> bytes:
    """The first `size` bytes of an input, or all of a shorter one. No more of an archive member is unpacked.

    Raises:
        InputError: if it cannot be opened or unpacked.
        OSError: if it cannot be read.
        StoreError: if its store fails.
    """
    if source.remote is not None and not source.member:
        return read_object(source.remote, (0, min(size, source.size)))
    if not source.member:
        with open_input(source) as file:
            return file.read(size)
    head = b""
    archive = archive_of(source)
    for block in archive.unpack(archive.members[source.indexes[-1]]):
        head += block
        if len(head) >= size:
            break
    return head[:size]


def open_input(source: InputRef) -> ReadableFile:
    """Open an input for reading and seeking.

    Reading an object raises `InputError` if it has changed since it was found, `StoreError` if its store fails.

    Raises:
        InputError: if it cannot be opened or unpacked.
        StoreError: if its store fails.
    """
    if source.member:
        return unpack_member(archive_of(source), source.indexes[-1])
    if source.remote is not None:
        return open_object(source.remote)
    try:
        return Path(source.path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None  # its text would name the file again
        raise InputError(f"cannot be opened: {reason or 'its name is none that a file can have'}") from error


def source_digest(source: InputRef) -> str:
    """Digest of an input's bytes; empty if it cannot be read: whoever makes its objects says why.

    Raises:
        StoreError: if the store of the input fails.
    """
    try:
        # A small object comes with one request; a file need not be held in memory for one look.
        with open_input(source) if source.remote is None else load_input(source) as file:
            return digest_of(file)
    except (InputError, OSError):
        return ""


def file_state(file: ReadableFile) -> tuple[int, ...]:
    """Size and times of the file of an open input: they change when somebody writes to it.

    Empty for an input in memory or unpacked, and for an object, all ranges of which come from one version.
    """
    if not isinstance(file, BufferedReader) or not isinstance(file.raw, FileIO):
        return ()
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_of(file: ReadableFile) -> str:
    """Digest of an input's bytes, `sha256:` before it; the file is left at its end."""
    file.seek(0)
    buffer = memoryview(bytearray(_DIGEST_BYTES))
    digest = hashlib.sha256()
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    return f"sha256:{digest.hexdigest()}"


def load_input(source: InputRef) -> ReadableFile:
    """As `open_input`; an input of at most `SPOOL_BYTES` is held in memory.

    The source is then read once, and later changes of the file do not matter.

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
