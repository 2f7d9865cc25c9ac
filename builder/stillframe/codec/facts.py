"""What can be known of a compressed frame without decoding it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts:
    """Width and height in pixels, `samples` a pixel, `precision` in bits, and whether decoding gives back the original.

    `samples` and `precision` are 0 where the encoding does not say (RLE, native samples). `signed` is what the encoding
    says, which only that of JPEG 2000 does. `decodable` is False for forms of JPEG XL that are no upright still images
    of integer colour channels only.
    """

    width: int
    height: int
    samples: int
    precision: int
    lossless: bool
    signed: bool = False
    decodable: bool = True
