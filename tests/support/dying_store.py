"""A directory in which a process dies by plan."""

from __future__ import annotations

import os
import signal
from io import BytesIO
from typing import override

from stillframe.dicom.files import ReadableFile
from tests.support.told_store import ToldStore


class DyingAtMetadata(ToldStore):
    """A store whose process is gone when the finished metadata of a new instance come."""

    @override
    def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
        if key.endswith("/metadata"):
            os.kill(os.getpid(), signal.SIGKILL)
        return data


class DyingStore(ToldStore):
    """A store in whose hands the process is killed: when the write of some number comes, or halfway through it.

    `writes` are those that came, in words.
    """

    def __init__(self, root: str, moment: int, *, halfway: bool = False) -> None:
        super().__init__(root)
        self.left = moment
        self.halfway = halfway
        self.writes: list[str] = []

    def _comes(self, what: str) -> bool:
        """Whether the process is to die at this write."""
        self.writes.append(what)
        self.left -= 1
        return self.left < 0

    @override
    def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
        if not self._comes(f"put {key}"):
            return data
        if not self.halfway:
            os.kill(os.getpid(), signal.SIGKILL)
        return DyingFile(data if isinstance(data, bytes) else data.read())

    @override
    def before_delete(self, key: str) -> None:
        if self._comes(f"delete {key}"):
            os.kill(os.getpid(), signal.SIGKILL)

    @override
    def before_commit(self, resource: str) -> None:
        if self._comes(f"commit {resource}"):
            os.kill(os.getpid(), signal.SIGKILL)


class DyingFile(BytesIO):
    """The first half of an object can be read; then the process is killed."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(len(self.getvalue()) // 2 or 1)
