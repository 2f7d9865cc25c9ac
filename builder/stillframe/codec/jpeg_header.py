"""What a JPEG or JPEG-LS image says of itself, from its marker segments (ISO/IEC 10918-1 B, 14495-1 C)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from stillframe.codec.colour import NO_MARKERS, ColourMarkers, Space
from stillframe.codec.facts import FrameFacts
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import PixelDataError

_SOS: Final = 0xDA
_SOF_JPEG_LS: Final = 0xF7
_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0), _SOF_JPEG_LS}) - {0xC4, 0xC8, 0xCC}
_SOF_LOSSLESS: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_APPLICATION: Final = range(0xE0, 0xF0)
_BASELINE, _EXTENDED, _LOSSLESS, _LOSSLESS_SV1, _LS, _LS_NEAR = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81)
)
# Processes that no transfer syntax in use allows, by their frame headers.
_PROCESSES: Final = {0xC2: "progressive JPEG", 0xC9: "arithmetic JPEG", 0xCA: "progressive, arithmetic JPEG"}
# Colour spaces of a SPIFF header (ISO/IEC 10918-3 F.2.1): YCbCr in full range, and RGB.
_SPIFF_SPACES: Final = {3: Space.YBR_FULL, 10: Space.RGB}


@dataclass(frozen=True, slots=True)
class _Segment:
    """A marker segment: its second marker byte, its offset, its body behind the length."""

    marker: int
    offset: int
    body: bytes


def parse_jpeg(data: bytes, *, whole: bool = True) -> FrameFacts:
    """Facts of a JPEG or JPEG-LS image: those of its frame header, and what loss its scan header tells of.

    `syntax` is the narrowest that allows the image. `whole` says that these are all of its bytes.

    Raises:
        PixelDataError: if it is none, is damaged, or claims more pixels than its bytes can hold.
    """
    if data[:2] != b"\xff\xd8":
        raise PixelDataError(f"not a JPEG image: begins with {data[:4].hex()}")
    frame: _Segment | None = None
    markers = NO_MARKERS
    for segment in _segments(data):
        if segment.marker in _APPLICATION:
            markers = _with_application(markers, segment)
        elif segment.marker in _FRAME_HEADERS:
            frame = segment
        elif segment.marker == _SOS:
            facts = replace(_facts(frame, segment), markers=_with_components(markers, frame))
            if whole:
                _check_whole(facts, frame, data, segment.offset)
            return facts
    raise PixelDataError("damaged JPEG image: no frame header" if frame is None else "damaged JPEG image: no scan")


def _segments(data: bytes) -> Iterator[_Segment]:
    """The marker segments up to the first scan header."""
    offset = 2
    while offset + 4 <= len(data):
        if data[offset] != 0xFF:
            raise PixelDataError(f"damaged JPEG image: no marker at byte {offset}")
        marker = data[offset + 1]
        if marker == 0xFF or marker in _STANDALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        yield _Segment(marker, offset, data[offset + 4 : offset + 2 + length])
        if marker == _SOS:
            return
        offset += 2 + length


def _facts(frame: _Segment | None, scan: _Segment) -> FrameFacts:
    if frame is None:
        raise PixelDataError("damaged JPEG image: a scan before its frame header")
    if len(frame.body) < 6 or not scan.body or len(scan.body) < 2 + 2 * scan.body[0]:
        raise PixelDataError("damaged JPEG image: a header is cut short")
    precision, height, width, samples = struct.unpack(">BHHB", frame.body[:6])
    # NEAR of JPEG-LS, or the predictor of lossless JPEG, follows the list of components.
    parameter = scan.body[1 + 2 * scan.body[0]]
    jpeg_ls = frame.marker == _SOF_JPEG_LS
    lossless = parameter == 0 if jpeg_ls else frame.marker in _SOF_LOSSLESS
    if jpeg_ls:
        uid = _LS if lossless else _LS_NEAR
    elif lossless:
        uid = _LOSSLESS_SV1 if parameter == 1 else _LOSSLESS
    else:
        uid = _EXTENDED if precision > 8 or frame.marker == 0xC1 else _BASELINE
    return FrameFacts(
        width=width,
        height=height,
        samples=samples,
        precision=precision,
        lossless=lossless,
        syntax=transfer_syntax(uid),
        process=_PROCESSES.get(frame.marker, ""),
    )


def _check_whole(facts: FrameFacts, frame: _Segment | None, data: bytes, scan: int) -> None:
    """Refuse an image that is cut, and one that claims more pixels than its bytes can hold."""
    # libjpeg makes up what is missing, and CharLS takes seconds to find out, however small the image.
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise PixelDataError(f"truncated: the {facts.syntax.family} image has no end marker")
    if frame is not None:
        _check_plausible(facts, frame.marker, len(data))


def _check_plausible(facts: FrameFacts, marker: int, length: int) -> None:
    """A few bytes that claim a large image would cost its memory and more: refuse what no Huffman code can hold.

    A lossless sample takes a bit, a sequential block of 8 x 8 two (its DC and its end), a progressive one a bit for its
    DC (ISO/IEC 10918-1 F.1.2, G.1.2, H.1.2). Runs of JPEG-LS and arithmetic codes have no such bound.
    """
    pixels_a_byte = {0xC0: 256, 0xC1: 256, 0xC2: 512, 0xC3: 8}.get(marker)
    if pixels_a_byte and facts.width * facts.height > pixels_a_byte * length:
        raise PixelDataError(f"{length} bytes of JPEG cannot hold {facts.width} x {facts.height} pixels")


def _with_application(markers: ColourMarkers, segment: _Segment) -> ColourMarkers:
    """What APP0 (JFIF), APP8 (SPIFF, or the transform of a JPEG-LS coder) and APP14 (Adobe) say of colours."""
    body = segment.body
    match segment.marker:
        case 0xE0 if body[:5] == b"JFIF\0":
            return replace(markers, jfif=True)
        case 0xE8 if body[:6] == b"SPIFF\0" and len(body) > 18:
            return replace(markers, enumerated=_SPIFF_SPACES.get(body[18]))
        case 0xE8 if body[:4] == b"mrfx" and len(body) > 4:
            return replace(markers, transform=body[4] != 0)
        case 0xEE if body[:5] == b"Adobe" and len(body) > 11:
            return replace(markers, adobe=body[11])
    return markers


def _with_components(markers: ColourMarkers, frame: _Segment | None) -> ColourMarkers:
    """What the components of a frame header say: their names, and their sampling factors (10918-1 B.2.2)."""
    if frame is None or len(frame.body) < 15 or frame.body[5] != 3:
        return markers
    first, second, third = (frame.body[offset : offset + 3] for offset in (6, 9, 12))
    halved = any(part[1] >> 4 < first[1] >> 4 or part[1] & 15 < first[1] & 15 for part in (second, third))
    names = bytes((first[0], second[0], third[0]))
    return replace(markers, names=names.decode() if names in (b"RGB", b"rgb") else "", subsampled=halved)


def without_application(data: bytes) -> bytes:
    """The image without what it says of its colours, and with an Adobe segment that says that there is no transform.

    For a decoder that has no other way to be asked for components as they are.
    """
    kept = [b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"]
    for segment in _segments(data):
        if segment.marker == _SOS:
            return b"".join((*kept, data[segment.offset :]))
        if segment.marker not in _APPLICATION:
            kept.append(data[segment.offset : segment.offset + 4 + len(segment.body)])
    return data
