"""Work in several threads: side by side, or ahead of whoever takes its results. Values that a process makes once.

A store that is far away is waited for by threads: many requests are under way at once, and no core is kept busy.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, wraps
from types import TracebackType


def made_once[*A, T](make: Callable[[*A], T]) -> Callable[[*A], T]:
    """What `make` returns, made once for the same arguments; `functools.cache` lets several threads make one each."""
    made, making = cache(make), threading.Lock()

    @wraps(make)
    def get(*args: *A) -> T:
        with making:
            return made(*args)

    return get


class Watched[T]:
    """Values that a thread looks at every so many seconds, from when they are added until they are discarded."""

    def __init__(self, name: str, seconds: float, look: Callable[[list[T]], None]) -> None:
        self._values: set[T] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, args=(seconds, look), name=name, daemon=True).start()

    def add(self, value: T) -> None:
        """Look at a value from now on."""
        with self._lock:
            self._values.add(value)

    def discard(self, value: T) -> None:
        """Look at a value no more."""
        with self._lock:
            self._values.discard(value)

    def _run(self, seconds: float, look: Callable[[list[T]], None]) -> None:
        while True:
            time.sleep(seconds)
            with self._lock:
                values = list(self._values)
            look(values)


def side_by_side[A, T](at_once: int, call: Callable[[A], T], items: Iterable[A]) -> list[T]:
    """The results of `call` on every item, in their order, `at_once` of them under way at a time.

    After the first failure nothing more is begun, and what is under way is not waited for: a request may take minutes.
    """
    items = list(items)
    if at_once <= 1 or len(items) <= 1:
        return [call(item) for item in items]
    with _Threads(min(at_once, len(items))) as threads:
        return list(threads.map(call, items))


def map_ahead[A, T](
    call: Callable[[A], T],
    items: Iterable[A],
    threads: int,
    *,
    window: int = 0,
    apart: Callable[[A], bool] = lambda _: True,
) -> Generator[T]:
    """The results of `call` on every item, in their order, made before they are asked for.

    Whoever stops taking results closes the iterator: nothing more is begun then, and nothing waited for.

    Args:
        call: makes a result.
        items: what there is to be called with; not taken further than needed.
        threads: how many calls are under way at a time.
        window: how many items it may be ahead of the caller; as many as there are threads if not given.
        apart: which items are worth a thread; the others are called in the caller's own.
    """
    window = window or threads
    coming: deque[T | Future[T]] = deque()
    with _Threads(threads) as pool:
        for item in items:
            coming.append(pool.submit(call, item) if apart(item) else call(item))
            while coming and (len(coming) > window or not isinstance(coming[0], Future)):
                yield _result(coming.popleft())
        while coming:
            yield _result(coming.popleft())


def _result[T](coming: T | Future[T]) -> T:
    return coming.result() if isinstance(coming, Future) else coming


class _Threads(ThreadPoolExecutor):
    """A pool whose context waits at its end for what is under way, but not where the block failed or was left."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the pool; nothing more is begun after an error."""
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)
