"""What the package asks of a file it reads; an input in memory; one file opened twice; parts of files as one."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Buffer, Sequence
from itertools import accumulate
from types import TracebackType
from typing import Final, Protocol, Self, override

from stillframe.errors import InputError

_BUFFER_BYTES: Final = 1 << 20


class ReadableFile(Protocol):
    """A binary file to read and to seek in, whatever is behind it: a file, an object, memory, parts of others."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, fewer only at the end."""

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer, less of it only at the end."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to an offset, and return it."""

    def seekable(self) -> bool:
        """Whether it can be sought in: it can."""

    def tell(self) -> int:
        """The offset of the byte that is read next."""

    def close(self) -> None:
        """Let go of what is behind it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


class LoadedInput(io.BytesIO):
    """An input in memory. Frames may be views of it that outlive its use, so closing it does nothing."""

    @override
    def close(self) -> None:
        """Leave the memory to the last view of it."""


def descriptor_of(file: ReadableFile) -> int | None:
    """The descriptor of an open file of the system; None of what is in memory, an object, or parts of others.

    What waits in memory to be written to a temporary file is written by this.
    """
    fileno = getattr(file, "fileno", None)
    try:
        descriptor: int | None = fileno() if fileno is not None else None
    except OSError:
        return None
    return descriptor


def reopen_file(descriptor: int) -> ReadableFile:
    """An open file once more, without the offset that all share who have it open; it closes the descriptor."""
    return io.BufferedReader(_SharedFile(descriptor))


class _SeekableFile(io.RawIOBase):
    """An unbuffered file with an offset of its own, which stops at 0."""

    _offset = 0

    def _end(self) -> int:
        """The size of the file in bytes."""
        raise NotImplementedError

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = self._end() if whence == io.SEEK_END else self._offset if whence == io.SEEK_CUR else 0
        self._offset = max(0, origin + offset)
        return self._offset


class _SharedFile(_SeekableFile):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @override
    def _end(self) -> int:
        return os.fstat(self._descriptor).st_size

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer; less of it at the end."""
        count = os.preadv(self._descriptor, [buffer], self._offset)
        self._offset += count
        return count

    @override
    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


# A file, and the offset and the number of the bytes wanted of it.
type Part = tuple[ReadableFile, int, int]


def join_files(parts: Sequence[Part]) -> ReadableFile:
    """One file to be read from its first byte to its end, made of parts of others, which must stay open.

    Reading raises `InputError` if a file turns out to be shorter.
    """
    return io.BufferedReader(_Joined(parts), _BUFFER_BYTES)


class _Joined(_SeekableFile):
    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = [part for part in parts if part[2]]
        self._ends = list(accumulate(length for _, _, length in self._parts))

    @override
    def _end(self) -> int:
        return self._ends[-1] if self._ends else 0

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer, at most to the end of a part; 0 at the end of the last."""
        index = bisect_right(self._ends, self._offset)
        if index == len(self._parts):
            return 0
        file, start, length = self._parts[index]
        left = self._ends[index] - self._offset
        file.seek(start + length - left)
        count = file.readinto(memoryview(buffer)[:left])
        if not count:
            raise InputError("the file became shorter while it was read")
        self._offset += count
        return count
