from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pytest

from stillframe.codec.facts import FrameFacts
from stillframe.codec.htj2k import encode_frame
from stillframe.codec.markers import parse_header
from stillframe.codec.probe import probe_frame, syntax_of_frame
from stillframe.codec.tile_parts import find_end
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import CodestreamError, PixelDataError
from tests.support.codestreams import EOC, QCD, SOC, cod, segment, siz, sot
from tests.support.dicom_files import jpeg, random_samples
from tests.support.frame_encoders import htj2k, j2k, jp2_file

SOD = b"\xff\x93"
FOUR_TILES = (100, 80, 0, 0, 50, 40, 0, 0)  # 2 x 2 (B-5)
ONE_TILE = (100, 80, 0, 0, 100, 80, 0, 0)
# The first tile begins before the image: 120 - 5 by 90 - 7 make 3 x 3 tiles of 50 x 40.
NINE_TILES = (120, 90, 10, 20, 50, 40, 5, 7)


def tile_part(tile: int, part: int = 0, count: int = 1, data: bytes = b"abc") -> bytes:
    return sot(14 + len(data), part, count, tile) + SOD + data


def codestream(grid: tuple[int, ...], *parts: bytes, tlm: bytes = b"") -> bytes:
    return SOC + siz(grid) + cod() + QCD + tlm + b"".join(parts) + EOC


def tlm(*lengths: int) -> bytes:
    """Lengths of 32 bits, without tile indices (A.7.1)."""
    return segment(0xFF55, b"\0\x40" + struct.pack(f">{len(lengths)}I", *lengths))


WHOLE = [
    codestream(ONE_TILE, tile_part(0)),
    codestream(ONE_TILE, tile_part(0, count=0)),
    codestream(ONE_TILE, tile_part(0, 0, 0), tile_part(0, 1, 0), tile_part(0, 2, 3)),
    codestream(ONE_TILE, tile_part(0, 0, 2), tile_part(0, 1, 2), tlm=tlm(17, 17)),
    codestream(ONE_TILE, tile_part(0), tlm=tlm(17, 0, 0)),  # room for more than were written
    codestream(FOUR_TILES, *map(tile_part, (2, 0, 3, 1))),  # in any order
    codestream(FOUR_TILES, *(tile_part(tile, part, 2) for part in (0, 1) for tile in range(4))),  # interleaved
    codestream(FOUR_TILES, *map(tile_part, range(3)), sot(0, tile=3) + SOD + b"abc"),
    codestream(FOUR_TILES, *map(tile_part, range(3)), sot(12, tile=3)),  # an empty one without SOD
    codestream(NINE_TILES, *map(tile_part, range(9))),
    # Bytes of a marker segment may look like any marker.
    codestream(ONE_TILE, sot(0) + segment(0xFF64, b"\0\1\xff\xd9\xff\x93") + SOD + b"abc"),
    j2k(random_samples((9, 13), "u1", 8), 8),
    htj2k(random_samples((9, 13, 3), "u1", 8), 8),
    encode_frame(random_samples((150, 203), "u2", 12), 12),
]


@pytest.mark.parametrize("data", WHOLE)
@pytest.mark.parametrize("rest", [b"", b"\0", b"rest", EOC, WHOLE[0]])
def test_a_whole_codestream_ends_behind_its_end_marker(data: bytes, rest: bytes) -> None:
    assert find_end(data + rest, parse_header(data)) == len(data)


@pytest.mark.parametrize("grid", [ONE_TILE, FOUR_TILES])
def test_where_no_end_marker_stands_the_bytes_are_the_codestream(grid: tuple[int, ...]) -> None:
    whole = codestream(grid, *map(tile_part, range(1 if grid is ONE_TILE else 4)))
    for data in (whole[:-2], whole[:-4], whole[:-2] + b"rubbish"):
        assert find_end(data, parse_header(data)) == len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (codestream(ONE_TILE, *(tile_part(0, part, 4) for part in range(3))), "tile 0 has 3 of its 4 tile-parts"),
        (codestream(ONE_TILE, *(tile_part(0, part, 4) for part in range(2))), "tile 0 has 2 of its 4 tile-parts"),
        (codestream(ONE_TILE, tile_part(0, 0, 0), tile_part(0, 1, 3)), "tile 0 has 2 of its 3 tile-parts"),
        (codestream(ONE_TILE, tile_part(0, 0, 2), tlm=tlm(17, 17)), "tile 0 has 1 of its 2 tile-parts"),
        (codestream(ONE_TILE, tile_part(0, 0, 0), tlm=tlm(17, 17)), "TLM lists 2 tile-parts, 1 are there"),
        (codestream(FOUR_TILES, *map(tile_part, (0, 1, 2))), "3 of its 4 tiles are there"),
        (codestream(FOUR_TILES, *map(tile_part, (0, 2, 3))), "3 of its 4 tiles are there"),
        (codestream(FOUR_TILES, sot(0) + SOD, *map(tile_part, (1, 2, 3))), "1 of its 4 tiles are there"),
        (codestream(FOUR_TILES, *map(tile_part, (0, 1, 2, 3)))[:-17], "3 of its 4 tiles are there"),
        (codestream(NINE_TILES, *map(tile_part, range(8))), "8 of its 9 tiles are there"),
    ],
)
def test_a_codestream_that_lacks_tiles_or_tile_parts_is_damaged(data: bytes, reason: str) -> None:
    header = parse_header(data)
    with pytest.raises(CodestreamError, match=reason):
        find_end(data, header)
    expected = FrameFacts(width=header.width, height=header.height, samples=1, precision=8, lossless=True)
    with pytest.raises(PixelDataError, match=f"damaged JPEG 2000 codestream: {reason}"):
        probe_frame(data, transfer_syntax(jpeg(90)), expected)


def test_every_tile_part_of_a_frame_counts() -> None:
    """Of each resolution one, as they are published here: whichever is left out, the frame is damaged."""
    frame = random_samples((150, 203), "u2", 12)
    data = encode_frame(frame, 12)
    header = parse_header(data)
    ends = [header.header_length, *(header.header_length + np.cumsum(header.tile_part_lengths))]
    expected = FrameFacts(width=203, height=150, samples=1, precision=12, lossless=True)
    for begin, end in pairwise(ends):
        with pytest.raises(PixelDataError, match=f"has {len(ends) - 2} of its {len(ends) - 1} tile-parts"):
            probe_frame(data[:begin] + data[end:], transfer_syntax(jpeg(202)), expected)


def test_a_codestream_in_a_jp2_file_is_looked_through_as_well() -> None:
    data = codestream(FOUR_TILES, *map(tile_part, range(3)))
    expected = FrameFacts(width=100, height=80, samples=1, precision=8, lossless=True)
    with pytest.raises(PixelDataError, match="3 of its 4 tiles are there"):
        probe_frame(jp2_file(data, 17, (80, 100, 1)), transfer_syntax(jpeg(90)), expected)


def test_the_first_bytes_of_a_codestream_tell_its_syntax_all_the_same() -> None:
    found = syntax_of_frame(codestream(FOUR_TILES, tile_part(0)))
    assert found is not None
    assert found.uid == jpeg(90)
