"""The markers of a JPEG 2000 codestream: main header and tile-part headers, from bytes to values.

Syntax after ISO/IEC 15444-1 Annex A; the high-throughput markers after ISO/IEC 15444-15. The bytes may come from
anywhere: every length is checked, and `CodestreamError` is the only exception raised.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

from stillframe.errors import CodestreamError


class Marker(IntEnum):
    """The markers by their names in the standards."""

    SOC = 0xFF4F
    CAP = 0xFF50
    SIZ = 0xFF51
    COD = 0xFF52
    COC = 0xFF53
    TLM = 0xFF55
    PRF = 0xFF56
    PLM = 0xFF57
    PLT = 0xFF58
    CPF = 0xFF59
    QCD = 0xFF5C
    QCC = 0xFF5D
    RGN = 0xFF5E
    POC = 0xFF5F
    PPM = 0xFF60
    PPT = 0xFF61
    CRG = 0xFF63
    COM = 0xFF64
    NLT = 0xFF76
    SOT = 0xFF90
    SOD = 0xFF93
    EOC = 0xFFD9


_PROGRESSIONS: Final = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")
SOT_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker segment: its code, its offset, and its length in bytes with the two of the marker."""

    marker: int
    offset: int
    length: int

    @property
    def name(self) -> str:
        """The standard's three letters, or the code in hexadecimal."""
        return Marker(self.marker).name if self.marker in Marker else f"0x{self.marker:04X}"


@dataclass(frozen=True, slots=True)
class Component:
    """One component: bits per sample, sign, and its horizontal and vertical sub-sampling."""

    precision: int
    signed: bool
    dx: int
    dy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MainHeader:
    """What the main header of a codestream says.

    Pairs are (horizontal, vertical). `end` is Xsiz, Ysiz: the lower right corner of the image area on the reference
    grid, whose upper left corner is `image_offset`. `levels` are decomposition levels, `precincts` sizes in samples,
    lowest resolution first, empty for the largest. `tile_part_lengths` come from TLM, empty without one.
    `high_throughput` means that all code blocks are (CAP is there and the block style says HT only),
    `has_high_throughput` that some may be.
    `header_length` is the offset of the first SOT. `comments` are the texts of COM.
    """

    end: tuple[int, int]
    image_offset: tuple[int, int]
    tile_size: tuple[int, int]
    tile_offset: tuple[int, int]
    components: tuple[Component, ...]
    progression: str
    layers: int
    colour_transform: bool
    levels: int
    block_size: tuple[int, int]
    reversible: bool
    high_throughput: bool
    has_high_throughput: bool
    precincts: tuple[tuple[int, int], ...]
    tile_part_lengths: tuple[int, ...]
    header_length: int
    comments: tuple[str, ...]
    segments: tuple[Segment, ...]

    @property
    def width(self) -> int:
        """Columns of the image at full resolution."""
        return self.end[0] - self.image_offset[0]

    @property
    def height(self) -> int:
        """Rows of the image at full resolution."""
        return self.end[1] - self.image_offset[1]

    @property
    def single_tile(self) -> bool:
        """Whether the first tile covers the whole image area."""
        return self.tiles == 1

    @property
    def tiles(self) -> int:
        """How many tiles the image has (B-5)."""
        across, down = (-(-(e - o) // s) for o, s, e in zip(self.tile_offset, self.tile_size, self.end, strict=True))
        return across * down


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePart:
    """A tile-part as its SOT has it: `length` is Psot (0: up to EOC), `count` TNsot (0: not said)."""

    offset: int
    length: int
    tile_index: int
    part_index: int
    count: int


def parse_header(data: bytes) -> MainHeader:
    """Read the main header of a JPEG 2000 or HTJ2K codestream; `data` must reach its first SOT marker.

    Raises:
        CodestreamError: if the header is cut short, malformed, or uses what Part 1 and Part 15 do not define.
    """
    segments, header_length = _main_segments(data)
    bodies: dict[int, list[bytes]] = {}
    for segment in segments:
        body = data[segment.offset + 4 : segment.offset + segment.length]
        bodies.setdefault(segment.marker, []).append(body)
    _only(bodies, Marker.QCD)
    return MainHeader(
        **_parse_siz(_only(bodies, Marker.SIZ)),
        **_parse_cod(_only(bodies, Marker.COD), tuple(bodies.get(Marker.CAP, ()))),
        tile_part_lengths=_parse_tlm(bodies.get(Marker.TLM, [])),
        header_length=header_length,
        comments=tuple(body[2:].decode("latin-1") for body in bodies.get(Marker.COM, ()) if body[:2] == b"\0\1"),
        segments=segments,
    )


def _unpack(layout: str, data: bytes | memoryview, offset: int, what: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, offset)
    except struct.error:
        raise CodestreamError(f"{what} is cut short: {max(len(data) - offset, 0)} bytes are left") from None


def _main_segments(data: bytes) -> tuple[tuple[Segment, ...], int]:
    """The marker segments from SIZ to the first SOT, and the offset of that SOT."""
    if _unpack(">H", data, 0, "the codestream")[0] != Marker.SOC:
        raise CodestreamError(f"not a codestream: begins with {data[:4].hex()}, not ff4f")
    segments = tuple(iter_segments(data, 2, Marker.SOT))
    if not segments or segments[0].marker != Marker.SIZ:
        raise CodestreamError("SOC is not followed by SIZ")
    return segments, segments[-1].offset + segments[-1].length


def iter_segments(data: bytes | memoryview, offset: int, stop: int) -> Iterator[Segment]:
    """The marker segments from `offset` up to the marker `stop`, which ends them.

    Raises:
        CodestreamError: where something else than a whole marker segment stands.
    """
    while True:
        (marker,) = _unpack(">H", data, offset, "the header")
        if marker == stop:
            return
        # SOC, SOT, SOD, EOC and 0xFF30-3F have no length or do not belong here (Table A.1).
        if not 0xFF4F < marker < 0xFF90:
            raise CodestreamError(f"no marker segment at offset {offset}: found {marker:04x}")
        (length,) = _unpack(">H", data, offset + 2, "a marker segment")
        if length < 2 or offset + 2 + length > len(data):
            raise CodestreamError(f"the segment of marker {marker:04x} at offset {offset} is cut short")
        yield Segment(marker, offset, length + 2)
        offset += length + 2


def _only(bodies: dict[int, list[bytes]], marker: Marker) -> bytes:
    """The body of a marker segment of which the main header must have exactly one."""
    own = bodies.get(marker, [])
    if len(own) != 1:
        raise CodestreamError(f"the main header has {len(own)} {marker.name} segments, expected one")
    return own[0]


@lru_cache(maxsize=64)  # the frames of a series have the same
def _parse_siz(body: bytes) -> dict[str, Any]:
    """Image and tile size (A.5.1), as fields of `MainHeader`."""
    _, x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, count = _unpack(">H8IH", body, 0, "SIZ")
    if not 1 <= count <= 16384 or len(body) != 36 + 3 * count:
        raise CodestreamError(f"SIZ of {len(body)} bytes does not hold {count} components")
    if x1 <= x0 or y1 <= y0:
        raise CodestreamError(f"SIZ describes an empty image: {x0},{y0} to {x1},{y1}")
    if not (tile_x <= x0 < tile_x + tile_w and tile_y <= y0 < tile_y + tile_h):
        raise CodestreamError("the first tile of SIZ holds no part of the image")
    components = tuple(
        Component((depth & 0x7F) + 1, bool(depth & 0x80), dx, dy)
        for depth, dx, dy in struct.iter_unpack("BBB", body[36:])
    )
    for component in components:
        if component.precision > 38 or not component.dx or not component.dy:
            raise CodestreamError(f"SIZ describes an impossible component: {component}")
    return {
        "end": (x1, y1),
        "image_offset": (x0, y0),
        "tile_size": (tile_w, tile_h),
        "tile_offset": (tile_x, tile_y),
        "components": components,
    }


@lru_cache(maxsize=64)
def _parse_cod(body: bytes, capabilities: tuple[bytes, ...]) -> dict[str, Any]:
    """Coding style default (A.6.1), as fields of `MainHeader`; `capabilities` are the bodies of CAP."""
    flags, order, layers, transform, levels, xcb, ycb, style, wavelet = _unpack(">BBHBBBBBB", body, 0, "COD")
    if order >= len(_PROGRESSIONS) or transform > 1 or wavelet > 1 or levels > 32 or not layers:
        raise CodestreamError(f"COD outside ISO/IEC 15444-1 Table A.14: {body[:10].hex()}")
    if xcb > 8 or ycb > 8 or xcb + ycb > 8:
        raise CodestreamError(f"COD has code blocks of 2^{xcb + 2} by 2^{ycb + 2}")
    if len(body) != 10 + (levels + 1 if flags & 1 else 0):
        raise CodestreamError(f"COD of {len(body)} bytes does not fit {levels} decomposition levels")
    # Pcap bit 15, counted from the most significant (A.5.2), announces ISO/IEC 15444-15.
    announced = bool(style & 0x40) and any(_unpack(">I", cap, 0, "CAP")[0] & 0x00020000 for cap in capabilities)
    return {
        "progression": _PROGRESSIONS[order],
        "layers": layers,
        "colour_transform": transform == 1,
        "levels": levels,
        "block_size": (4 << xcb, 4 << ycb),
        "reversible": wavelet == 1,
        "high_throughput": style & 0xC0 == 0x40 and announced,
        "has_high_throughput": announced,
        "precincts": tuple((1 << (size & 15), 1 << (size >> 4)) for size in body[10:]),
    }


def _parse_tlm(bodies: list[bytes]) -> tuple[int, ...]:
    """Tile-part lengths of all TLM segments in the order of Ztlm (A.7.1)."""
    parts: dict[int, tuple[int, ...]] = {}
    for body in bodies:
        index, form = _unpack(">BB", body, 0, "TLM")
        tile_bytes, wide = form >> 4 & 3, form >> 6 & 1
        entry = struct.Struct(">" + "x" * tile_bytes + ("I" if wide else "H"))
        if form & 0x8F or tile_bytes == 3 or (len(body) - 2) % entry.size:
            raise CodestreamError(f"TLM of {len(body)} bytes does not fit its form {form:#04x}")
        if index in parts:
            raise CodestreamError(f"two TLM segments have the index {index}")
        parts[index] = tuple(length for (length,) in entry.iter_unpack(body[2:]))
    if sorted(parts) != list(range(len(parts))):
        raise CodestreamError(f"TLM segments are missing: there are {sorted(parts)}")
    return tuple(length for index in sorted(parts) for length in parts[index])


def parse_tile_part(data: bytes, offset: int = 0) -> TilePart:
    """Read the SOT segment (A.4.2) at `offset`; 12 bytes are needed.

    Raises:
        CodestreamError: if there is none.
    """
    marker, length, tile, psot, part, count = _unpack(">HHHIBB", data, offset, "a tile-part header")
    if marker != Marker.SOT or length != 10:
        raise CodestreamError(f"no tile-part at offset {offset}: found {data[offset : offset + 4].hex()}")
    if psot and psot < SOT_LENGTH + 2:
        raise CodestreamError(f"the tile-part at offset {offset} has the impossible length {psot}")
    return TilePart(offset=offset, length=psot, tile_index=tile, part_index=part, count=count)
