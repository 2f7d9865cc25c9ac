from __future__ import annotations

import io
import struct
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.dicom.encapsulated import begins_rle, group_frames, read_fragments, read_frame
from stillframe.dicom.syntaxes import Family
from stillframe.errors import PixelDataError
from tests.support.dicom_files import encapsulated_value, image_attributes, offset_table, random_samples, write_dicom
from tests.support.reading import read_frames

LEAD = b"elements before the pixel data"


def frame(content: bytes) -> bytes:
    """An image of the JPEG family as far as its markers go."""
    return b"\xff\xd8" + content.replace(b"\xff", b"\xfe") + b"\xff\xd9"


# Frames, each as the lengths of its fragments but the last.
FRAMES = st.lists(
    st.tuples(st.binary(max_size=30).map(frame), st.lists(st.integers(1, 8).map(lambda n: 2 * n), max_size=4)),
    min_size=1,
    max_size=6,
)


def split(data: bytes, lengths: list[int]) -> list[bytes]:
    """Fragments of even length, but for the last, which may be odd (PS3.5 A.4) and holds the end marker whole."""
    places = [0, *(place for place in accumulate(lengths) if place < len(data) - 1)]
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]


def read(
    value: bytes,
    frames: int,
    extended: tuple[int, ...] = (),
    *,
    family: Family = Family.JPEG_2000,
    single: bool = False,
) -> list[bytes]:
    """Frames of encapsulated pixel data in a file with something before and behind."""
    file = io.BytesIO(LEAD + value)
    fragments = read_fragments(file, len(LEAD), len(LEAD) + len(value))
    return [
        read_frame(file, group)
        for group in group_frames(fragments, frames, extended, file, family=family, single=single)
    ]


def numbers(table: bytes, code: str) -> tuple[int, ...]:
    return struct.unpack(f"<{len(table) // struct.calcsize(code)}{code}", table)


@given(
    parts=FRAMES, table=st.sampled_from(["basic", "empty", "extended", "wrong basic", "wrong extended"]),
    delimited=st.booleans(),
)  # fmt: skip
def test_frames_come_back_however_they_are_split(
    parts: list[tuple[bytes, list[int]]], table: str, delimited: bool
) -> None:
    """With a table that says, without one, or with one that points nowhere: then the markers say it."""
    fragments: list[bytes] = []
    firsts: list[int] = []
    for data, lengths in parts:
        firsts.append(len(fragments))
        fragments += split(data, lengths)
    wrong = struct.pack(f"<{len(parts)}L", *(3 + 4 * index for index in range(len(parts))))
    basic = {"basic": offset_table(fragments, firsts), "wrong basic": wrong}.get(table, b"")
    extended = numbers(offset_table(fragments, firsts, "Q"), "Q") if table == "extended" else ()
    if table == "wrong extended":
        extended, basic = tuple(range(len(parts))), offset_table(fragments, firsts)
    value = encapsulated_value(fragments, basic, delimited=delimited)
    assert read(value, len(parts), extended) == [data for data, _ in parts]


def test_the_extended_table_counts_before_the_basic_one() -> None:
    fragments = [b"aa", b"bb", b"cc"]
    value = encapsulated_value(fragments, offset_table(fragments, [0, 1]))
    assert read(value, 2) == [b"aa", b"bbcc"]
    assert read(value, 2, numbers(offset_table(fragments, [0, 2], "Q"), "Q")) == [b"aabb", b"cc"]


@pytest.mark.parametrize(
    "table",
    [
        struct.pack("<2L", 0, 11),  # not where an item begins
        struct.pack("<2L", 10, 0),  # falling
        struct.pack("<2L", 0, 0),  # twice the same
        struct.pack("<2L", 10, 20),  # the first frame is left out
        struct.pack("<3L", 0, 10, 20),  # more than there are frames
        struct.pack("<L", 0),  # fewer
        b"\0\0\0",  # not even an entry
    ],
)
def test_a_basic_offset_table_that_does_not_fit_is_passed_over(table: bytes) -> None:
    assert read(encapsulated_value([b"aa", b"bb"], table), 2) == [b"aa", b"bb"]


IMAGES = [frame(b"one"), frame(b"two"), frame(b"three") + b"\0"]


@pytest.mark.parametrize("frames", [3, 0])
@pytest.mark.parametrize("place", range(4))
def test_fragments_without_bytes_part_no_frames(place: int, frames: int) -> None:
    fragments = [*IMAGES[:place], b"", *IMAGES[place:]]
    assert read(encapsulated_value(fragments), frames) == [image.removesuffix(b"\0") for image in IMAGES]


@pytest.mark.parametrize("firsts", [[0, 1], [0, 2], [0]])
@pytest.mark.parametrize("code", ["L", "Q"])
def test_a_table_that_leaves_out_whole_images_is_refused(firsts: list[int], code: str) -> None:
    table = offset_table(IMAGES, firsts, code)
    value = encapsulated_value(IMAGES, table if code == "L" else b"")
    with pytest.raises(PixelDataError, match=f"Number of Frames is {len(firsts)}, the pixel data hold 3 images"):
        read(value, len(firsts), numbers(table, "Q") if code == "Q" else ())


def test_a_table_that_leaves_out_whole_frames_of_rle_is_refused() -> None:
    images = [struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0"] * 3
    value = encapsulated_value(images, offset_table(images, [0, 1]))
    with pytest.raises(PixelDataError, match="Number of Frames is 2, the pixel data hold 3 images"):
        read(value, 2, family=Family.RLE)


def test_a_table_that_leaves_out_the_first_fragment_is_passed_over() -> None:
    with pytest.raises(PixelDataError, match="Number of Frames is 2, the pixel data hold 1"):
        read(encapsulated_value([b"aa", b"bb", b"cc"], struct.pack("<2L", 10, 20)), 2)


def test_all_fragments_of_one_frame_belong_to_it_whatever_they_hold() -> None:
    assert read(encapsulated_value([b"aa", b"bb", b"cc"], struct.pack("<L", 0)), 1) == [b"aabbcc"]
    assert read(encapsulated_value([b"aa", b"bb", b"cc"]), 1) == [b"aabbcc"]


@pytest.mark.parametrize(("promised", "held"), [(3, 2), (1, 2), (5, 2)])
def test_another_number_of_frames_than_promised_is_refused(promised: int, held: int) -> None:
    fragments = [frame(b"content")] * held
    for table in (b"", offset_table(fragments, range(held))):
        with pytest.raises(PixelDataError, match=f"Number of Frames is {promised}, the pixel data hold {held}"):
            read(encapsulated_value(fragments, table), promised)


def test_no_fragments_are_no_frames() -> None:
    with pytest.raises(PixelDataError, match="no fragments"):
        read(encapsulated_value([]), 1)


def test_what_is_no_item_is_refused() -> None:
    value = bytearray(encapsulated_value([b"aa", b"bb"]))
    value[8:12] = b"\x10\x00\x20\x00"
    with pytest.raises(PixelDataError, match=r"\(0010,0020\) at offset 38 where an item must be"):
        read(bytes(value), 2)


def test_a_fragment_that_ends_beyond_the_file_is_refused() -> None:
    with pytest.raises(PixelDataError, match="a fragment of 20 bytes at offset 48 ends beyond the file"):
        read(encapsulated_value([b"aa", bytes(20)])[:-9], 2)


def test_a_fragment_of_undefined_length_is_refused() -> None:
    with pytest.raises(PixelDataError, match="a fragment of 4294967295 bytes"):
        read(encapsulated_value([])[:8] + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF), 1)


def test_fragments_have_a_limit() -> None:
    """Empty ones take eight bytes, which deflate packs a thousandfold, and many times as much in memory."""
    value = encapsulated_value([b""] * 10)
    file = io.BytesIO(value)
    assert len(read_fragments(file, 0, len(value), 10).items) == 10
    with pytest.raises(PixelDataError, match="more than 9 fragments"):
        read_fragments(file, 0, len(value), 9)


def test_the_walk_ends_at_the_delimiter() -> None:
    value = encapsulated_value([b"aa"]) + b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0pads"
    file = io.BytesIO(LEAD + value)
    fragments = read_fragments(file, len(LEAD), len(LEAD) + len(value))
    assert fragments.delimited
    assert fragments.end == len(LEAD) + len(encapsulated_value([b"aa"]))
    file = io.BytesIO(LEAD + encapsulated_value([b"aa"], delimited=False))
    assert not read_fragments(file, len(LEAD), len(file.getvalue())).delimited


@given(parts=FRAMES, table=st.sampled_from(["basic", "empty", "extended"]))
def test_an_unknown_number_of_frames_is_told_by_the_tables_or_the_markers(
    parts: list[tuple[bytes, list[int]]], table: str
) -> None:
    fragments: list[bytes] = []
    firsts: list[int] = []
    for data, lengths in parts:
        firsts.append(len(fragments))
        fragments += split(data, lengths)
    basic = offset_table(fragments, firsts) if table == "basic" else b""
    extended = numbers(offset_table(fragments, firsts, "Q"), "Q") if table == "extended" else ()
    assert read(encapsulated_value(fragments, basic), 0, extended) == [data for data, _ in parts]


def test_an_unknown_number_of_frames_is_told_by_fragments_where_each_is_one() -> None:
    value = encapsulated_value([b"aa", b"bb", b"cc"])
    assert read(value, 0, family=Family.ITEMS) == [b"aa", b"bb", b"cc"]
    assert read(encapsulated_value([b"aa"]), 0) == [b"aa"]
    with pytest.raises(PixelDataError, match="are 3 fragments that do not say it"):
        read(value, 0)


def test_an_unknown_number_of_frames_that_the_signs_disagree_on_is_refused() -> None:
    fragments = [frame(b"content")] * 3
    with pytest.raises(PixelDataError, match="Number of Frames is missing, and the pixel data say 1 or 3"):
        read(encapsulated_value(fragments, offset_table(fragments, [0])), 0)
    with pytest.raises(PixelDataError, match="say 2 or 3"):
        read(encapsulated_value(fragments, offset_table(fragments, [0, 2])), 0, family=Family.ITEMS)


def test_a_length_cuts_one_byte_of_padding_and_no_more() -> None:
    file = io.BytesIO(encapsulated_value([b"odd"]))
    (item,) = read_fragments(file, 0, len(file.getvalue())).items
    assert [read_frame(file, (item,), length) for length in (None, 3, 4, 2, 9)] == [
        b"odd\0", b"odd", b"odd\0", b"odd\0", b"odd\0",
    ]  # fmt: skip


@given(value=st.binary(max_size=80), frames=st.integers(0, 4))
def test_any_bytes_are_frames_or_refused(value: bytes, frames: int) -> None:
    try:
        found = read(value, frames)
    except PixelDataError:
        return
    assert len(found) == frames or not frames
    assert sum(map(len, found)) <= len(value)


def test_a_frame_that_ends_like_a_marker_and_its_padding_is_left_whole(tmp_path: Path) -> None:
    """8 x 8 samples whose last are FF D9 00, in an item of native samples (PS3.5 A.4.11)."""
    frame = random_samples((8, 8), "u1", 8)
    frame[-1, -3:] = (0xFF, 0xD9, 0)
    path = write_dicom(
        tmp_path / "file",
        "1.2.840.10008.1.2.1.98",
        image_attributes(frame),
        encapsulated_value([frame.tobytes()]),
        vr="OB",
    )
    assert np.array_equal(read_frames(path), [frame])


RLE_FRAME = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\xff\x07\xff\x09"


@pytest.mark.parametrize("frames", [0, 1])
@pytest.mark.parametrize("single", [False, True])
def test_fragments_without_a_header_belong_to_the_rle_frame_before_them(frames: int, single: bool) -> None:
    value = encapsulated_value([RLE_FRAME[:66], RLE_FRAME[66:]])
    assert read(value, frames, family=Family.RLE, single=single) == [RLE_FRAME]
    assert (
        read(encapsulated_value([RLE_FRAME[:66], RLE_FRAME[66:], RLE_FRAME]), 2, family=Family.RLE) == [RLE_FRAME] * 2
    )


@pytest.mark.parametrize("single", [False, True])
def test_each_fragment_with_an_rle_header_is_a_frame(single: bool) -> None:
    value = encapsulated_value([RLE_FRAME] * 3)
    assert read(value, 0, family=Family.RLE, single=single) == [RLE_FRAME] * 3
    with pytest.raises(PixelDataError, match="Number of Frames is 1, the pixel data hold 3"):
        read(value, 1, family=Family.RLE)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<16L", 0, 64, *[0] * 14),
        struct.pack("<16L", 16, 64, *[0] * 14),
        struct.pack("<16L", 1, 66, *[0] * 14),
        struct.pack("<16L", 1, 64, 99, *[0] * 13),
        struct.pack("<16L", 2, 64, 64, *[0] * 13),
        RLE_FRAME[:63],
    ],
)
def test_what_is_no_rle_header_begins_no_frame(header: bytes) -> None:
    assert not begins_rle(header)
    assert begins_rle(RLE_FRAME)


@pytest.mark.parametrize("family", [Family.JPEG_2000, Family.RLE, Family.JPEG_XL, Family.ITEMS])
def test_fragments_that_say_nothing_are_one_frame_where_the_object_has_but_one(family: Family) -> None:
    value = encapsulated_value([b"aa", b"bb", b"cc"])
    if family is not Family.ITEMS:
        assert read(value, 0, family=family, single=True) == [b"aabbcc"]
        with pytest.raises(PixelDataError, match="3 fragments that do not say it"):
            read(value, 0, family=family)
    assert read(value, 1, family=family) == [b"aabbcc"]
