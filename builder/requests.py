"""Requests side by side: how a store that is far away is asked about many things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def side_by_side[K, T](at_once: int, work: Callable[[K], T], items: Iterable[K]) -> list[T]:
    """The results of `work` on every item, in their order, `at_once` of them under way at a time.

    The first failure is raised, and nothing more begun; what is under way then is not waited for.
    """
    waiting = list(items)
    if at_once <= 1 or len(waiting) <= 1:
        return [work(item) for item in waiting]
    threads = ThreadPoolExecutor(min(at_once, len(waiting)))
    try:
        return list(threads.map(work, waiting))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
