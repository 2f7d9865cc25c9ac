"""HTJ2K codestreams in resolution order: where each resolution ends, the cut to a smaller one, what .202 asks.

Bytes in, values out; no sample is decoded here. Structure after ISO/IEC 15444-1 Annexes A and B, the rules of
transfer syntax .202 after PS3.5 10.18. The bytes may come from anywhere: `CodestreamError` is the only exception.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from stillframe.codec.markers import (
    SOT_LENGTH,
    MainHeader,
    Marker,
    TilePart,
    iter_segments,
    parse_header,
    parse_tile_part,
)
from stillframe.errors import CodestreamError

_EOC: Final = b"\xff\xd9"

# What a cut to a lower resolution rewrites, or leaves true. Others (COC, POC, RGN, PPM, PLM ...) it cannot carry over.
_MAIN_SEGMENTS: Final = frozenset({"SIZ", "CAP", "PRF", "CPF", "COD", "QCD", "QCC", "TLM", "COM"})
_TILE_PART_SEGMENTS: Final = frozenset({"PLT", "COM"})

LARGEST_BASE: Final = 64
"""Columns and rows of the smallest resolution (PS3.5 10.18)."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """One resolution of a codestream: `prefix_length` bytes of it decode to `width` x `height` pixels."""

    decode_level: int
    width: int
    height: int
    prefix_length: int


@dataclass(frozen=True, slots=True)
class FrameRow:
    """What `frame-index` says of one HTJ2K frame: its resolutions, smallest first, and the CRC-32 of its pixels."""

    resolutions: tuple[Resolution, ...]
    crc32: int


def level_size(header: MainHeader, level: int) -> tuple[int, int]:
    """Width and height of the image halved `level` times (B-15: both corners are rounded up)."""
    (x1, y1), (x0, y0) = header.end, header.image_offset
    return _halve(x1, level) - _halve(x0, level), _halve(y1, level) - _halve(y0, level)


def _halve(value: int, level: int) -> int:
    return -(-value >> level)


def resolutions(header: MainHeader, size: int) -> tuple[Resolution, ...]:
    """Where each resolution ends in a codestream of `size` bytes with one tile-part per resolution.

    Returns:
        Smallest resolution first. Every prefix ends with a tile-part; the last is the whole codestream with EOC.

    Raises:
        CodestreamError: if TLM does not list one tile-part per resolution, or does not add up to `size`.
    """
    prefixes = _prefixes(header, size)
    return tuple(
        Resolution(level, *level_size(header, level), prefix)
        for level, prefix in zip(range(header.levels, -1, -1), prefixes, strict=True)
    )


def _prefixes(header: MainHeader, size: int) -> list[int]:
    """The lengths of the prefixes of `resolutions`; raises as that does."""
    lengths = header.tile_part_lengths
    if not header.single_tile or len(lengths) != header.levels + 1:
        raise CodestreamError(
            f"not one tile-part per resolution: TLM lists {len(lengths)} tile-parts for {header.levels + 1} resolutions"
        )
    if min(lengths) < SOT_LENGTH + 2:
        raise CodestreamError(f"TLM lists a tile-part of {min(lengths)} bytes")
    prefixes = list(accumulate(lengths, initial=header.header_length))[1:]
    prefixes[-1] += len(_EOC)
    if prefixes[-1] != size:
        raise CodestreamError(f"TLM adds up to {prefixes[-1]} bytes with EOC, the codestream has {size}")
    return prefixes


def reduce_codestream(data: bytes, level: int, header: MainHeader | None = None) -> bytes:
    """The codestream of the image halved `level` times, cut from `data` without decoding.

    Keeps the tile-parts of the lower resolutions and rewrites what the main header says of the others: SIZ, COD,
    QCD, QCC, TLM, and TNsot. It decodes to what `data` decodes to at that level. `header` is that of `data`, where it
    is known already.

    Raises:
        CodestreamError: if `data` does not hold exactly one tile-part per resolution in order, has no such level, or
            has marker segments that a cut cannot carry over.
    """
    header = header or parse_header(data)
    if not 0 <= level <= header.levels:
        raise CodestreamError(f"no decode level {level} in a codestream of {header.levels} decomposition levels")
    parts = list(_resolution_parts(data, header))
    for segment in header.segments:
        if segment.name not in _MAIN_SEGMENTS:
            raise CodestreamError(f"a codestream with a {segment.name} segment cannot be reduced")
    if level == 0:
        return data
    if min(level_size(header, level)) < 1:
        raise CodestreamError(f"the image is empty at decode level {level}")
    parts = parts[: header.levels + 1 - level]
    pieces = [struct.pack(">H", Marker.SOC), *_reduced_segments(data, header, level)]
    for part in parts:
        count = len(parts) if part.count else 0
        pieces.append(struct.pack(">HHHIBB", Marker.SOT, 10, 0, part.length, part.part_index, count))
        pieces.append(data[part.offset + SOT_LENGTH : part.offset + part.length])
    return b"".join((*pieces, _EOC))


def _reduced_segments(data: bytes, header: MainHeader, level: int) -> Iterator[bytes]:
    """The marker segments of the main header as they are after the cut."""
    lengths = header.tile_part_lengths[: header.levels + 1 - level]
    tlm_written = False
    for segment in header.segments:
        body = data[segment.offset + 4 : segment.offset + segment.length]
        match segment.marker:
            case Marker.SIZ:
                body = _reduced_siz(body, header, level)
            case Marker.COD:
                body = _reduced_cod(body, header, level)
            case Marker.QCD:
                body = _reduced_quantization(body, 0, header.levels - level)
            case Marker.QCC:
                body = _reduced_quantization(body, 1 if len(header.components) < 257 else 2, header.levels - level)
            case Marker.TLM:
                if tlm_written:
                    continue
                tlm_written = True
                body = b"\x00\x60" + b"".join(struct.pack(">HI", 0, length) for length in lengths)
        yield struct.pack(">HH", segment.marker, len(body) + 2) + body


def _reduced_siz(body: bytes, header: MainHeader, level: int) -> bytes:
    """Image and tile size halved; the one tile begins at the grid's origin, which changes nothing in it."""
    x1, y1 = (_halve(value, level) for value in header.end)
    x0, y0 = (_halve(value, level) for value in header.image_offset)
    return body[:2] + struct.pack(">8I", x1, y1, x0, y0, x1, y1, 0, 0) + body[34:]


def _reduced_cod(body: bytes, header: MainHeader, level: int) -> bytes:
    """Fewer decomposition levels, and as many fewer precinct sizes (lowest resolution first, A.6.1)."""
    levels = header.levels - level
    return body[:5] + bytes((levels,)) + body[6:10] + body[10 : 11 + levels]


def _reduced_quantization(body: bytes, start: int, levels: int) -> bytes:
    """The steps of the sub-bands that stay, in QCD or QCC (A.6.4, A.6.5); the style byte is at `start`."""
    if len(body) <= start:
        raise CodestreamError("a quantization segment is cut short")
    style = body[start] & 0x1F
    if style == 1:
        return body
    step_bytes = 2 if style == 2 else 1
    end = start + 1 + step_bytes * (3 * levels + 1)
    if style > 2 or len(body) < end:
        raise CodestreamError(f"a quantization segment of {len(body)} bytes and style {style} is malformed")
    return body[:end]


def _resolution_parts(data: bytes, header: MainHeader) -> Iterator[TilePart]:
    """The tile-parts, one per resolution in order, each checked against TLM, and EOC after the last.

    Raises:
        CodestreamError: at the first that is not so.
    """
    count = header.levels + 1
    _prefixes(header, len(data))
    offset = header.header_length
    for index, length in enumerate(header.tile_part_lengths):
        part = parse_tile_part(data, offset)
        if part.length != length:
            raise CodestreamError(f"tile-part {index} has {part.length} bytes, TLM says {length}")
        if part.tile_index or part.part_index != index or part.count not in (0, count):
            raise CodestreamError(f"tile-part {index} of {count} is out of order: {part}")
        for segment in iter_segments(memoryview(data)[offset : offset + length], SOT_LENGTH, Marker.SOD):
            if segment.name not in _TILE_PART_SEGMENTS:
                raise CodestreamError(f"tile-part {index} has a {segment.name} segment")
        yield part
        offset += length
    if data[offset:] != _EOC:
        raise CodestreamError(f"the last tile-part is followed by {data[offset:].hex()}, not by EOC")


def nonconformities(data: bytes, *, min_levels: int = 3) -> list[str]:
    """Why `data` is not a codestream of transfer syntax .202 as it is published here; empty if it is one.

    One tile, one layer, RPCL, reversible, high-throughput blocks only, TLM, one tile-part per resolution, a base
    resolution of at most 64 by 64 and at least `min_levels` decomposition levels (0 for one that was reduced), one
    component or three with the reversible colour transform (PS3.5 10.18), no byte after EOC.
    """
    faults: list[str] = []
    try:
        header = parse_header(data)
        faults += [*_style_faults(header, min_levels), *_component_faults(header)]
        list(_resolution_parts(data, header))  # checks them
    except CodestreamError as error:
        faults.append(str(error))
    return faults


def _style_faults(header: MainHeader, min_levels: int) -> Iterator[str]:
    base = level_size(header, header.levels)
    if not header.high_throughput:
        yield "not all code blocks are high-throughput (CAP, COD)"
    if not header.reversible:
        yield "the wavelet is the irreversible 9-7"
    if header.progression != "RPCL":
        yield f"the progression order is {header.progression}, expected RPCL"
    if header.layers != 1:
        yield f"there are {header.layers} quality layers, expected one"
    if not header.single_tile:
        yield f"the tiles of {header.tile_size} are smaller than the image"
    if max(base) > LARGEST_BASE or min(base) < 1:
        yield f"the base resolution is {base[0]} x {base[1]}, at most {LARGEST_BASE} x {LARGEST_BASE} is allowed"
    if header.levels < min_levels:
        yield f"there are {header.levels} decomposition levels, expected at least {min_levels}"
    for segment in header.segments:
        if segment.name not in _MAIN_SEGMENTS:
            yield f"the main header has a {segment.name} segment"


def _component_faults(header: MainHeader) -> Iterator[str]:
    components = header.components
    if len(components) not in (1, 3):
        yield f"there are {len(components)} components, expected one or three"
    if header.colour_transform != (len(components) == 3):
        yield f"{len(components)} components, colour transform: {header.colour_transform}"
    if len(set(components)) != 1 or (components[0].dx, components[0].dy) != (1, 1):
        yield "the components differ in precision, sign or sampling, or are sub-sampled"
    if components[0].precision > 16:
        yield f"the precision is {components[0].precision} bits, at most 16 are published"
