"""A directory in which a process dies by plan."""

from __future__ import annotations

import os
import signal
from io import BytesIO

from stillframe.dicom.files import ReadableFile
from stillframe.store.base import Written
from stillframe.store.directory import DirectoryStore


class DyingStore(DirectoryStore):
    """A store in whose hands the process is killed: when the write of some number comes, or halfway through it.

    `writes` are those that came, in words.
    """

    def __init__(self, root: str, moment: int, *, halfway: bool = False) -> None:
        super().__init__(root)
        self.left = moment
        self.halfway = halfway
        self.writes: list[str] = []

    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        self.writes.append(f"put {key}")
        self.left -= 1
        if self.left < 0:
            if not self.halfway:
                os.kill(os.getpid(), signal.SIGKILL)
            data = DyingFile(data if isinstance(data, bytes) else data.read())
        return super().put(key, data, if_match=if_match, if_none_match=if_none_match)

    def delete(self, key: str) -> None:
        self.writes.append(f"delete {key}")
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().delete(key)


class DyingFile(BytesIO):
    """The first half of an object can be read; then the process is killed."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(len(self.getvalue()) // 2 or 1)
