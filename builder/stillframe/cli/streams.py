"""The standard streams of a command: always there, for every text, and safe for the terminal behind them.

All that is printed goes through here, whoever prints it: this package, click, a library's log, a traceback.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, override

from stillframe.plain_text import plain_line, printable

_CLEAR_LINE: Final = "\r\x1b[K"


class SafeStream(io.TextIOBase):
    """A text stream over a descriptor. What cannot be written is lost, and `failure` says why.

    A job must not end because nobody reads what it says. What the encoding lacks is escaped.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor = descriptor
        self._codec = encoding
        self.failure: OSError | None = None

    @property
    @override
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute; io has a property
        return self._codec

    @override
    def fileno(self) -> int:
        return self._descriptor

    @override
    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, text: str) -> int:
        """Write lines, each fit for a terminal and without secrets."""
        self._send("\n".join(map(plain_line, text.split("\n"))))
        return len(text)

    def write_product(self, text: str) -> None:
        """Write lines that the command was asked for: the signature of a grant is no secret of its own output."""
        self._send("\n".join(map(printable, text.split("\n"))))

    def redraw(self, line: str) -> None:
        """Write a line of a terminal anew, as much of it as has room: what lies on two lines is not cleared."""
        self._send(_CLEAR_LINE + plain_line(line)[: self._room()])

    def _room(self) -> int | None:
        """How many characters a line of the terminal has room for; None if nobody knows."""
        with suppress(OSError):
            columns = os.get_terminal_size(self._descriptor).columns
            return columns - 1 if columns > 1 else None  # a terminal of which nobody told the size has 0
        return None

    def _send(self, text: str) -> None:
        data = memoryview(text.encode(self._codec, "backslashreplace"))
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # a pipe that does not make who writes wait
                    select.select([], [self._descriptor], [])
        except OSError as error:
            self.failure = self.failure or error


@contextmanager
def safe_streams() -> Iterator[None]:
    """Let the block print through safe streams. What native libraries write to stderr reaches nobody.

    Decoders say there what they think of damaged frames. The report has what counts.
    """
    closed = _open_standard_descriptors()
    before = sys.stdout, sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    encodings = [getattr(stream, "encoding", None) or "utf-8" for stream in before]
    out, err = (SafeStream(os.dup(number), encoding) for number, encoding in enumerate(encodings, 1))
    for stream in before:
        with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    if 1 in closed:
        out.failure = OSError(errno.EBADF, "it is closed")
    sys.stdout, sys.stderr = out, err
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(err.fileno(), 2)
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            os.close(stream.fileno())


def _open_standard_descriptors() -> list[int]:
    """Open what is closed of the descriptors 0 to 2: the next files would get their numbers, and what is printed."""
    closed: list[int] = []
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # for what is started it is the same
        closed.append(descriptor)
    os.close(descriptor)
    return closed


def say(line: str) -> None:
    """Print one line on stdout; line ends of names within it are escaped as all that is not printable."""
    sys.stdout.write(f"{plain_line(line)}\n")
    sys.stdout.flush()


def tell(line: str) -> None:
    """As `say`, on stderr."""
    sys.stderr.write(f"{plain_line(line)}\n")
    sys.stderr.flush()


def live_terminal() -> bool:
    """Whether stderr is a terminal, whose lines can be drawn anew."""
    return isinstance(sys.stderr, SafeStream) and sys.stderr.isatty()


def redraw(line: str) -> None:
    """Draw a line anew where stderr is a terminal."""
    if isinstance(sys.stderr, SafeStream) and sys.stderr.isatty():
        sys.stderr.redraw(line)


def print_product(text: str) -> None:
    """Print what a command was asked for, as it is but for characters that act on a terminal."""
    if isinstance(sys.stdout, SafeStream):
        sys.stdout.write_product(text)
    else:
        sys.stdout.write(text)


def lost_output() -> str:
    """Why something that was to be printed on stdout is lost; empty if nothing is."""
    failure = sys.stdout.failure if isinstance(sys.stdout, SafeStream) else None
    return "" if failure is None else failure.strerror or str(failure)
