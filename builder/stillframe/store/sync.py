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
        self._folder = folder
        self._changed = threading.Condition()
        self._running = False
        self._begun = self._ended = 0

    def __call__(self) -> None:
        """Return when all that was written before the call is on the disk.

        Raises:
            OSError: if the disk does not take it.
        """
        with self._changed:
            wanted = self._begun + 1
            while self._ended < wanted:
                if self._running:
                    self._changed.wait()
                    continue
                self._running, self._begun = True, self._begun + 1
                self._changed.release()
                try:
                    _sync(self._folder)
                finally:
                    self._changed.acquire()
                    self._running = False
                    self._changed.notify_all()
                self._ended = self._begun


@made_once
def group_sync(folder: str) -> GroupSync:
    """What syncs the file system of a folder for the whole process."""
    return GroupSync(folder)


def _sync(folder: str) -> None:
    """One syncfs. Where the system has none, each file was synced when it was written (`sync_file`)."""
    if SYNCFS is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if SYNCFS(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def sync_file(descriptor: int, folder: str) -> None:
    """Sync a file and the folder that names it."""
    os.fsync(descriptor)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
