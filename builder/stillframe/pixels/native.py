"""Native samples (PS3.5 8.1, 8.2) as arrays: bytes in, one frame out."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from stillframe.errors import PixelDataError
from stillframe.pixels.description import PixelDescription

type Frame = npt.NDArray[Any]

_PACKED_BITS: Final = 12


def frame_bits(description: PixelDescription) -> int:
    """Bits of one native frame; frames follow each other without padding (PS3.5 8.1.1)."""
    if description.photometric == "YBR_FULL_422":
        return description.rows * description.columns * 2 * description.bits_allocated
    return (
        description.rows
        * description.columns
        * description.samples
        * (_PACKED_BITS if description.packed else description.bits_allocated)
    )


def unpack_frame(
    data: bytes | bytearray | memoryview,
    description: PixelDescription,
    *,
    first_bit: int = 0,
    order: Literal["<", ">"] = "<",
) -> Frame:
    """One frame from its native bytes, colour interleaved, YBR_FULL_422 as YBR_FULL.

    Args:
        data: the bytes that hold the frame, 8-bit samples and cells of 1 or 12 bits in little endian order.
        description: what they are.
        first_bit: where in the first byte the frame begins: cells of 1 or 12 bits need not begin on a byte.
        order: `<` or `>`, the byte order of longer samples.

    Raises:
        PixelDataError: for YBR_FULL_422 of other than 8 bits and an even number of columns.
    """
    if description.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")
        count = description.rows * description.columns * description.samples
        return _in_rows(bits[first_bit : first_bit + count], description)
    if description.packed:
        return _unpack_12(data, description, first_bit)
    if description.photometric == "YBR_FULL_422":
        return _expand_422(data, description)
    samples = np.frombuffer(data, description.dtype.newbyteorder(order)).astype(description.dtype, copy=False)
    return _in_rows(samples, description)


def _in_rows(samples: Frame, description: PixelDescription) -> Frame:
    """The samples of a frame, one after another, as rows and columns of pixels, whatever Planar Configuration is."""
    if description.samples > 1 and description.planar == 1:
        return samples.reshape(description.samples, description.rows, description.columns).transpose(1, 2, 0)
    return samples.reshape(description.shape)


def _unpack_12(data: bytes | bytearray | memoryview, description: PixelDescription, first_bit: int) -> Frame:
    """Cells of 12 bits: one stream from the least significant bit of the first to the most significant of the last.

    PS3.5 Annex D.1, as ACR-NEMA 2.0 packed them; two samples share three bytes.
    """
    stored = np.frombuffer(data, "u1")
    nibbles = np.empty(2 * len(stored), "u2")
    nibbles[::2], nibbles[1::2] = stored & 15, stored >> 4
    count = description.rows * description.columns * description.samples
    cells = nibbles[first_bit // 4 :][: 3 * count].reshape(count, 3)
    samples = (cells[:, 0] | cells[:, 1] << 4 | cells[:, 2] << 8).astype("u2").view(description.dtype)
    return (keep_bits(samples, _PACKED_BITS) if description.pixel_representation else samples).reshape(
        description.shape
    )


def _expand_422(data: bytes | bytearray | memoryview, description: PixelDescription) -> Frame:
    """Native YBR_FULL_422 (PS3.3 C.7.6.3.1.2): two luminance samples share a pair of chrominance samples."""
    if description.bits_allocated != 8 or description.columns % 2:
        raise PixelDataError("native YBR_FULL_422 needs 8 bits and an even number of columns")
    quads = np.frombuffer(data, "u1").reshape(-1, 4)
    pixels = np.empty((quads.shape[0], 2, 3), "u1")
    pixels[:, :, 0] = quads[:, :2]
    pixels[:, :, 1] = quads[:, 2:3]
    pixels[:, :, 2] = quads[:, 3:4]
    return pixels.reshape(description.shape)


def keep_bits(frame: Frame, bits: int) -> Frame:
    """The lower bits of each sample: the others cleared, or filled with the sign (PS3.5 8.1.1)."""
    unused = frame.dtype.itemsize * 8 - bits
    return (frame << unused) >> unused


def same_samples(one: Frame, other: Frame) -> bool:
    """Whether two frames have the same shape and samples. Of one type, eight bytes are compared at a time."""
    if one.dtype != other.dtype or one.nbytes % 8 or not (one.flags.c_contiguous and other.flags.c_contiguous):
        return np.array_equal(one, other)
    return one.shape == other.shape and np.array_equal(one.reshape(-1).view("u8"), other.reshape(-1).view("u8"))


def native_bytes(frame: Frame, bits_allocated: int) -> bytes:
    """A frame as Explicit VR Little Endian stores it (PS3.5 8.2): interleaved, little endian, 1-bit samples packed."""
    if bits_allocated == 1:
        return np.packbits(frame.reshape(-1), bitorder="little").tobytes()
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
