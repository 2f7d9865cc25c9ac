"""Marker segments of JPEG 2000 codestreams, byte by byte (ISO/IEC 15444-1 Annex A)."""

from __future__ import annotations

import struct

SOC = b"\xff\x4f"
EOC = b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, len(body) + 2) + body


def siz(
    grid: tuple[int, ...] = (100, 80, 0, 0, 100, 80, 0, 0), parts: tuple[tuple[int, int, int], ...] = ((7, 1, 1),)
) -> bytes:
    body = struct.pack(">H8IH", 0, *grid, len(parts)) + b"".join(bytes(part) for part in parts)
    return segment(0xFF51, body)


def cod(levels: int = 1, *, order: int = 2, style: int = 0, wavelet: int = 1, precincts: bytes = b"") -> bytes:
    return segment(
        0xFF52, struct.pack(">BBHBBBBBB", bool(precincts), order, 1, 0, levels, 4, 3, style, wavelet) + precincts
    )


QCD = segment(0xFF5C, b"\x20" + bytes(4))


def sot(length: int, part: int = 0, count: int = 1, tile: int = 0) -> bytes:
    return struct.pack(">HHHIBB", 0xFF90, 10, tile, length, part, count)
