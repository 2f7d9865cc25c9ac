"""A file that refuses to be read in too many pieces."""

from __future__ import annotations

from typing import BinaryIO, Final

from builder.errors import InputError, StoreError

# pydicom reads an element in one to three pieces, and takes some 20 microseconds and 700 bytes for each.
MOST_READS: Final = 500_000


def is_exhausted(error: BaseException) -> bool:
    """Whether a parser's error came of reading too often."""
    return isinstance(failure_of_reading(error), TooManyReads)


def failure_of_reading(error: BaseException) -> InputError | StoreError | None:
    """What reading raised, where a parser's error came of that; pydicom wraps it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError | StoreError):
        cause = cause.__cause__ or cause.__context__
    return cause


class TooManyReads(InputError):
    """Bytes that would take a parser too long."""

    def __init__(self) -> None:
        super().__init__("is not well formed, and has too many elements and items to be read all the same")


class CountedReads:
    """Bounds what a parser makes of odd bytes: it reads once for every element and item, however short they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MOST_READS
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        """As the file's own.

        Raises:
            TooManyReads: if that was once too often.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyReads
        return self._file.read(size)
