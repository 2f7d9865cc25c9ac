"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until[T](happened: Callable[[], T], seconds: float = 240.0) -> T:
    """What a function answers once that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"nothing for {seconds:.0f} s"
        time.sleep(0.02)
    return answer
