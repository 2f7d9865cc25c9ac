"""Saying what is waited for: a line in the log after a few seconds, then now and then, and one when it is over.

A store may be waited for during minutes, and another job for as long as it takes. The lines name neither objects nor
UIDs: logs are read by many.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from stillframe.parallel import Watched, made_once

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
    waits = _waits()
    waits.add(wait)
    try:
        yield wait
    finally:
        waits.discard(wait)


class _Teller:
    """Tells of waits, of several for the same thing only of the oldest."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def look(self, waits: list[Wait]) -> None:
        now = time.monotonic()
        oldest: dict[str, Wait] = {}
        for wait in sorted(waits, key=lambda wait: wait.began):
            if now - wait.began >= wait.quiet:
                oldest.setdefault(wait.what, wait)
        for what, wait in oldest.items():
            self._seconds[what] = now - wait.began
            if what not in self._told or now - self._told[what] >= _AGAIN_SECONDS:
                self._told[what] = now
                LOGGER.warning("%s", wait.describe(now - wait.began))
        for what in self._told.keys() - oldest.keys():
            del self._told[what]
            LOGGER.info("waited %.0f s for %s", self._seconds.pop(what), what)


@made_once
def _waits() -> Watched[Wait]:
    return Watched("waits", _LOOK_SECONDS, _Teller().look)
