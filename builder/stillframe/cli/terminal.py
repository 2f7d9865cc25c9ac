"""Prints progress, counts, and lists cut short. Only the room `cli` knows of terminals."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, override

from stillframe.cli.streams import live_terminal, redraw, say, tell
from stillframe.errors import machine_fault
from stillframe.hosting.invalidation import Invalidation
from stillframe.plain_text import likeness
from stillframe.progress import Progress

_BAR_WIDTH: Final = 20
_REDRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 10.0
# So many notes, duplicates and the like are shown on the terminal; the report holds all of them.
_SHOWN: Final = 10
# So many characters of a path or a reason are.
_LONGEST: Final = 600
# A rate is told once a stage is so old.
_SETTLED_SECONDS: Final = 2.0
# Reasons are told apart while a job runs, but for numbers and places, up to so many; so many stand in a line.
_REASONS: Final = 100
_SHOWN_REASONS: Final = 3
_OTHERS: Final = "for other reasons"


def plural(count: int, one: str, many: str = "") -> str:
    """A count and its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def print_some(label: str, items: Iterable[tuple[str, str]], report_file: object) -> None:
    """Print the first few paths, each with its text, on stderr, and where to find the others."""
    more = 0
    for index, (path, text) in enumerate(items):
        if index < _SHOWN:
            tell(f"{label:<10} {short(path)}{': ' + short(text) if text else ''}")
        more = max(0, index + 1 - _SHOWN)
    if more:
        tell(f"{label:<10} ... and {more} more, {where_all_are(report_file)}")


def short(text: str) -> str:
    """A text with its middle left out if it is longer than a person reads; the report has all of it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def where_all_are(report_file: object) -> str:
    """Where to find what a terminal is not shown."""
    return f"all in {report_file}" if report_file else "all with --report FILE"


def print_invalidation(invalidation: Invalidation | None, report_file: object, *, complete: bool = True) -> None:
    """Print what CloudFront was told of changed objects; `complete` says whether the job itself did all it had to."""
    if invalidation is None:
        return
    paths = invalidation.paths
    if not invalidation.failure:
        say(f"CloudFront {invalidation.distribution}: {plural(len(paths), 'path')} invalidated")
        return
    print_some("still cached", [(path, "") for path in paths], report_file)
    tell(f"stillframe: {invalidation.failure}")
    state = "the archive itself is complete; " if complete else ""
    tell(f"{state}CloudFront may show what was there before until it is told")


def megabytes(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB"


class TerminalProgress(Progress):
    """A bar that redraws itself on a terminal, or a line now and then in a log. Both go to stderr."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._name = self._inside = ""
        self._total = self._done = 0
        self._started = self._shown = 0.0
        self._rejected: Counter[str] = Counter()

    @override
    def stage(self, name: str, total: int) -> None:
        self.close()
        self._name, self._total, self._done, self._inside = name, total, 0, ""
        self._started = self._shown = self._now()
        if live_terminal():
            self._draw()
        elif total:
            tell(f"{name}: {total}")

    @override
    def step(self, count: int = 1) -> None:
        self._done += count
        self._inside = ""
        self._show()

    @override
    def reject(self, reason: str) -> None:
        kind = likeness(reason)
        self._rejected[kind if kind in self._rejected or len(self._rejected) < _REASONS else _OTHERS] += 1

    @override
    def inside(self, name: str, done: int, total: int) -> None:
        self._inside = f"{name.rpartition('/')[2]}: frame {done:,} of {total:,}" if total else ""
        self._show()

    def _show(self) -> None:
        now = self._now()
        if now - self._shown < (_REDRAW_SECONDS if live_terminal() else _LOG_SECONDS):
            return
        self._shown = now
        if live_terminal():
            self._draw()
        else:
            done = f"{self._done} of {self._total}" if self._total else f"{self._done}"
            tell(f"{self._name}: {', '.join(filter(None, (done, *self._pace(), self._reasons(), self._inside)))}")

    def _pace(self) -> tuple[str, ...]:
        """How fast it goes, and how long it will take at that."""
        elapsed = self._now() - self._started
        if elapsed <= _SETTLED_SECONDS or not self._done:
            return ()
        rate = self._done / elapsed
        left = (f"{duration((self._total - self._done) / rate)} left",) if self._total else ()
        return (f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", *left)

    def _reasons(self) -> str:
        """How many inputs are rejected, and the most frequent reasons."""
        if not self._rejected:
            return ""
        most = "; ".join(f"{count:,}: {reason}" for reason, count in self._rejected.most_common(_SHOWN_REASONS))
        more = "; ..." if len(self._rejected) > _SHOWN_REASONS else ""
        return f"{self._rejected.total():,} rejected ({most}{more})"

    def _draw(self) -> None:
        share = min(1.0, self._done / self._total) if self._total else 0.0
        bar = "#" * int(share * _BAR_WIDTH)
        counts = f"{self._done}/{self._total}" if self._total else f"{self._done}" if self._done else ""
        rejected = f"{self._rejected.total():,} rejected" if self._rejected else ""
        parts = filter(None, (counts, *self._pace(), rejected, self._inside))
        redraw(f"{self._name:<16} [{bar:<{_BAR_WIDTH}}] {'  '.join(parts)}")

    def close(self) -> None:
        """End the stage's line."""
        if self._name:
            redraw("")
        self._name = ""


def duration(seconds: float) -> str:
    """A span of time, as precisely as anybody wants to know how long something will take."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@contextmanager
def shown_logs() -> Iterator[None]:
    """Show on stderr what is logged, a line each: of this package what it waits for, of libraries their warnings.

    On a terminal a wait is one line, which a progress bar draws over. In a log it is a line now and then. What was lost
    of a cluster is a line that stays.
    """
    root, own, waits, lines = logging.getLogger(), logging.getLogger("stillframe"), _WaitHandler(), _LineHandler()
    before, level = own.propagate, own.level
    own.setLevel(logging.INFO)
    own.propagate = False
    own.addHandler(waits)
    losses, stays = logging.getLogger("stillframe.cluster"), _LossHandler(logging.WARNING)
    losses.propagate = False
    losses.addHandler(stays)
    root.addHandler(lines)
    try:
        yield
    finally:
        root.removeHandler(lines)
        own.removeHandler(waits)
        losses.removeHandler(stays)
        losses.propagate = True
        own.propagate = before
        own.setLevel(level)
        waits.clear()


class _LineHandler(logging.Handler):
    """Shows warnings of libraries, without tracebacks, and not again soon what the same line of code warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: dict[tuple[str, int], float] = {}

    @override
    def emit(self, record: logging.LogRecord) -> None:
        now, origin = time.monotonic(), (record.pathname, record.lineno)
        if now - self._shown.get(origin, -math.inf) < _LOG_SECONDS:
            return
        self._shown[origin] = now
        text = " ".join(record.getMessage().split())
        if record.exc_info and (error := record.exc_info[1]):
            text = machine_fault(error) or f"{text} ({type(error).__name__}: {' '.join(str(error).split())})"
        tell(f"{record.name}: {text}")


class _LossHandler(logging.Handler):
    """Shows what was lost, each loss."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


class _WaitHandler(logging.Handler):
    """Shows warnings, and the information that follows one."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._shown = -math.inf
        self._waiting = False

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text, over, live = record.getMessage(), record.levelno < logging.WARNING, live_terminal()
        now = time.monotonic()
        if over:
            if self._waiting and not live:
                tell(text)
            elif self._waiting:
                redraw("")
            self._waiting = False
        elif live or now - self._shown >= _LOG_SECONDS:
            redraw(text) if live else tell(text)
            self._shown, self._waiting = now, True

    def clear(self) -> None:
        """Leave nothing on the line of a terminal."""
        if self._waiting:
            redraw("")
