"""RLE (PS3.5 Annex G): the frames are packed by pydicom, or byte by byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.encoders.base import RLELosslessEncoder

from stillframe.codec.rle import decode_rle
from stillframe.errors import CodecError
from tests.support.dicom_files import image_attributes, random_samples
from tests.support.frame_encoders import rle


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3), (1, 1), (2, 300), (1, 129, 3)])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("flat", [False, True])
def test_frames_come_back_as_pydicom_packed_them(shape: tuple[int, ...], dtype: str, flat: bool) -> None:
    frame = random_samples(shape, dtype, 8 * np.dtype(dtype).itemsize)
    if flat:
        frame[:] = frame.reshape(-1)[0]
    attributes = image_attributes(frame)
    options = {
        "rows": shape[0], "columns": shape[1], "samples_per_pixel": attributes["SamplesPerPixel"],
        "photometric_interpretation": attributes["PhotometricInterpretation"], "number_of_frames": 1,
        "bits_allocated": attributes["BitsAllocated"], "bits_stored": attributes["BitsStored"],
        "pixel_representation": attributes["PixelRepresentation"], "planar_configuration": 0,
    }  # fmt: skip
    data = RLELosslessEncoder.encode(frame, encoding_plugin="pydicom", **options)
    found = decode_rle(data, shape, frame.dtype)
    assert found.dtype == frame.dtype
    assert np.array_equal(found, frame)


@pytest.mark.parametrize("dtype", ["i1", "i2", "u4", "i4", "f4", "f8"])
def test_every_kind_of_sample_comes_back(dtype: str) -> None:
    frame = random_samples((9, 13), dtype, 8 * min(4, np.dtype(dtype).itemsize))
    found = decode_rle(rle(frame, 0), frame.shape, frame.dtype)
    assert found.dtype == frame.dtype
    assert np.array_equal(found, frame)


def packed(*segments: bytes) -> bytes:
    offsets = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


@pytest.mark.parametrize(
    ("segment", "plane"),
    [
        (b"\x03abcd", b"abcd"),
        (b"\xfdx", b"xxxx"),
        (b"\xffa\x80\xffb\x00", b"aabb"),  # -128 does nothing, and a last byte pads to an even length (G.3.1)
        (b"\x00a\x00b\xffc\x00", b"abcc"),
        (b"\x03abcd" + bytes(7), b"abcd"),  # padded further, as some encoders do
        (b"\x03abcd" + b"\xff" * 6, b"abcd"),
        (b"\x03abcd" + b"\xff" * 7, b"abcd"),
        (b"\x03abcd\0\x80\x80", b"abcd"),
        (b"\x03\xff\xff\xff\xff\xff", b"\xff" * 4),
    ],
)
def test_runs_are_those_of_the_standard(segment: bytes, plane: bytes) -> None:
    assert decode_rle(packed(segment), (2, 2), np.dtype("u1")).tobytes() == plane


@pytest.mark.parametrize(
    "data",
    [
        packed(b"\xfex\x00"),  # three pixels
        packed(b"\xfcx"),  # five
        packed(b"\xfc\xff\xff\xff"),
        packed(b"\x03abcdhello"),
        packed(b"\xfdx", b"\xfdx"),  # a segment too many
        packed(b"\xfd"),  # a run of nothing
        packed(b"\x07abcd"),  # a literal run that ends early
        packed(),
        b"\1\0\0\0",
    ],
)
def test_segments_that_are_no_planes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_rle(data, (2, 2), np.dtype("u1"))


def test_planes_of_unequal_length_do_not_make_up_for_each_other() -> None:
    with pytest.raises(CodecError, match="unpacks to 5 bytes, 4 are expected"):
        decode_rle(packed(b"\xfcx", b"\xfex"), (2, 2), np.dtype("u2"))


@given(data=st.binary(max_size=200), number=st.integers(0, 16))
def test_any_bytes_are_a_frame_or_refused(data: bytes, number: int) -> None:
    try:
        found = decode_rle(struct.pack("<L", number) + data, (4, 5), np.dtype("u2"))
    except CodecError:
        return
    assert found.shape == (4, 5)
