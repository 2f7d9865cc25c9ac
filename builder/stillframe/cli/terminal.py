"""Prints progress, counts, and lists cut short. Only the room `cli` knows of terminals."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, override

from stillframe.cli.streams import live_terminal, redraw, say, tell
from stillframe.errors import machine_fault
from stillframe.hosting.invalidation import Invalidation
from stillframe.progress import Progress

_BAR_WIDTH: Final = 28
_REDRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 10.0
# So many notes, duplicates and the like are shown on the terminal; the report holds all of them.
_SHOWN: Final = 10


def plural(count: int, one: str, many: str = "") -> str:
    """A count and its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def print_some(label: str, items: Iterable[tuple[str, str]], report_file: Path | None) -> None:
    """Print the first few paths, each with its text, on stderr, and where to find the others."""
    items = sorted(items)
    for path, text in items[:_SHOWN]:
        tell(f"{label:<10} {path}{': ' + text if text else ''}")
    if len(items) > _SHOWN:
        where = f"in {report_file}" if report_file else "with --report FILE"
        tell(f"{label:<10} ... and {len(items) - _SHOWN} more, all {where}")


def print_invalidation(invalidation: Invalidation | None, report_file: Path | None, *, complete: bool = True) -> None:
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

    def __init__(self) -> None:
        self._name = ""
        self._total = self._done = 0
        self._started = self._shown = 0.0

    @override
    def stage(self, name: str, total: int) -> None:
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._started = self._shown = time.monotonic()
        if live_terminal():
            self._draw()
        elif total:
            tell(f"{name}: {total}")

    @override
    def step(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown < (_REDRAW_SECONDS if live_terminal() else _LOG_SECONDS):
            return
        self._shown = now
        if live_terminal():
            self._draw()
        else:
            tell(f"{self._name}: {self._done} of {self._total}")

    def _draw(self) -> None:
        share = self._done / self._total if self._total else 0.0
        bar = "#" * int(share * _BAR_WIDTH)
        elapsed = time.monotonic() - self._started
        left = f"{elapsed / share - elapsed:.0f} s left" if share > 0 and elapsed > 2 else ""
        counts = f"{self._done}/{self._total}" if self._total else ""
        redraw(f"{self._name:<16} [{bar:<{_BAR_WIDTH}}] {counts} {left}")

    def close(self) -> None:
        """End the stage's line."""
        if self._name:
            redraw("")
        self._name = ""


@contextmanager
def shown_logs() -> Iterator[None]:
    """Show on stderr what is logged, a line each: of this package what it waits for, of libraries their warnings.

    On a terminal a wait is one line, which a progress bar draws over. In a log it is a line now and then.
    """
    root, own, waits, lines = logging.getLogger(), logging.getLogger("stillframe"), _WaitHandler(), _LineHandler()
    before, level = own.propagate, own.level
    own.setLevel(logging.INFO)
    own.propagate = False
    own.addHandler(waits)
    root.addHandler(lines)
    try:
        yield
    finally:
        root.removeHandler(lines)
        own.removeHandler(waits)
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
