"""Seeing that what was written is on the disk, where a power cut does not reach it."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Final

from stillframe.parallel import made_once


def _find_syncfs() -> Callable[[int], int] | None:
    """The C library's syncfs(2), which Linux has."""
    library = ctypes.CDLL(None, use_errno=True)
    return getattr(library, "syncfs", None)


SYNCFS: Final = _find_syncfs()
"""Writes all that a file system has in memory to the disk at once; None where there is none."""


class GroupSync:
    """Syncs a file system for several threads at a time: one that comes while a sync runs shares the next."""

    def __init__(self, folder: str) -> None:
        # The system tells of a write that failed once, to whoever had the file system open then.
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._changed = threading.Condition()
        self._running = False
        self._begun = self._ended = 0
        self._failure: OSError | None = None

    def __call__(self) -> None:
        """Return when all that was written before the call is on the disk.

        Raises:
            OSError: if the disk did not take it, or something before it: nothing says what was lost.
        """
        with self._changed:
            wanted = self._begun + 1
            while self._ended < wanted and self._failure is None:
                if self._running:
                    self._changed.wait()
                    continue
                self._running, self._begun = True, self._begun + 1
                self._changed.release()
                try:
                    _sync(self._descriptor)
                except OSError as error:
                    self._failure = error
                finally:
                    self._changed.acquire()
                    self._running = False
                    self._ended = self._begun
                    self._changed.notify_all()
            if self._failure is not None:
                raise OSError(self._failure.errno, self._failure.strerror)


@made_once
def group_sync(folder: str) -> GroupSync:
    """What syncs the file system of a folder for the whole process."""
    return GroupSync(folder)


def _sync(descriptor: int) -> None:
    """One syncfs. Where the system has none, each file was synced when it was written (`sync_file`)."""
    if SYNCFS is not None and SYNCFS(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sync_file(descriptor: int, folder: str) -> None:
    """Sync a file and the folder that names it."""
    os.fsync(descriptor)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
