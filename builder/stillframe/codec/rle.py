"""RLE frames (PS3.5 Annex G): each byte of a sample is a plane of its own, packed by itself."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from imagecodecs import packbits_decode

from stillframe.codec.htj2k import CODEC_FAILURES
from stillframe.errors import CodecError

_HEADER: Final = struct.Struct("<16L")
_NO_RUN: Final = 0x80
_PADDING: Final = b"\0\xff\x80"


def decode_rle(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Decode one frame.

    Args:
        data: the frame, its header first.
        shape: (rows, columns) or (rows, columns, samples).
        dtype: of a sample, in native byte order.

    Raises:
        CodecError: if the segments are not those of such a frame, or one does not unpack to a plane of it.
    """
    rows, columns, *samples = shape
    count = dtype.itemsize * (samples[0] if samples else 1)
    if len(data) < _HEADER.size:
        raise CodecError(f"an RLE frame of {len(data)} bytes has no header")
    number, *offsets = _HEADER.unpack_from(data)
    if number != count:
        raise CodecError(f"an RLE frame has {number} segments, {count} are expected")
    bounds = [*offsets[:count], len(data)]
    octets = np.empty((rows * columns, count // dtype.itemsize, dtype.itemsize), np.uint8)
    for index in range(count):
        sample, byte = divmod(index, dtype.itemsize)  # the most significant one comes first (G.2)
        plane = _unpack(data[bounds[index] : bounds[index + 1]], rows * columns)
        octets[:, sample, dtype.itemsize - 1 - byte] = plane
    return octets.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def _unpack(segment: bytes, pixels: int) -> npt.NDArray[np.uint8]:
    """One segment (G.3.2). Zeros behind it are padding: two of them unpack to one more. So are FF, and 80, which is
    nothing. Other bytes may be those of a larger plane: nothing tells how large one is.
    """
    try:
        plane = np.frombuffer(packbits_decode(segment), np.uint8)
    except CODEC_FAILURES as error:
        if (own := _without_padding(segment, pixels)) != segment:
            return _unpack(own, pixels)
        raise CodecError("an RLE segment is damaged") from error
    if len(plane) > pixels and plane[pixels:].any() and (own := _without_padding(segment, pixels)) != segment:
        return _unpack(own, pixels)
    if len(plane) < pixels or plane[pixels:].any():
        raise CodecError(f"an RLE segment unpacks to {len(plane)} bytes, {pixels} are expected")
    return plane[:pixels]


def _without_padding(segment: bytes, pixels: int) -> bytes:
    """The runs that make so many bytes, where nothing but padding is behind them; else the segment."""
    offset = made = 0
    while made < pixels and offset < len(segment):
        code = segment[offset]
        made += code + 1 if code < _NO_RUN else 257 - code if code > _NO_RUN else 0
        offset += code + 2 if code < _NO_RUN else 2 if code > _NO_RUN else 1
    return segment if made < pixels or segment[offset:].strip(_PADDING) else segment[:offset]
