"""A file that refuses to be read in too many pieces."""

from __future__ import annotations

from typing import BinaryIO, Final

from builder.errors import InputError

# pydicom reads an element in one to three pieces, and takes some 20 microseconds and 700 bytes for each.
MOST_READS: Final = 500_000


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
            InputError: if that was once too often.
        """
        self._left -= 1
        if self._left < 0:
            raise InputError("is not well formed, and of too many elements and items to be read all the same")
        return self._file.read(size)
