"""Whether a JPEG 2000 codestream holds all of its tile-parts, and where it ends (ISO/IEC 15444-1 A.4.2, B.3).

Decoders make something up for what is missing, and say nothing.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final

from stillframe.codec.markers import SOT_LENGTH, MainHeader, Marker, iter_segments
from stillframe.errors import CodestreamError

_SOT, _EOC = (marker.to_bytes(2) for marker in (Marker.SOT, Marker.EOC))
_TILE_PART: Final = struct.Struct(">HIBB")  # Isot, Psot, TPsot, TNsot


def find_end(codestream: bytes, header: MainHeader) -> int:
    """The offset behind EOC, or the length of the bytes if there is none; `codestream` may go on.

    Raises:
        CodestreamError: if a tile is missing, or a tile-part that TNsot or TLM tells of.
    """
    found: Counter[int] = Counter()
    promised: dict[int, int] = {}
    offset = header.header_length
    while codestream.startswith(_SOT, offset) and offset + SOT_LENGTH <= len(codestream):
        tile, length, _, count = _TILE_PART.unpack_from(codestream, offset + 4)
        found[tile] += 1
        promised[tile] = max(promised.get(tile, 0), count)
        if not length:
            offset = _find_eoc(codestream, offset)
            break
        offset += max(length, SOT_LENGTH)
    _check_complete(header, found, promised)
    return offset + len(_EOC) if codestream.startswith(_EOC, offset) else len(codestream)


def _find_eoc(codestream: bytes, offset: int) -> int:
    """Where EOC is behind a tile-part that reaches up to it: none of its packets holds such bytes (B.10.1, D.4.1)."""
    segments = list(iter_segments(codestream, offset + SOT_LENGTH, Marker.SOD))
    data = segments[-1].offset + segments[-1].length if segments else offset + SOT_LENGTH
    end = codestream.find(_EOC, data)
    return end if end >= 0 else len(codestream)


def _check_complete(header: MainHeader, found: Counter[int], promised: dict[int, int]) -> None:
    tiles = header.tiles
    if len(found) < tiles:
        raise CodestreamError(f"{len(found)} of its {tiles} tiles are there")
    for tile, count in promised.items():
        if found[tile] < count:
            raise CodestreamError(f"tile {tile} has {found[tile]} of its {count} tile-parts")
    # A length of 0 is no tile-part: writers reserve room for more than they make.
    listed = sum(length > 0 for length in header.tile_part_lengths)
    if found.total() < listed:
        raise CodestreamError(f"TLM lists {listed} tile-parts, {found.total()} are there")
