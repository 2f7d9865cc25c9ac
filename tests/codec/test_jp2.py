"""JP2 files (ISO/IEC 15444-1 Annex I), as OpenJPEG writes them and box by box."""

from __future__ import annotations

import struct

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.codec.colour import Space
from stillframe.codec.jp2 import jp2_codestream, jp2_space
from stillframe.errors import PixelDataError
from tests.support.dicom_files import random_samples
from tests.support.frame_encoders import jp2_file

COLOUR = random_samples((16, 24, 3), "u1", 8)
BARE = bytes(imagecodecs.jpeg2k_encode(COLOUR, level=0, reversible=True, codecformat="j2k"))


@pytest.mark.parametrize(("number", "space"), [(16, Space.RGB), (17, None), (18, Space.YBR_FULL), (99, None)])
def test_the_enumerated_colour_space_is_found(number: int, space: Space | None) -> None:
    file = jp2_file(BARE, number, COLOUR.shape)
    assert jp2_space(file) is space
    assert jp2_codestream(file) == BARE


def test_the_file_of_another_writer_says_the_same() -> None:
    file = bytes(imagecodecs.jpeg2k_encode(COLOUR, level=0, reversible=True, codecformat="jp2"))
    assert jp2_space(file) is Space.RGB
    assert jp2_codestream(file)[:4] == BARE[:4]


def test_a_bare_codestream_names_no_colour_space() -> None:
    assert jp2_space(BARE) is None


def test_boxes_of_a_long_form_and_a_profile_instead_of_a_number() -> None:
    """XLBox holds the length where LBox is 1 (I.4); METH 2 is a restricted ICC profile (I.5.3.3)."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L4sQ", 1, kind, len(body) + 16) + body

    head = struct.pack(">L4s", 12, b"jP  ") + b"\r\n\x87\n"
    profile = box(b"colr", b"\2\0\0" + bytes(20))
    number = box(b"colr", struct.pack(">BBBL", 1, 0, 0, 18))
    assert jp2_space(head + box(b"jp2h", profile) + box(b"jp2c", BARE)) is None
    assert jp2_space(head + box(b"jp2h", profile + number) + box(b"jp2c", BARE)) is Space.YBR_FULL
    assert jp2_codestream(head + box(b"jp2h", profile) + box(b"jp2c", BARE)) == BARE


@given(boxes=st.binary(max_size=80))
def test_any_boxes_are_a_file_or_refused(boxes: bytes) -> None:
    data = struct.pack(">L4s", 12, b"jP  ") + b"\r\n\x87\n" + boxes
    assert jp2_space(data) in (None, Space.RGB, Space.YBR_FULL)
    try:
        found = jp2_codestream(data)
    except PixelDataError:
        return
    assert found in data
