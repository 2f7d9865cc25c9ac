"""Where the samples are in their cells, when High Bit is not Bits Stored - 1: the samples decide (PS3.5 8.1.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stillframe.errors import PixelDataError
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, keep_bits


class UnknownAlignment(PixelDataError):
    """All samples together do not tell which bits are theirs."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """By how many bits samples are shifted to the right, and why."""

    shift: int
    note: str


def align_samples(frames: Iterable[Frame], description: PixelDescription) -> Alignment:
    """Where the samples of all frames are: below the named High Bit, or at the right end of their cells.

    They are shifted if every bit below the named field is 0 in every sample, and not all of the field is. They are
    taken for right-aligned if they fit Bits Stored so, and some bit below the named field is set.

    Raises:
        UnknownAlignment: if neither can be.
    """
    high, stored = description.high_bit, description.bits_stored
    low = high - stored + 1
    bits, fits = 0, True
    for frame in frames:
        bits |= int(np.bitwise_or.reduce(frame.view(f"u{frame.itemsize}"), axis=None))
        fits = fits and bool(np.array_equal(keep_bits(frame, stored), frame))
    stated = f"High Bit is {high}, Bits Stored {stored}"
    if not bits:
        return Alignment(0, f"{stated}; all samples are 0, wherever they are")
    if fits and (low < 0 or bits & ((1 << low) - 1)):
        return Alignment(0, f"{stated}; the samples are in the bits from 0 on, and published so")
    if low > 0 and not bits & ((1 << low) - 1) and bits & (((1 << stored) - 1) << low):
        return Alignment(low, f"{stated}; the samples are in the bits from {low} on, and published shifted to 0")
    raise UnknownAlignment(f"{stated}, and the samples do not tell which bits are theirs (PS3.5 8.1.1)")
