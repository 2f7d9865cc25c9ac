"""At which of many requests something is tried, where all of them would take too long."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

EVERY: Final = bool(os.environ.get("STILLFRAME_FAULTS"))
"""Whether each is tried, as far as a test goes."""


def moments(requests: Sequence[str]) -> list[int]:
    """The first and the last request of every kind, by their numbers, and the moment after all of them.

    Requests are of a kind if they differ in numbers alone: of instances, of frames.
    """
    if EVERY:
        return [*range(len(requests) + 1)]
    kinds: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        kinds.setdefault(re.sub(r"\d+(\.\d+)*", "N", request), []).append(number)
    return sorted({place for found in kinds.values() for place in (found[0], found[-1])} | {len(requests)})
