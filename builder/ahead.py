"""Work that waits for a network, done ahead of whoever takes its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor


def map_ahead[A, T](call: Callable[[A], T], items: Iterable[A], count: int, apart: Callable[[A], bool]) -> Iterator[T]:
    """What `call` makes of each item, in the order of the items.

    Those that are to be done `apart` are done by `count` threads, no more than twice as many of them ahead; the others
    at once, by the caller's own.
    """
    waiting: deque[T | Future[T]] = deque()
    threads = ThreadPoolExecutor(count)
    try:
        for item in items:
            waiting.append(threads.submit(call, item) if apart(item) else call(item))
            while waiting and (len(waiting) > 2 * count or not isinstance(waiting[0], Future)):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # nobody waits for what nobody will take


def _result[T](done: T | Future[T]) -> T:
    return done.result() if isinstance(done, Future) else done
