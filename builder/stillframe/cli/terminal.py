"""Prints progress, counts, and lists cut short. Only the room `cli` knows of terminals."""

from __future__ import annotations

import io
import logging
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast, override

import click

from stillframe.hosting.invalidation import Invalidation
from stillframe.progress import Progress

_CLEAR_LINE: Final = "\r\x1b[K"
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
        click.echo(f"{label:<10} {visible(path)}{': ' + text if text else ''}", err=True)
    if len(items) > _SHOWN:
        where = f"in {report_file}" if report_file else "with --report FILE"
        click.echo(f"{label:<10} ... and {len(items) - _SHOWN} more, all {where}", err=True)


def print_invalidation(invalidation: Invalidation | None, report_file: Path | None, *, complete: bool = True) -> None:
    """Print what CloudFront was told of changed objects; `complete` says whether the job itself did all it had to."""
    if invalidation is None:
        return
    paths = invalidation.paths
    if not invalidation.failure:
        click.echo(f"CloudFront {invalidation.distribution}: {plural(len(paths), 'path')} invalidated")
        return
    print_some("still cached", [(path, "") for path in paths], report_file)
    click.echo(f"stillframe: {visible(invalidation.failure)}", err=True)
    state = "the archive itself is complete; " if complete else ""
    click.echo(f"{state}CloudFront may show what was there before until it is told", err=True)


def visible(text: str) -> str:
    """Text from hostile files, without characters that move a cursor."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def megabytes(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB"


def _write(stream: TextIO, text: str) -> None:
    """Show a text. If nobody is there to see it any more, that must not end the job."""
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


class TerminalProgress(Progress):
    """A bar that redraws itself on a terminal, or a line now and then in a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._name = ""
        self._total = self._done = 0
        self._started = self._shown = 0.0

    @override
    def stage(self, name: str, total: int) -> None:
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._started = self._shown = time.monotonic()
        if self._live:
            self._draw()
        elif total:
            _write(self._stream, f"{name}: {total}\n")

    @override
    def step(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown < (_REDRAW_SECONDS if self._live else _LOG_SECONDS):
            return
        self._shown = now
        if self._live:
            self._draw()
        else:
            _write(self._stream, f"{self._name}: {self._done} of {self._total}\n")

    def _draw(self) -> None:
        share = self._done / self._total if self._total else 0.0
        bar = "#" * int(share * _BAR_WIDTH)
        elapsed = time.monotonic() - self._started
        left = f"{elapsed / share - elapsed:.0f} s left" if share > 0 and elapsed > 2 else ""
        counts = f"{self._done}/{self._total}" if self._total else ""
        _write(self._stream, f"{_CLEAR_LINE}{self._name:<16} [{bar:<{_BAR_WIDTH}}] {counts} {left}")

    def close(self) -> None:
        """End the stage's line."""
        if self._live and self._name:
            _write(self._stream, _CLEAR_LINE)
        self._name = ""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what native libraries write to stderr out of the terminal; what Python writes there still comes.

    Decoders say there what they think of damaged frames. The report has what counts.
    """
    stream = sys.stderr
    try:
        attached = stream.fileno() == 2
    except (AttributeError, OSError, ValueError):  # closed, or something of Python's own
        attached = False
    if not attached:
        yield
        return
    stream.flush()
    # Without a buffer, in which lines would wait that nobody reads any more.
    raw = cast(BinaryIO, io.FileIO(os.dup(2), "w"))
    sys.stderr = io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(sys.stderr.fileno(), 2)
        with suppress(OSError):  # nobody reads it any more
            sys.stderr.close()
        sys.stderr = stream


@contextmanager
def shown_waits(stream: TextIO) -> Iterator[None]:
    """Show what this package logs: what it waits for.

    On a terminal that is one line, which a progress bar draws over. In a log it is a line now and then.
    """
    logger, handler = logging.getLogger("stillframe"), _WaitHandler(stream)
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.clear()


class _WaitHandler(logging.Handler):
    """Shows warnings, and the information that follows one."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._live = stream.isatty()
        self._shown = -math.inf
        self._waiting = False

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text, over = visible(record.getMessage()), record.levelno < logging.WARNING
        now = time.monotonic()
        if over:
            if self._waiting:
                _write(self._stream, _CLEAR_LINE if self._live else f"{text}\n")
            self._waiting = False
        elif self._live or now - self._shown >= _LOG_SECONDS:
            _write(self._stream, f"{_CLEAR_LINE}{text}" if self._live else f"{text}\n")
            self._shown, self._waiting = now, True

    def clear(self) -> None:
        """Leave nothing on the line of a terminal."""
        if self._live and self._waiting:
            _write(self._stream, _CLEAR_LINE)
