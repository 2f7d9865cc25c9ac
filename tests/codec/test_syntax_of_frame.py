"""What frames of other encoders tell of the transfer syntax they are in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.codec.probe import syntax_of_frame
from stillframe.dicom.syntaxes import transfer_syntax
from tests.support.dicom_files import RLE, jpeg, noise
from tests.support.frame_encoders import (
    htj2k,
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    jpegxl,
    jpegxl_of_jpeg,
    lossless_jpeg,
    rle,
)

type Encode = Callable[[npt.NDArray[Any], int], bytes]


def jp2(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="jp2", bitspersample=bits))


def progressive(frame: npt.NDArray[Any], bits: int) -> bytes:
    return jpeg_lossy(frame, bits).replace(b"\xff\xc0", b"\xff\xc2", 1)


@pytest.mark.parametrize(
    ("encode", "bits", "expected"),
    [
        (jpeg_lossy, 8, jpeg(50)),
        (jpeg_lossy, 12, jpeg(51)),
        (progressive, 8, jpeg(50)),
        (lossless_jpeg, 12, jpeg(70)),
        (lambda frame, bits: lossless_jpeg(frame, bits, 6), 12, jpeg(57)),
        (jpegls, 12, jpeg(80)),
        (jpeg_ls_near, 12, jpeg(81)),
        (j2k, 12, jpeg(90)),
        (jp2, 12, jpeg(90)),
        (j2k_lossy, 12, jpeg(91)),
        (htj2k, 12, jpeg(201)),
        (htj2k_lossy, 12, jpeg(203)),
        (jpegxl, 12, jpeg(112)),
        (jpegxl_of_jpeg, 8, jpeg(111)),
        (rle, 12, RLE),
        (rle, 8, RLE),
    ],
)
def test_frames_tell_their_transfer_syntax(encode: Encode, bits: int, expected: str) -> None:
    frame = encode(noise(1, (48, 40), bits), bits)
    assert syntax_of_frame(frame) == transfer_syntax(expected)
    assert syntax_of_frame(
        b"\xff\xd8\xff\xff" + frame[3:] if frame[:3] == b"\xff\xd8\xff" else frame
    ) == transfer_syntax(expected)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", bytes(64),
     struct.pack("<16L", 2, 64, 60, *[0] * 13), np.random.default_rng(1).bytes(500), b"text"],
)  # fmt: skip
def test_other_bytes_tell_none(data: bytes) -> None:
    assert syntax_of_frame(data) is None


@given(st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cjP  \r\n\x87\n"]), st.binary())
def test_any_bytes_tell_one_or_none(start: bytes, rest: bytes) -> None:
    found = syntax_of_frame(start + rest)
    assert found is None or found.name
