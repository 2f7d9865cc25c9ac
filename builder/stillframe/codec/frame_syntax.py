"""Which transfer syntax a compressed frame is written in, told from its own first bytes."""

from __future__ import annotations

import struct
from typing import Final

from stillframe.codec.markers import Marker, parse_header
from stillframe.codec.probe import jp2_codestream
from stillframe.errors import CodestreamError, PixelDataError

_ROOT: Final = "1.2.840.10008.1.2."
# By the marker of the frame header (ISO/IEC 10918-1 Table B.1): processes 1, 2 and 4, 10 and 12.
_JPEG: Final = {0xC0: "4.50", 0xC1: "4.51", 0xC2: "4.55"}
_LOSSLESS: Final = 0xC3
_JPEG_LS: Final = 0xF7
_START_OF_SCAN: Final = 0xDA
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_XL: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_RLE_HEADER: Final = struct.Struct("<16L")


def syntax_of_frame(data: bytes) -> str | None:
    """UID of the transfer syntax that a frame with these first bytes can be in; None if they tell of none.

    They have to reach the frame's first scan or tile-part. JPEG XL does not tell whether it lost anything (PS3.5
    8.2.15), so it is said to be of the syntax that allows loss.
    """
    suffix: str | None = None
    if data.startswith(b"\xff\xd8"):
        suffix = _jpeg(data)
    elif data.startswith(b"\xff\x4f") or data[4:8] == b"jP  ":
        suffix = _jpeg_2000(data)
    elif data.startswith(_JPEG_XL):
        suffix = "4.111" if b"jbrd" in data[:4096] else "4.112"  # the box with what a JPEG image was (ISO/IEC 18181-2)
    elif _is_rle(data):
        suffix = "5"
    return _ROOT + suffix if suffix else None


def _jpeg(data: bytes) -> str | None:
    """JPEG and JPEG-LS, by the marker segments up to the first scan (ISO/IEC 10918-1 B.1)."""
    offset, frame = 2, 0
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF or marker in _ALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[offset + 2 : offset + 4])
        if marker == _START_OF_SCAN:
            return _by_scan(frame, data[offset + 4 : offset + 2 + length])
        if marker in _JPEG or marker in (_LOSSLESS, _JPEG_LS):
            frame = marker
        offset += 2 + length
    return _JPEG.get(frame)


def _by_scan(frame: int, scan: bytes) -> str | None:
    """What stands behind the components of a scan: a lossless predictor, or NEAR (ISO/IEC 14495-1 C.2.3)."""
    if not scan or len(scan) < 2 + 2 * scan[0]:
        return None
    parameter = scan[1 + 2 * scan[0]]
    if frame == _LOSSLESS:
        return "4.70" if parameter == 1 else "4.57"
    if frame == _JPEG_LS:
        return "4.80" if parameter == 0 else "4.81"
    return _JPEG.get(frame)


def _jpeg_2000(data: bytes) -> str | None:
    try:
        header = parse_header(jp2_codestream(data))
    except (CodestreamError, PixelDataError):
        return None
    if any(segment.marker == Marker.CAP for segment in header.segments):  # ISO/IEC 15444-15 A.2
        return "4.201" if header.reversible else "4.203"
    return "4.90" if header.reversible else "4.91"


def _is_rle(data: bytes) -> bool:
    """Whether there is a header of RLE: up to 15 segments, whose offsets ascend from 64, and zeros (PS3.5 G.5)."""
    if len(data) < _RLE_HEADER.size:
        return False
    count, *offsets = _RLE_HEADER.unpack_from(data)
    used = offsets[:count]
    return 1 <= count <= 15 and used[0] == 64 and used == sorted(set(used)) and not any(offsets[count:])
