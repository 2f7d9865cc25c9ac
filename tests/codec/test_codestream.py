from __future__ import annotations

import re
import struct
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from stillframe.codec.codestream import level_size, nonconformities, reduce_codestream, resolutions
from stillframe.codec.htj2k import decode_frame, encode_frame
from stillframe.codec.markers import Component, MainHeader, TilePart, parse_header, parse_tile_part
from stillframe.errors import CodestreamError
from tests.support.codestreams import QCD, SOC, cod, segment, siz, sot
from tests.support.places import SHARED_DATA

SAMPLES = SHARED_DATA / "htj2k-input"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="shared/data/htj2k-input is absent")


def smooth(height: int, width: int, components: int = 1) -> npt.NDArray[Any]:
    rows, columns = np.mgrid[:height, :width]
    grey = (rows * 3 + columns * 2 + (rows * columns) % 7) % 251
    return grey.astype(np.uint8) if components == 1 else np.stack([grey, 250 - grey, grey // 2], 2).astype(np.uint8)


GREY = encode_frame(smooth(150, 203), 8)
COLOUR = encode_frame(smooth(90, 70, 3), 8)


def with_segment(data: bytes, added: bytes) -> bytes:
    """The codestream with one more segment at the end of its main header."""
    end = parse_header(data).header_length
    return data[:end] + added + data[end:]


def body_of(data: bytes, name: str) -> bytes:
    found = next(s for s in parse_header(data).segments if s.name == name)
    return data[found.offset + 4 : found.offset + found.length]


def replace_in(data: bytes, name: str, offset: int, value: bytes) -> bytes:
    """The codestream with other bytes at `offset` of the body of a marker segment of the main header."""
    start = next(s for s in parse_header(data).segments if s.name == name).offset + 4 + offset
    return data[:start] + value + data[start + len(value) :]


def test_header_of_plain_jpeg_2000_with_offsets_sampling_and_precincts() -> None:
    grid = (1000, 700, 3, 5, 512, 256, 1, 2)
    parts = ((11, 1, 1), (0x80 | 15, 2, 1), (0, 2, 2))
    data = SOC + siz(grid, parts) + cod(2, order=4, wavelet=0, precincts=b"\x77\x88\x9a") + QCD + sot(0)
    header = parse_header(data)
    assert (header.width, header.height) == (997, 695)
    assert (header.end, header.image_offset) == ((1000, 700), (3, 5))
    assert (header.tile_size, header.tile_offset) == ((512, 256), (1, 2))
    assert header.components == (Component(12, False, 1, 1), Component(16, True, 2, 1), Component(1, False, 2, 2))
    assert (header.progression, header.layers, header.levels) == ("CPRL", 1, 2)
    assert (header.reversible, header.high_throughput, header.colour_transform) == (False, False, False)
    assert header.block_size == (64, 32)
    assert header.precincts == ((128, 128), (256, 256), (1024, 512))
    assert header.tile_part_lengths == ()
    assert header.header_length == len(data) - 12
    assert not header.single_tile


def test_high_throughput_needs_the_capability_and_ht_blocks_only() -> None:
    cap = segment(0xFF50, struct.pack(">IH", 0x00020000, 0))
    for style, cap_segment, expected in ((0x40, cap, True), (0x40, b"", False), (0xC0, cap, False), (0, cap, False)):
        data = SOC + siz() + cap_segment + cod(style=style) + QCD + sot(0)
        assert parse_header(data).high_throughput is expected


@pytest.mark.parametrize(
    ("form", "entry"),
    [(0x00, ">H"), (0x10, ">xH"), (0x20, ">xxH"), (0x40, ">I"), (0x50, ">xI"), (0x60, ">xxI")],
)
def test_tile_part_lengths_of_every_form_in_the_order_of_their_segments(form: int, entry: str) -> None:
    lengths = [14, 300, 65535, 20, 21]
    second = segment(0xFF55, bytes((1, form)) + b"".join(struct.pack(entry, n) for n in lengths[3:]))
    first = segment(0xFF55, bytes((0, form)) + b"".join(struct.pack(entry, n) for n in lengths[:3]))
    data = SOC + siz() + cod() + second + QCD + first + sot(0)
    assert parse_header(data).tile_part_lengths == tuple(lengths)


def test_comments_are_the_text_ones() -> None:
    comments = segment(0xFF64, b"\0\1caf\xe9") + segment(0xFF64, b"\0\0\xff\xff")
    assert parse_header(SOC + siz() + cod() + QCD + comments + sot(0)).comments == ("café",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the codestream is cut short"),
        (b"\xff\xd8\xff\xe0", "begins with ffd8ffe0"),
        (SOC, "the header is cut short"),
        (SOC + cod() + siz() + QCD + sot(0), "not followed by SIZ"),
        (SOC + sot(0), "not followed by SIZ"),
        (SOC + siz()[:-1], "the segment of marker ff51 at offset 2 is cut short"),
        (SOC + b"\xff\x51\x00\x01" + bytes(60), "cut short"),
        (SOC + siz() + b"\x12\x34" + bytes(20), "no marker segment at offset 45: found 1234"),
        (SOC + siz() + cod() + QCD + b"\xff\xd9", "found ffd9"),
        (SOC + siz() + QCD + sot(0), "has 0 COD segments"),
        (SOC + siz() + cod() + sot(0), "has 0 QCD segments"),
        (SOC + siz() + cod() + cod() + QCD + sot(0), "has 2 COD segments"),
        (SOC + siz() + siz() + cod() + QCD + sot(0), "has 2 SIZ segments"),
        (SOC + siz((10, 80, 10, 0, 100, 80, 0, 0)) + cod() + QCD + sot(0), "empty image"),
        (SOC + siz((100, 80, 0, 0, 0, 80, 0, 0)) + cod() + QCD + sot(0), "first tile"),
        (SOC + siz((100, 80, 0, 0, 9, 9, 1, 0)) + cod() + QCD + sot(0), "first tile"),
        (SOC + siz(parts=((7, 0, 1),)) + cod() + QCD + sot(0), "impossible component"),
        (SOC + siz(parts=((38, 1, 1),)) + cod() + QCD + sot(0), "impossible component"),
        (SOC + siz(parts=()) + cod() + QCD + sot(0), "does not hold 0 components"),
        (SOC + siz() + cod(33) + QCD + sot(0), "outside"),
        (SOC + siz() + cod(order=5) + QCD + sot(0), "outside"),
        (SOC + siz() + cod(wavelet=2) + QCD + sot(0), "outside"),
        (SOC + siz() + cod(2, precincts=b"\x77\x77") + QCD + sot(0), "does not fit 2 decomposition levels"),
        (SOC + siz() + cod() + QCD + segment(0xFF55, b"\0\x70" + bytes(7)) + sot(0), "does not fit its form 0x70"),
        (SOC + siz() + cod() + QCD + segment(0xFF55, b"\0\x60" + bytes(7)) + sot(0), "does not fit its form 0x60"),
        (SOC + siz() + cod() + QCD + segment(0xFF55, b"\0\xe0" + bytes(6)) + sot(0), "does not fit its form 0xe0"),
        (SOC + siz() + segment(0xFF52, b"\0\2\0\0\0\1\4\3\0\1") + QCD + sot(0), "outside"),
        (SOC + siz() + segment(0xFF52, b"\0\2\0\1\0\1\5\4\0\1") + QCD + sot(0), "code blocks of 2^7 by 2^6"),
        (SOC + siz() + cod() + QCD + segment(0xFF55, b"\1\x60" + bytes(6)) + sot(0), "segments are missing"),
        (SOC + siz() + cod() + QCD + 2 * segment(0xFF55, b"\0\x60" + bytes(6)) + sot(0), "have the index 0"),
        (SOC + siz() + cod() + QCD + segment(0xFF55, b"") + sot(0), "TLM is cut short"),
    ],
)
def test_malformed_headers_are_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(CodestreamError, match=re.escape(message)):
        parse_header(data)


@given(
    source=st.sampled_from([GREY, COLOUR]),
    edits=st.lists(st.tuples(st.integers(0, 260), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 400),
    level=st.integers(-1, 6),
)
def test_no_mutation_raises_anything_else(source: bytes, edits: list[tuple[int, int]], cut: int, level: int) -> None:
    data = bytearray(source)
    for offset, value in edits:
        data[offset] = value
    mutated = bytes(data[:cut]) if cut % 3 == 0 else bytes(data)
    faults = nonconformities(mutated)
    try:
        header = parse_header(mutated)
        table = resolutions(header, len(mutated))
        reduced = reduce_codestream(mutated, level)
    except CodestreamError:
        return
    assert edits or not faults
    assert table[-1].prefix_length == len(mutated)
    assert parse_header(reduced).levels == header.levels - level


@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    assert nonconformities(SOC + data) != []
    with pytest.raises(CodestreamError):
        parse_header(data.lstrip(b"\xff"))


@given(
    corners=st.tuples(st.integers(0, 300), st.integers(1, 300), st.integers(0, 300), st.integers(1, 300)),
    level=st.integers(0, 6),
)
def test_a_halved_image_has_the_samples_on_the_coarser_grid(corners: tuple[int, int, int, int], level: int) -> None:
    x0, width, y0, height = corners
    x1, y1 = x0 + width, y0 + height
    header = parse_header(SOC + siz((x1, y1, x0, y0, x1, y1, 0, 0)) + cod() + QCD + sot(0))
    kept = [sum(1 for v in range(*side) if v % (1 << level) == 0) for side in ((x0, x1), (y0, y1))]
    assert level_size(header, level) == tuple(kept)


def test_resolutions_end_where_the_tile_parts_end() -> None:
    header = parse_header(GREY)
    table = resolutions(header, len(GREY))
    assert [(r.decode_level, r.width, r.height) for r in table] == [
        (3, 26, 19), (2, 51, 38), (1, 102, 75), (0, 203, 150),
    ]  # fmt: skip
    for r in table[:-1]:
        assert GREY[r.prefix_length : r.prefix_length + 2] == b"\xff\x90"
    assert table[-1].prefix_length == len(GREY)


def test_resolutions_need_a_tile_part_for_each_that_fill_the_object() -> None:
    header = parse_header(GREY)
    with pytest.raises(CodestreamError, match=f"adds up to {len(GREY)} bytes with EOC, the codestream has 9"):
        resolutions(header, 9)
    plain = parse_header(SOC + siz() + cod(3) + QCD + sot(0))
    with pytest.raises(CodestreamError, match="lists 0 tile-parts for 4 resolutions"):
        resolutions(plain, 1000)


def test_no_tile_part_is_shorter_than_its_own_markers() -> None:
    with pytest.raises(CodestreamError, match="TLM lists a tile-part of 13 bytes"):
        resolutions(parse_header(replace_in(GREY, "TLM", 4, struct.pack(">I", 13))), len(GREY))
    with pytest.raises(CodestreamError, match="the tile-part at offset 0 has the impossible length 13"):
        parse_tile_part(sot(13))
    assert parse_tile_part(bytes(3) + sot(14, 2, 5, 7), 3) == TilePart(
        offset=3, length=14, tile_index=7, part_index=2, count=5
    )


@pytest.mark.parametrize("data", [GREY, COLOUR])
def test_what_is_encoded_conforms(data: bytes) -> None:
    assert nonconformities(data) == []


def _without_tlm(data: bytes) -> bytes:
    found = next(s for s in parse_header(data).segments if s.name == "TLM")
    return data[: found.offset] + data[found.offset + found.length :]


def _patched(data: bytes, offset: int, value: bytes) -> bytes:
    start = parse_header(data).header_length + offset
    return data[:start] + value + data[start + len(value) :]


SECOND_PART = parse_header(GREY).tile_part_lengths[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the codestream is cut short"),
        (replace_in(GREY, "COD", 1, b"\0"), "the progression order is LRCP"),
        (replace_in(GREY, "COD", 2, b"\0\2"), "there are 2 quality layers"),
        (replace_in(GREY, "COD", 4, b"\1"), "1 components, colour transform: True"),
        (replace_in(COLOUR, "COD", 4, b"\0"), "3 components, colour transform: False"),
        (replace_in(GREY, "COD", 8, b"\0"), "not all code blocks are high-throughput"),
        (replace_in(GREY, "COD", 9, b"\0"), "the wavelet is the irreversible 9-7"),
        (replace_in(GREY, "SIZ", 36, b"\x1f"), "the precision is 32 bits"),
        (replace_in(COLOUR, "SIZ", 39, b"\x0b"), "the components differ"),
        (replace_in(GREY, "SIZ", 37, b"\2"), "sub-sampled"),
        (replace_in(GREY, "SIZ", 18, struct.pack(">I", 128)), "smaller than the image"),
        (replace_in(GREY, "SIZ", 2, struct.pack(">I", 600)), "the base resolution is 75 x 19"),
        (_without_tlm(GREY), "TLM lists 0 tile-parts for 4 resolutions"),
        (GREY[:-2], "the codestream has"),
        (GREY[:-2] + b"\0\0", "followed by 0000, not by EOC"),
        (GREY + b"\0", "the codestream has"),
        (_patched(GREY, 6, b"\0\0\0\x63"), "tile-part 0 has 99 bytes, TLM says"),
        (_patched(GREY, 10, b"\1"), "tile-part 0 of 4 is out of order"),
        (_patched(GREY, SECOND_PART + 4, b"\0\1"), "tile-part 1 of 4 is out of order"),
        (_patched(GREY, SECOND_PART + 10, b"\0"), "tile-part 1 of 4 is out of order"),
        (_patched(GREY, SECOND_PART + 11, b"\5"), "tile-part 1 of 4 is out of order"),
        (_patched(GREY, SECOND_PART, b"\xff\x91"), "no tile-part at offset"),
        (with_segment(GREY, segment(0xFF53, b"\0\0\3\4\4\x40\1")), "the main header has a COC segment"),
        (reduce_codestream(GREY, 1), "there are 2 decomposition levels, expected at least 3"),
    ],
)
def test_every_deviation_is_named(data: bytes, reason: str) -> None:
    assert any(reason in fault for fault in nonconformities(data)), nonconformities(data)


@pytest.mark.parametrize("data", [GREY, COLOUR])
def test_a_reduced_codestream_is_one_of_fewer_levels(data: bytes) -> None:
    header = parse_header(data)
    for level in range(1, header.levels + 1):
        reduced = reduce_codestream(data, level)
        cut = parse_header(reduced)
        assert nonconformities(reduced, min_levels=0) == []
        assert (cut.width, cut.height) == (-(-header.width // 2**level), -(-header.height // 2**level))
        assert cut.tile_size == (cut.width, cut.height)
        assert cut.levels == header.levels - level
        assert cut.tile_part_lengths == header.tile_part_lengths[: cut.levels + 1]
        assert len(body_of(reduced, "QCD")) == 1 + 3 * cut.levels + 1
        assert parse_tile_part(reduced, cut.header_length).count == cut.levels + 1


def test_reducing_by_nothing_changes_nothing() -> None:
    assert reduce_codestream(GREY, 0) == GREY


def test_reducing_in_steps_is_reducing_at_once() -> None:
    assert reduce_codestream(reduce_codestream(GREY, 1), 2) == reduce_codestream(GREY, 3)


@pytest.mark.parametrize("level", [-1, 4])
def test_there_is_nothing_past_the_last_level(level: int) -> None:
    with pytest.raises(CodestreamError, match=f"no decode level {level} in a codestream of 3"):
        reduce_codestream(GREY, level)


def test_quantization_of_a_component_is_cut_too() -> None:
    data = with_segment(COLOUR, segment(0xFF5D, b"\1" + body_of(COLOUR, "QCD")))
    assert nonconformities(data) == []
    reduced = reduce_codestream(data, 2)
    assert body_of(reduced, "QCC") == b"\1" + body_of(reduced, "QCD")
    assert np.array_equal(decode_frame(reduced), decode_frame(COLOUR, 2))


def test_precinct_sizes_are_cut_too() -> None:
    body = b"\1" + body_of(GREY, "COD")[1:] + b"\xff\xff\xff\xff"
    found = next(s for s in parse_header(GREY).segments if s.name == "COD")
    data = GREY[: found.offset] + segment(0xFF52, body) + GREY[found.offset + found.length :]
    reduced = reduce_codestream(data, 1)
    assert parse_header(reduced).precincts == ((32768, 32768),) * 3
    assert np.array_equal(decode_frame(reduced), decode_frame(GREY, 1))


@pytest.mark.parametrize(("marker", "name"), [(0xFF53, "COC"), (0xFF5F, "POC"), (0xFF60, "PPM"), (0xFF5E, "RGN")])
def test_what_a_cut_cannot_carry_over_is_refused(marker: int, name: str) -> None:
    with pytest.raises(CodestreamError, match=f"with a {name} segment cannot be reduced"):
        reduce_codestream(with_segment(GREY, segment(marker, bytes(7))), 1)


def test_a_tile_part_with_its_own_coding_style_is_refused() -> None:
    added = segment(0xFF52, body_of(GREY, "COD"))
    header = parse_header(GREY)
    length = header.tile_part_lengths[0] + len(added)
    grown = replace_in(GREY, "TLM", 4, struct.pack(">I", length))
    start = header.header_length
    data = grown[:start] + sot(length, 0, 4) + added + grown[start + 12 :]
    with pytest.raises(CodestreamError, match="tile-part 0 has a COD segment"):
        reduce_codestream(data, 1)


def _sample(name: str) -> bytes:
    pixels = pydicom.dcmread(SAMPLES / name).PixelData
    return next(generate_frames(pixels, number_of_frames=1)).removesuffix(b"\0")


@needs_samples
def test_a_codestream_of_another_encoder_version_conforms_and_reduces() -> None:
    data = _sample("CT1_JPH.dcm")
    header: MainHeader = parse_header(data)
    assert (header.width, header.height, header.components) == (512, 512, (Component(16, True, 1, 1),))
    assert nonconformities(data) == []
    for level in range(4):
        assert np.array_equal(decode_frame(reduce_codestream(data, level)), decode_frame(data, level))


@needs_samples
def test_a_base_resolution_that_is_too_large_is_named() -> None:
    assert nonconformities(_sample("US1_JPH.dcm")) == ["the base resolution is 80 x 60, at most 64 x 64 is allowed"]


def test_a_part_1_codestream_may_have_a_cap_segment_that_says_nothing() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), "u1"), codecformat="j2k", reversible=True))
    size = data.index(b"\xff\x51")
    length = int.from_bytes(data[size + 2 : size + 4])
    end = size + 2 + length
    header = parse_header(data[:end] + b"\xff\x50\x00\x04\x00\x00" + data[end:])
    assert not header.high_throughput
