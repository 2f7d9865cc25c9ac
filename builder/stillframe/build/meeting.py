"""Where idle workers find the one that publishes a large instance, in order to help with its frames."""

from __future__ import annotations

import itertools
import os
import secrets
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import Final

LARGE_SOURCE: Final = 1 << 20
"""Bytes of an input from which on its frames may be worth sharing; what it holds decides then."""

_KEY_BYTES: Final = 32
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Meeting:
    """A socket at `path`, there while help is wanted; `key` is what who helps has to know."""

    path: str
    key: bytes

    def is_open(self) -> bool:
        """Whether help is wanted."""
        return Path(self.path).exists()


def arrange_meeting() -> Meeting:
    """A meeting that has not been opened, in a folder of this process that nobody else may enter."""
    folder = util.get_temp_dir()
    return Meeting(os.path.join(folder, f"frames-{next(_numbers)}"), secrets.token_bytes(_KEY_BYTES))  # noqa: PTH118
