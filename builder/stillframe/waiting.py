"""Saying what is waited for: a line in the log after a few seconds, then now and then, and one when it is over.

A store may be waited for during minutes, and another job for as long as it takes. The lines name neither objects nor
UIDs: logs are read by many.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from stillframe.parallel import made_once

LOGGER: Final = logging.getLogger("stillframe.store.waiting")
"""Warns of what is waited for; the end of such a wait is information."""

_QUIET_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5

logging.getLogger("stillframe").addHandler(logging.NullHandler())  # who handles no logs is told nothing


@dataclass(slots=True, eq=False, kw_only=True)
class Wait:
    """A wait under way. `quiet` is how many seconds of it nobody hears of, `limit` how many it may last, 0 for any."""

    what: str
    reason: str = ""
    quiet: float = _QUIET_SECONDS
    limit: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def fail(self, reason: str, began: float, limit: float) -> None:
        """What is waited for has failed, first when the wait `began`, and is tried again until the `limit`."""
        self.reason, self.began, self.limit, self.quiet = reason, began, limit, _QUIET_SECONDS

    def describe(self, seconds: float) -> str:
        """The wait in words, after so many seconds."""
        reason = f" ({self.reason})" if self.reason else ""
        limit = f" of {self.limit:.0f} s" if self.limit else ""
        return f"waiting for {self.what}{reason}, {seconds:.0f} s{limit}"


@contextmanager
def waiting(what: str, reason: str = "", quiet: float = _QUIET_SECONDS) -> Iterator[Wait]:
    """Say in the log that the block waits for something, once it has taken more than `quiet` seconds."""
    wait = Wait(what=what, reason=reason, quiet=quiet)
    watch = _watch()
    watch.add(wait)
    try:
        yield wait
    finally:
        watch.remove(wait)


class _Watch:
    """The waits of this process, looked at by a thread of its own. Of several for the same thing the oldest is told."""

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        threading.Thread(target=self._run, name="waits", daemon=True).start()

    def add(self, wait: Wait) -> None:
        with self._lock:
            self._waits.add(wait)

    def remove(self, wait: Wait) -> None:
        with self._lock:
            self._waits.discard(wait)

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        oldest: dict[str, Wait] = {}
        with self._lock:
            for wait in self._waits:
                known = oldest.get(wait.what)
                if now - wait.began >= wait.quiet and (known is None or wait.began < known.began):
                    oldest[wait.what] = wait
        for what, wait in oldest.items():
            self._seconds[what] = now - wait.began
            if what not in self._told or now - self._told[what] >= _AGAIN_SECONDS:
                self._told[what] = now
                LOGGER.warning("%s", wait.describe(now - wait.began))
        for what in self._told.keys() - oldest.keys():
            del self._told[what]
            LOGGER.info("waited %.0f s for %s", self._seconds.pop(what), what)


@made_once
def _watch() -> _Watch:
    return _Watch()
