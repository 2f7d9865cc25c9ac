"""What threads share: pools that an interrupted command does not wait for, values that a process makes once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


class Threads(ThreadPoolExecutor):
    """A pool whose context waits for what is under way, but where the user interrupts: a request may take minutes."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the pool; nothing more is begun after an error."""
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.shutdown(wait=not interrupted, cancel_futures=kind is not None)
