"""How many frames of a large instance are made: the worker that makes them writes it down, whoever waits reads it.

It is a file of some bytes beside those of the job's meetings, because only the result of a task comes back otherwise.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stillframe.build.frame_work import FrameWork, MadeFrame
    from stillframe.build.sharing import MakeFrames

MANY_FRAMES: Final = 200
"""Of an instance with more frames it is told how many are made."""

_COUNT: Final = struct.Struct("<QQ")
_EVERY_SECONDS: Final = 1.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FrameCount:
    """A count at `path`, once there is something to tell."""

    path: str

    def tell(self, done: int, total: int) -> None:
        """Write down that so many frames of all are made. A worker on another machine has no such folder."""
        with suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(file, _COUNT.pack(done, total), 0)
            finally:
                os.close(file)

    def read(self) -> tuple[int, int] | None:
        """How many frames are made, and of how many; None if nobody has told."""
        try:
            data = Path(self.path).read_bytes()
        except OSError:
            return None
        return _COUNT.unpack(data) if len(data) == _COUNT.size else None

    def forget(self) -> None:
        """There is nothing more to tell."""
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108


def arrange_count() -> FrameCount:
    """A count of which nothing is known, in a folder of this process that nobody else may enter."""
    return FrameCount(os.path.join(util.get_temp_dir(), f"count-{next(_numbers)}"))  # noqa: PTH118


def counting(count: FrameCount, make: MakeFrames) -> MakeFrames:
    """The same frames, told by the count now and then where they are many."""

    def make_counted(work: FrameWork, indices: Sequence[int]) -> Iterator[MadeFrame]:
        if len(indices) <= MANY_FRAMES:
            yield from make(work, indices)
            return
        told = time.monotonic()
        try:
            for number, made in enumerate(make(work, indices), 1):
                if time.monotonic() - told >= _EVERY_SECONDS:
                    told = time.monotonic()
                    count.tell(number, len(indices))
                yield made
        finally:
            count.forget()

    return make_counted
