from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.codec.facts import FrameFacts
from stillframe.codec.jp2 import jp2_codestream
from stillframe.codec.probe import probe_frame
from stillframe.dicom.syntaxes import TRANSFER_SYNTAXES, Family, transfer_syntax
from stillframe.errors import PixelDataError
from tests.support.dicom_files import RLE, jpeg, random_samples
from tests.support.frame_encoders import (
    htj2k,
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    lossless_jpeg,
)

GREY, WIDE, COLOUR = (
    random_samples((9, 13), "u1", 8),
    random_samples((9, 13), "u2", 12),
    random_samples((9, 13, 3), "u1", 8),
)
ENCODERS = [
    (90, j2k, True),
    (91, j2k, True),
    (91, j2k_lossy, False),
    (201, htj2k, True),
    (202, htj2k, True),
    (203, htj2k_lossy, False),
    (80, jpegls, True),
    (81, jpegls, True),
    (81, jpeg_ls_near, False),
    (57, lossless_jpeg, True),
    (70, lossless_jpeg, True),
    (50, jpeg_lossy, False),
    (51, jpeg_lossy, False),
]


def probe(data: bytes, syntax: str, expected: FrameFacts) -> FrameFacts:
    return probe_frame(data, transfer_syntax(syntax), expected)


@pytest.mark.parametrize(("number", "encode", "lossless"), ENCODERS)
@pytest.mark.parametrize(("frame", "bits"), [(GREY, 8), (WIDE, 12), (COLOUR, 8)], ids=["grey", "wide", "colour"])
def test_a_frame_says_what_it_is(number: int, encode: Any, lossless: bool, frame: Any, bits: int) -> None:
    samples = 1 if frame.ndim == 2 else 3
    facts = probe(
        encode(frame, bits),
        jpeg(number),
        FrameFacts(width=13, height=9, samples=samples, precision=bits, lossless=True),
    )
    assert facts == FrameFacts(width=13, height=9, samples=samples, precision=bits, lossless=lossless)


@pytest.mark.parametrize(("number", "encode", "lossless"), ENCODERS)
def test_a_frame_of_another_size_or_sample_count_is_refused(number: int, encode: Any, lossless: bool) -> None:
    data = encode(GREY, 8)
    with pytest.raises(PixelDataError, match="the frame is 13 x 9, the data set says 13 x 10"):
        probe(data, jpeg(number), FrameFacts(width=13, height=10, samples=1, precision=8, lossless=True))
    with pytest.raises(PixelDataError, match="has 1 components, the data set says 3 samples"):
        probe(data, jpeg(number), FrameFacts(width=13, height=9, samples=3, precision=8, lossless=True))


def test_the_codestream_inside_a_jp2_file_is_found() -> None:
    boxed = bytes(imagecodecs.jpeg2k_encode(GREY, level=0, reversible=True, codecformat="jp2"))
    assert jp2_codestream(boxed)[:4] == b"\xff\x4f\xff\x51"
    assert probe(boxed, jpeg(90), FrameFacts(width=13, height=9, samples=1, precision=8, lossless=True)).lossless
    bare = j2k(GREY, 8)
    assert jp2_codestream(bare) is bare


@pytest.mark.parametrize("rest", [b"", struct.pack(">L4s", 0, b"free"), struct.pack(">L4s", 99, b"free")])
def test_a_jp2_file_without_a_codestream_is_refused(rest: bytes) -> None:
    with pytest.raises(PixelDataError, match="without a codestream"):
        jp2_codestream(struct.pack(">L4sL", 12, b"jP  ", 0x0D0A870A) + rest)


def test_fill_bytes_and_application_segments_before_the_frame_header_are_passed_over() -> None:
    data = jpeg_lossy(GREY, 8)
    stuffed = data[:2] + b"\xff\xff\xfe\x00\x06ABCD" + b"\xff\xff\xff" + data[2:]
    assert probe(
        stuffed, jpeg(50), FrameFacts(width=13, height=9, samples=1, precision=8, lossless=True)
    ) == FrameFacts(width=13, height=9, samples=1, precision=8, lossless=False)


def test_a_jpeg_ls_image_without_an_end_is_refused_before_decoding() -> None:
    data = jpegls(GREY, 8)
    with pytest.raises(PixelDataError, match="truncated: the JPEG-LS image has no end marker"):
        probe(data[:-2], jpeg(80), FrameFacts(width=13, height=9, samples=1, precision=8, lossless=True))


@pytest.mark.parametrize(
    ("syntax", "data", "reason"),
    [
        (jpeg(50), b"\xff\x4f\xff\x52", "not a JPEG image: begins with ff4fff52"),
        (jpeg(50), b"\xff\xd8\x00\x00\x00\x00", "no marker at byte 2"),
        (jpeg(50), b"\xff\x4f\xff\x51\x00", "not a JPEG 2000 codestream"),
        (jpeg(50), b"\xff\xd8\xff\xe0\x00\x02", "no frame header"),
        (jpeg(50), b"\xff\xd8\xff\xc0\x00\x04\x08\x00", "no scan"),
        (jpeg(50), b"\xff\xd8\xff\xc0\x00\x04\x08\x00\xff\xda\x00\x02", "a header is cut short"),
        (jpeg(80), b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "a scan before its frame header"),
        (jpeg(90), b"\xff\xd8\xff\xe0", "no frame header"),
        (jpeg(90), b"\xff\xd8", "not a JPEG 2000 codestream"),
        (RLE, bytes(63), "shorter than its header"),
        (RLE, struct.pack("<L", 2) + bytes(60), "2 segments, the data set asks for 1"),
        ("1.2.840.10008.1.2.4.100", b"", "is not supported"),
    ],
)
def test_what_is_no_frame_is_refused(syntax: str, data: bytes, reason: str) -> None:
    with pytest.raises(PixelDataError, match=reason):
        probe(data, syntax, FrameFacts(width=13, height=9, samples=1, precision=8, lossless=True))


def test_a_few_bytes_of_rle_cannot_claim_a_large_image() -> None:
    data = struct.pack("<2L", 1, 64) + bytes(56) + b"\x81\x00"
    assert probe(data, RLE, FrameFacts(width=128, height=1, samples=1, precision=8, lossless=True)) == FrameFacts(
        width=128, height=1, samples=0, precision=0, lossless=True
    )
    assert probe(data, RLE, FrameFacts(width=64, height=66, samples=1, precision=8, lossless=True)).lossless
    with pytest.raises(PixelDataError, match="66 bytes of RLE cannot hold 65 x 65 pixels"):
        probe(data, RLE, FrameFacts(width=65, height=65, samples=1, precision=8, lossless=True))


COMPRESSED = {Family.RLE, Family.JPEG, Family.JPEG_LS, Family.JPEG_2000, Family.HTJ2K, Family.ITEMS}
PROBED = sorted(syntax.uid for syntax in TRANSFER_SYNTAXES.values() if syntax.family in COMPRESSED)
SAMPLES = [encode(GREY, 8) for _, encode, _ in ENCODERS]


@given(
    data=st.one_of(st.binary(max_size=100), st.sampled_from(SAMPLES)),
    syntax=st.sampled_from(PROBED),
    changes=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 400),
)
def test_any_bytes_are_the_expected_frame_or_refused(
    data: bytes, syntax: str, changes: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(data[:cut])
    for place, value in changes:
        if place < len(changed):
            changed[place] = value
    try:
        facts = probe(bytes(changed), syntax, FrameFacts(width=13, height=9, samples=1, precision=8, lossless=True))
    except PixelDataError:
        return
    assert (facts.width, facts.height) == (13, 9)
    assert facts.samples in (0, 1)
