"""Parts of files read as one, piece by piece."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Buffer, Sequence
from itertools import accumulate
from typing import BinaryIO, Final, cast

from builder.errors import InputError

_BUFFER_BYTES: Final = 1 << 20

# A file, and the place and the number of the bytes wanted of it.
type Part = tuple[BinaryIO, int, int]


def join_files(parts: Sequence[Part]) -> BinaryIO:
    """One file to be read from its first byte to its end, made of parts of others, which must stay open.

    Reading raises `InputError` if a file turns out to be shorter.
    """
    return cast(BinaryIO, io.BufferedReader(_Joined(parts), _BUFFER_BYTES))


class _Joined(io.RawIOBase):
    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = [part for part in parts if part[2]]
        self._ends = list(accumulate(length for _, _, length in self._parts))
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place; nothing is read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer, at most to the end of a part; 0 at the end of the last."""
        number = bisect_right(self._ends, self._place)
        if number == len(self._parts):
            return 0
        file, start, length = self._parts[number]
        left = self._ends[number] - self._place
        file.seek(start + length - left)
        count = int(file.readinto(memoryview(buffer)[:left]))  # type: ignore[attr-defined]  # every binary file here has it
        if not count:
            raise InputError("the file became shorter while it was read")
        self._place += count
        return count
