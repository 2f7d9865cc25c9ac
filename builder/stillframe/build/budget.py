"""What one instance may come to, in bytes of its objects and in seconds of work.

A few bytes can promise any number of frames, each as large as a frame may be. What an instance may cost follows from
the bytes of its data set and from the pixels that these can hold, never from a number in it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Final

from stillframe.build.sink import Sink
from stillframe.dicom.files import ReadableFile
from stillframe.errors import InputError
from stillframe.layout import check_key_length

GROWTH: Final = 10
"""Bytes of objects for each of the data set, where that comes to more than an archive member may have.

Lossy frames of a slide become about five times as many when they are transcoded, whole objects and pictures included.
"""
MOST_COMPRESSED: Final = 1000
"""Bytes of pixels that a byte of the data set may hold: deflate, which knows no images, goes as far (RFC 1951)."""
WORK_BYTES: Final = 4_000_000
"""Bytes of pixels that are worked on in a second of processor time: a fifth of what the slowest decoder does."""
LEAST_SECONDS: Final = 300.0
"""For what is not pixels: eight million elements and items take some minutes."""

_CHUNK_BYTES: Final = 2 << 20
_WAITING_BYTES: Final = 64 << 20


def chunk_frames(frame_bytes: int) -> int:
    """How many frames of so many decoded bytes one process gives another at once: some milliseconds of work."""
    return max(1, _CHUNK_BYTES // frame_bytes)


def chunks_under_way(frame_bytes: int, processes: int) -> int:
    """How many chunks of such frames of one instance may be under way, or made and wait for those before them.

    That is 64 MiB of decoded frames, or at least a chunk for each process: no more than as many instances would take.
    """
    return max(processes, _WAITING_BYTES // (chunk_frames(frame_bytes) * frame_bytes))


class Budget:
    """The bytes and the seconds of processor time that one instance may still take."""

    def __init__(self, size: int, max_unpacked: int, now: Callable[[], float] = time.thread_time) -> None:
        """A budget for a data set of `size` bytes, unpacked, of which nothing is known yet.

        `max_unpacked` is what any data set may unpack to; `now` tells the processor time of the work.
        """
        self._size = size
        self._max_unpacked = max_unpacked
        self._now = now
        self._began = now()
        self._bytes = 0
        self.most_bytes = max(max_unpacked, GROWTH * size)
        self.most_seconds = LEAST_SECONDS + max_unpacked / WORK_BYTES

    def justify(self, decoded_bytes: int) -> None:
        """Allow the time that so many bytes of pixels take, as far as the data set can hold them."""
        justified = min(decoded_bytes, MOST_COMPRESSED * self._size)
        self.most_seconds = LEAST_SECONDS + (self._max_unpacked + justified) / WORK_BYTES

    def expect(self, size: int) -> None:
        """See that there is room for so many bytes of objects.

        Raises:
            InputError: if there is not.
        """
        if self._bytes + size > self.most_bytes:
            raise InputError(
                f"exceeds its budget of {self.most_bytes} bytes of published objects; --max-unpacked raises it"
            )

    def spend(self, size: int) -> None:
        """Take so many bytes of objects.

        Raises:
            InputError: if there is no room for them.
        """
        self.expect(size)
        self._bytes += size

    def restart(self) -> None:
        """Count the bytes anew: the objects come again."""
        self._bytes = 0

    def check_time(self) -> None:
        """See that the work did not take too long.

        Raises:
            InputError: if it did.
        """
        if self._now() - self._began > self.most_seconds:
            raise InputError(f"exceeds its budget of {self.most_seconds:.0f} seconds of work; --max-unpacked raises it")


class BoundedSink:
    """Passes an instance's objects on, within its budget and with keys that stores take.

    `prefix` is what stands before the keys.
    """

    def __init__(self, sink: Sink, budget: Budget, prefix: str = "") -> None:
        self._sink = sink
        self._prefix = prefix
        self.budget = budget

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `sink.Sink`; files are read from their beginning.

        Raises:
            InputError: if the key is too long, or the budget does not allow the object.
        """
        check_key_length(key, self._prefix)
        self.budget.check_time()
        self.budget.spend(len(data) if isinstance(data, bytes) else data.seek(0, io.SEEK_END))
        if not isinstance(data, bytes):
            data.seek(0)
        self._sink.put(key, data)

    def expect(self, size: int) -> None:
        """See `sink.LimitedSink`."""
        self.budget.expect(size)

    def restart(self) -> None:
        """See `sink.Sink`."""
        self.budget.restart()
        self._sink.restart()
