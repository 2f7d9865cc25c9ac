"""Opening inputs: a file, an object or the member of an archive as one seekable file, and what its bytes are."""

from __future__ import annotations

import io
import os
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from typing import Final

from stillframe.dicom.files import LoadedInput, ReadableFile, descriptor_of, reopen_file
from stillframe.digests import ALGORITHM, named, new_digest
from stillframe.errors import InputError
from stillframe.source.changes import has_changed, state_of_open, was_written
from stillframe.source.files import open_file, open_unchanged
from stillframe.source.inputs import CHANGED, InputRef
from stillframe.source.s3_file import open_object
from stillframe.source.s3_objects import read_object
from stillframe.source.zip_inputs import SPOOL_BYTES, iter_member, unpack_member

_DIGEST_BYTES: Final = 1 << 16


def read_head(source: InputRef, size: int) -> bytes:
    """The first `size` bytes of an input, or all of a shorter one. No more of an archive member is unpacked.

    Those of a file are what they are by now: the caller asks `changes.has_changed`.

    Raises:
        InputError: if it cannot be opened or unpacked.
        OSError: if it cannot be read.
        StoreError: if its store fails.
    """
    if source.entry is None:
        if source.remote is not None:
            return read_object(source.remote, (0, min(size, source.size)))
        with open_file(source) as file:
            return file.read(size)
    head = b""
    with closing(iter_member(source)) as blocks:
        while len(head) < size and (block := next(blocks, b"")):
            head += block
    return head[:size]


def open_input(source: InputRef) -> ReadableFile:
    """Open an input for reading and seeking.

    Reading an object raises `InputError` if it has changed since it was found, `StoreError` if its store fails. Whoever
    reads a file sees by `changes.state_of_open` and `changes.has_changed` whether it was written to meanwhile.

    Raises:
        InputError: if it cannot be opened or unpacked, or is another than was found.
        MachineError: if the machine opens no more files.
        StoreError: if its store fails.
    """
    if source.entry is not None:
        return unpack_member(source)
    return open_object(source.remote) if source.remote is not None else open_unchanged(source)


def source_digest(source: InputRef, algorithm: str = ALGORITHM) -> str:
    """Named digest of an input's bytes; empty if it cannot be read: whoever makes its objects says why.

    Raises:
        StoreError: if the store of the input fails.
    """
    try:
        # A small object comes with one request; a file need not be held in memory for one look.
        with open_input(source) if source.remote is None else load_input(source) as file:
            digest = digest_of(file, algorithm)
    except (InputError, OSError):
        return ""
    return "" if has_changed(source) else digest


def digest_of(file: ReadableFile, algorithm: str = ALGORITHM) -> str:
    """Named digest of an input's bytes; the file is left at its end."""
    digest = new_digest(algorithm)
    if isinstance(file, LoadedInput):
        file.seek(0, io.SEEK_END)
        digest.update(file.getvalue())  # getvalue makes no copy
        return named(algorithm, digest.hexdigest())
    file.seek(0)
    buffer = memoryview(bytearray(_DIGEST_BYTES))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    return named(algorithm, digest.hexdigest())


class InputDigest:
    """The digest of an input's bytes. With `beside`, a thread makes it while the input is read, where that is possible.

    The file's offset is then left where it is; else the file is left at its end.
    """

    def __init__(self, file: ReadableFile, *, beside: bool = False) -> None:
        self._digest: Future[tuple[str, float]] = Future()
        self._counted = False
        descriptor = descriptor_of(file) if beside else None
        if descriptor is None:
            self._digest.set_result((digest_of(file), 0.0))
            return
        other = reopen_file(os.dup(descriptor))
        threading.Thread(target=self._make, args=(other,), name="digest", daemon=True).start()

    def wait(self) -> str:
        """The digest, once it is there.

        Raises:
            InputError, OSError: if the input cannot be read.
        """
        return self._digest.result()[0]

    def seconds_beside(self) -> float:
        """CPU seconds of a thread of its own, once they are known; told once."""
        counted, self._counted = self._counted, True
        return 0.0 if counted else self._digest.result()[1]

    def _make(self, file: ReadableFile) -> None:
        try:
            with file:
                made = digest_of(file), time.thread_time()
            self._digest.set_result(made)
        except Exception as error:
            self._digest.set_exception(error)


def load_input(source: InputRef) -> ReadableFile:
    """As `open_input`; a file or an object of at most `SPOOL_BYTES` is held in memory, so that it is read once.

    Raises:
        InputError: if it cannot be opened or unpacked, or has changed since it was found.
        OSError: if it cannot be read.
        StoreError: if its store fails.
    """
    if source.entry is not None or source.size > SPOOL_BYTES:
        return open_input(source)
    if source.remote is not None:
        return LoadedInput(read_object(source.remote))
    file = open_unchanged(source)
    before = state_of_open(file)
    if before is None or before.size > SPOOL_BYTES:
        return file
    with file:
        data = file.read(before.size + 1)
        if len(data) != before.size or was_written(file, before):
            raise InputError(CHANGED)
    return LoadedInput(data)
