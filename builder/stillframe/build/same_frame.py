"""Whether two stored frames hold the same pixels, in whatever form each is published."""

from __future__ import annotations

from typing import Final

import numpy as np

from stillframe.codec.multipart import unwrap_part
from stillframe.dicom.syntaxes import EXPLICIT_LITTLE
from stillframe.errors import CodecError, PixelDataError
from stillframe.layout import HEAD_BYTES
from stillframe.options import DecoderLimits
from stillframe.pixels.foreign_codestreams import decode_published
from stillframe.pixels.native import Frame, native_bytes

_CODESTREAM: Final = b"\xff\x4f"
_NATIVE: Final = f"transfer-syntax={EXPLICIT_LITTLE}\r\n".encode()


def same_frame(frame: bytes, other: bytes, limits: DecoderLimits) -> bool:
    """Whether two stored frames hold the same pixels.

    They do if their bytes are equal, if they are codestreams that decode alike within limits, or if one is the
    codestream of samples that the other holds natively, in cells of 1, 8 or 16 bits.

    Raises:
        PixelDataError: if a published frame cannot be decoded.
    """
    if frame == other:
        return True
    codestream, native = (frame, other) if frame.startswith(_CODESTREAM) else (other, frame)
    if not codestream.startswith(_CODESTREAM):
        return False
    coded = native.startswith(_CODESTREAM)
    if not coded and _NATIVE not in native[:HEAD_BYTES]:
        return False
    try:
        pixels = decode_published(codestream, limits)
        return bool(np.array_equal(pixels, decode_published(native, limits))) if coded else _holds(native, pixels)
    except CodecError as error:
        raise PixelDataError(f"a published frame cannot be decoded: {error}") from error


def _holds(native: bytes, pixels: Frame) -> bool:
    """Whether the part of a native frame has these samples in its cells."""
    part = unwrap_part(native)
    if len(part) == (pixels.size + 7) // 8:
        return int(pixels.min()) >= 0 and int(pixels.max()) <= 1 and part == native_bytes(pixels, 1)
    size, rest = divmod(len(part), pixels.size)
    if rest or size not in (1, 2):
        return False
    return bool(np.array_equal(np.frombuffer(part, f"<{pixels.dtype.kind}{size}"), pixels.reshape(-1)))
