"""Results that take long to make, for all processes of a test run."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import cast


def shared_result[T](folder: Path, make: Callable[[], T]) -> T:
    """What `make` returns: made by the process that asks first, in a folder of its own; others wait, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "result"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
        return cast("T", pickle.loads(kept.read_bytes()))  # written a moment ago by this run
