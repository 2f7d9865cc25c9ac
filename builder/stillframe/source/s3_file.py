"""An object of a bucket as a file: read in ranges, few and large where it is read on, small where it is looked into."""

from __future__ import annotations

import errno
import io
import os
from collections import deque
from collections.abc import Buffer
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, override

from stillframe.dicom.files import ReadableFile
from stillframe.parallel import made_once
from stillframe.source.inputs import S3Object
from stillframe.source.s3_objects import read_object

MAX_RANGE_BYTES: Final = 4 << 20
"""The largest range that is asked for. An open object takes the memory of six: three that were read, three to come."""

_FIRST_RANGE_BYTES: Final = 1 << 16
_KEPT_RANGES: Final = 3
_RANGES_AHEAD: Final = 3
# Reading that skips no more than this goes on, as from one fragment's head to the next: fewer requests for more bytes.
_LARGEST_SKIP: Final = 1 << 20
_READERS: Final = 12


def open_object(source: S3Object) -> ReadableFile:
    """An object as a seekable file.

    Opening sends no request. Reading raises what `s3_objects.read_object` does.
    """
    return io.BufferedReader(RangeFile(source), _FIRST_RANGE_BYTES)


class RangeFile(io.RawIOBase):
    """An unbuffered file over ranges of an object; `first` is the size of the first range in bytes.

    Ranges double while it is read on; at their largest, the next ones are on their way while one is used. A range near
    the end reaches back from there: archives have their directory at the end, and are looked at from behind.
    """

    def __init__(self, source: S3Object, first: int = _FIRST_RANGE_BYTES) -> None:
        self._source = source
        self._first = self._length = first
        self._offset = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_RANGES)  # start and bytes, the last one asked last
        self._coming: deque[tuple[int, int, Future[bytes]]] = deque()  # start, length and bytes on their way

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._source.size}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as a file does
        self._offset = origin + offset
        return self._offset

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer, at most to the end of a range; 0 at the end of the object."""
        view = memoryview(buffer).cast("B")
        if self._offset >= self._source.size or not view:
            return 0
        start, data = self._range_at(self._offset)
        skipped = self._offset - start
        count = min(len(view), len(data) - skipped)
        view[:count] = memoryview(data)[skipped : skipped + count]
        self._offset += count
        return count

    def _range_at(self, offset: int) -> tuple[int, bytes]:
        """The start and the bytes of the range that holds an offset."""
        for start, data in self._kept:
            if start <= offset < start + len(data):
                return start, data
        start, data = self._come(offset) or self._read_at(offset)
        self._kept.append((start, data))
        if len(data) == MAX_RANGE_BYTES:
            self._ask_ahead(start + len(data))
        return start, data

    def _come(self, offset: int) -> tuple[int, bytes] | None:
        """The range that is wanted, if it is on its way; those before it are given up."""
        while self._coming:
            start, length, coming = self._coming.popleft()
            if start <= offset < start + length:
                return start, coming.result()
            coming.cancel()
        return None

    def _ask_ahead(self, start: int) -> None:
        """See that the ranges from some start on are on their way."""
        if self._coming:
            last, length, _ = self._coming[-1]
            start = last + length
        while len(self._coming) < _RANGES_AHEAD and start < self._source.size:
            length = min(MAX_RANGE_BYTES, self._source.size - start)
            self._coming.append((start, length, _readers().submit(read_object, self._source, (start, length))))
            start += length

    def _read_at(self, offset: int) -> tuple[int, bytes]:
        """A new range that holds an offset: a larger one where reading goes on, the first size anywhere else."""
        start, data = self._kept[-1] if self._kept else (offset + 1, b"")
        if 0 <= offset - start - len(data) <= _LARGEST_SKIP:
            self._length = min(2 * self._length, MAX_RANGE_BYTES)
            start = offset
        else:
            self._length = self._first
            start = max(0, min(offset, self._source.size - self._length))
        return start, read_object(self._source, (start, min(self._length, self._source.size - start)))

    @override
    def close(self) -> None:
        self._kept.clear()
        while self._coming:
            self._coming.pop()[2].cancel()
        super().close()


@made_once
def _readers() -> ThreadPoolExecutor:
    """The threads that all open objects of this process share for what is to come."""
    return ThreadPoolExecutor(_READERS, thread_name_prefix="read-ahead")
