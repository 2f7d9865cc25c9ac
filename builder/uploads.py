"""Uploads beside the work that makes them: a few threads of this process, and a bound to what waits in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from builder.parallel import made_once

MAX_WAITING_BYTES: Final = 64 << 20
"""Of objects on their way to a store, in one process; a larger object goes alone."""


class Uploads:
    """Threads that put objects. Whoever makes objects faster than they are taken waits."""

    def __init__(self, threads: int, limit: int = MAX_WAITING_BYTES) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        self._limit = limit
        self._waiting = 0
        self._room = threading.Condition()

    def submit(self, size: int, work: Callable[[], Any]) -> Future[Any]:
        """Have an object of `size` bytes put by `work`, as soon as there is room for it."""
        cost = min(size, self._limit)
        with self._room:
            self._room.wait_for(lambda: self._waiting + cost <= self._limit)
            self._waiting += cost
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._release(cost))
        return future

    def _release(self, cost: int) -> None:
        with self._room:
            self._waiting -= cost
            self._room.notify_all()


@made_once
def uploads_of_process(threads: int) -> Uploads:
    """The uploads that all stores of this process share."""
    return Uploads(threads)
