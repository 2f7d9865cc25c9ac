"""Parts of files read as one, piece by piece."""

from __future__ import annotations

import io
from collections.abc import Buffer, Sequence
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
        self._parts = [part for part in reversed(parts) if part[2]]

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer, at most to the end of a part; 0 at the end of the last."""
        if not self._parts:
            return 0
        file, place, left = self._parts.pop()
        file.seek(place)
        view = memoryview(buffer)[:left]
        count = int(file.readinto(view))  # type: ignore[attr-defined]  # every binary file here has it
        if not count:
            raise InputError("the file became shorter while it was read")
        if count < left:
            self._parts.append((file, place + count, left - count))
        return count
