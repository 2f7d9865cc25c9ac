"""Files of a folder: filling one, and what a failure means."""

from __future__ import annotations

import errno
import os
from typing import Final

from stillframe.dicom.files import ReadableFile
from stillframe.errors import KeyRefused, StoreError, machine_fault

RACES: Final = 1000
"""How often a folder may vanish under the hands that make it: jobs that remove empty ones are few and soon done."""
_COPY_BYTES: Final = 1 << 20


def failure(what: str, error: OSError) -> StoreError:
    """The failure of a request, with what to do where it is this machine that lacks something."""
    reason = f"{what}: {machine_fault(error) or error.strerror or error}"
    return KeyRefused(reason) if error.errno == errno.ENAMETOOLONG else StoreError(reason)


def write_all(descriptor: int, data: bytes | ReadableFile) -> int:
    """Write bytes, or a file to its end, into an empty file; how many these were.

    Raises:
        OSError: if that fails.
    """
    if isinstance(data, bytes):
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
        return written
    size = 0
    while block := data.read(_COPY_BYTES):
        size += write_all(descriptor, block)
    return size
