"""Being asked to stop: SIGTERM, with which schedulers take a machine back, lets a job end in good order.

The first one is an exception in the main thread, and what must not be cut in two holds it up. The second one is what
Ctrl-C is: the job ends at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

STOPPED: Final = "the job was asked to stop (SIGTERM)"
"""What a report says of a job that ended in this way."""


class Stopped(KeyboardInterrupt):
    """SIGTERM came. It passes handlers of errors, as an interrupt does."""


@dataclass(slots=True)
class _State:
    """Whether the signal is held up, and whether it came meanwhile."""

    held_up: bool = False
    came: bool = False


_state: Final = _State()


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM raise `Stopped` in the block, once. For the main thread."""
    _state.held_up = _state.came = False
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _state.held_up = _state.came = False


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if _state.held_up:
        _state.came = True
        return
    raise Stopped


@contextmanager
def unstopped() -> Iterator[None]:
    """Hold a `Stopped` up until the end of the block. For the main thread."""
    before, _state.held_up = _state.held_up, True
    try:
        yield
    finally:
        _state.held_up = before
        came = _state.came and not before
        _state.came = _state.came and before
    if came:
        raise Stopped


def is_stop_held_up() -> bool:
    """Whether `Stopped` comes at the end of the block of `unstopped`: nothing may be waited for that takes long."""
    return _state.came


def finish() -> None:
    """Nothing is left to be stopped: within `stoppable`, a first signal does nothing from now on. For the main thread.

    What is left is to tell what was done, which takes a moment; a second signal ends that.
    """
    _state.held_up = True
