"""The scans of a JPEG or JPEG-LS image, from marker to marker (ISO/IEC 10918-1 B, 14495-1 C): where they and it end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stillframe.errors import PixelDataError

_SOI, _EOI, _SOS, _DRI, _APP2 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE2
_SOF_LOSSLESS: Final = 0xC3
_SOF_JPEG_LS: Final = 0xF7
_SOF_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3})
_SOF_OTHER: Final = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, _SOF_JPEG_LS})
_RESTART: Final = range(0xD0, 0xD8)
_STANDALONE: Final = frozenset({0x01, _SOI, *_RESTART})
# In the data of a scan, FF is followed by 0, in JPEG-LS by less than 80 (10918-1 B.1.1.5, 14495-1 A.1).
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_MARKER_LS: Final = re.compile(rb"\xff[\x80-\xfe]")
_INDEX: Final = b"MPF\0"
# Decoders read zeros where data end too early. Single ones change the code or the value there, and seldom begin a code
# that the table does not have, which GDCM would give up.
_FILLING: Final = bytes(1 << bit for bit in range(7, -1, -1)) * 2


def _iter_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers behind the first up to EOI, and their offsets."""
    offset, pattern = 2, _MARKER
    while (found := pattern.search(data, offset)) is not None:
        marker, offset = data[found.start() + 1], found.end()
        yield marker, found.start()
        if marker == _EOI:
            return
        if marker == _SOF_JPEG_LS:
            pattern = _MARKER_LS
        if marker not in _STANDALONE:
            offset += int.from_bytes(data[offset : offset + 2])


def find_jpeg_end(data: bytes) -> tuple[int, bool]:
    """The offset behind the end marker, or the length of the bytes where none is found; and whether more is announced.

    Another image may follow that the first one announces, in the index of a Multi-Picture file (CIPA DC-007).
    """
    announced = False
    for marker, offset in _iter_markers(data):
        announced |= marker == _APP2 and data.startswith(_INDEX, offset + 4)
        if marker == _EOI:
            return offset + 2, announced
    return len(data), announced


def fill_scans(data: bytes) -> bytes | None:
    """The image with other bytes where the data of a scan or a restart interval end; None if it is not Huffman coded.

    If all data are there, no decoder comes to see these bytes: it makes the same of both images. Where data are
    missing, it does not, unless these are but the last coefficients of a lossy image. (Arithmetic coders may leave out
    trailing zeros, 10918-1 D.1.8.)

    Raises:
        PixelDataError: if a restart marker is missing.
    """
    parts: list[bytes] = []
    begin, restarts, seen = 0, -1, set[int]()
    for marker, offset in _iter_markers(data):
        if marker in _SOF_OTHER:
            return None
        seen.add(marker)
        if restarts >= 0:  # in a scan
            end = offset - _fill_bytes(data, offset)
            parts += (data[begin:end], _FILLING)
            begin = end
            if marker in _RESTART:
                _check_restart(marker, restarts)
                restarts += 1
                continue
            if _DRI in seen and _SOF_LOSSLESS not in seen:  # GDCM finds out that intervals are missing
                parts += (bytes((0xFF, _RESTART[restarts % 8])), _FILLING)  # as if another came
        restarts = 0 if marker == _SOS else -1
    return b"".join((*parts, data[begin:])) if seen & _SOF_HUFFMAN else None


def _fill_bytes(data: bytes, offset: int) -> int:
    """How many bytes of FF stand before a marker (10918-1 B.1.1.2)."""
    count = 0
    while data[offset - 1 - count] == 0xFF:
        count += 1
    return count


def _check_restart(marker: int, count: int) -> None:
    expected = _RESTART[count % 8]
    if marker != expected:
        raise PixelDataError(f"damaged JPEG image: restart marker {marker - 0xD0} where {expected - 0xD0} must be")
