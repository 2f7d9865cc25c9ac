"""What a compressed frame says of itself, read from its first markers without decoding it.

A decoder allocates what a frame's header asks for. Looking first keeps a file of a few bytes from claiming gigabytes,
and tells lossy frames from lossless ones where the transfer syntax allows both.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from stillframe.codec.facts import FrameFacts
from stillframe.codec.jpegxl_header import parse_jpeg_xl
from stillframe.codec.markers import parse_header
from stillframe.dicom.syntaxes import Family, TransferSyntax
from stillframe.errors import CodestreamError, PixelDataError

_SOF_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_SOF_JPEG_LS: Final = 0xF7
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def probe_frame(data: bytes, syntax: TransferSyntax, expected: FrameFacts) -> FrameFacts:
    """Facts of one compressed frame of the given transfer syntax; `expected` are those of the data set.

    Raises:
        PixelDataError: if the frame is not of that syntax, or its size is not the one expected.
    """
    match syntax.family:
        case Family.JPEG_2000 | Family.HTJ2K:
            facts = _probe_jpeg_2000(data)
        case Family.JPEG | Family.JPEG_LS:
            facts = _probe_jpeg(data)
        case Family.JPEG_XL:
            # Only the syntax tells that an image is lossless, but for what cannot be (PS3.5 8.2.15).
            facts = parse_jpeg_xl(data)
            facts = replace(facts, lossless=facts.lossless and syntax.lossless)
        case Family.ITEMS | Family.RLE:
            if syntax.family is Family.RLE:
                _check_rle(data, expected)
            facts = replace(expected, samples=0, precision=0)
        case _:
            raise PixelDataError(f"transfer syntax {syntax.uid} is not supported")
    if (facts.width, facts.height) != (expected.width, expected.height):
        raise PixelDataError(
            f"the frame is {facts.width} x {facts.height}, the data set says {expected.width} x {expected.height}"
        )
    # A JPEG XL image has only signs of its loss, which keep it from being taken for lossless.
    if not facts.lossless and syntax.lossless and syntax.family is not Family.JPEG_XL:
        raise PixelDataError(f"the frame is compressed with loss, which transfer syntax {syntax.uid} does not allow")
    if facts.samples not in (0, expected.samples):
        raise PixelDataError(
            f"the frame has {facts.samples} components, the data set says {expected.samples} samples per pixel"
        )
    return facts


def _probe_jpeg_2000(data: bytes) -> FrameFacts:
    try:
        header = parse_header(jp2_codestream(data))
    except CodestreamError as error:
        raise PixelDataError(f"not a JPEG 2000 codestream: {error}") from error
    return FrameFacts(
        width=header.width,
        height=header.height,
        samples=len(header.components),
        precision=max(component.precision for component in header.components),
        lossless=header.reversible,
        signed=any(component.signed for component in header.components),
    )


def jp2_codestream(data: bytes) -> bytes:
    """The codestream inside a JP2 or JPH file, or `data` itself if it is a bare codestream (ISO/IEC 15444-1 Annex I).

    PS3.5 A.4.4 asks for a bare codestream; files with boxes around it exist.
    """
    if data[4:8] != b"jP  ":
        return data
    offset = 0
    while offset + 8 <= len(data):
        length, kind = struct.unpack(">L4s", data[offset : offset + 8])
        if kind == b"jp2c":
            return data[offset + (16 if length == 1 else 8) :]
        if length < 8:
            break
        offset += length
    raise PixelDataError("a JP2 file without a codestream")


def _probe_jpeg(data: bytes) -> FrameFacts:
    """Walk the marker segments (ISO/IEC 10918-1 B.1) to the frame header, then to the scan for JPEG-LS."""
    if data[:2] != b"\xff\xd8":
        raise PixelDataError(f"not a JPEG image: begins with {data[:4].hex()}")
    facts: FrameFacts | None = None
    offset = 2
    while offset + 4 <= len(data):
        if data[offset] != 0xFF:
            raise PixelDataError(f"damaged JPEG image: no marker at byte {offset}")
        marker = data[offset + 1]
        if marker == 0xFF or marker in _STANDALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack(">H", data[offset + 2 : offset + 4])[0]
        segment = data[offset + 4 : offset + 2 + length]
        if marker == 0xDA:
            if data.rfind(b"\xff\xd9", offset) < 0:  # CharLS takes seconds to find out, however small the image
                raise PixelDataError("truncated: the JPEG-LS image has no end marker")
            return _with_near(facts, segment)
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == _SOF_JPEG_LS:
            if len(segment) < 6:
                break
            precision, height, width, samples = struct.unpack(">BHHB", segment[:6])
            lossless = marker in _SOF_LOSSLESS or marker == _SOF_JPEG_LS
            facts = FrameFacts(width=width, height=height, samples=samples, precision=precision, lossless=lossless)
            _check_plausible(facts, marker, len(data))
            if marker != _SOF_JPEG_LS:
                return facts
        offset += 2 + length
    raise PixelDataError("damaged JPEG image: no frame header")


def _check_plausible(facts: FrameFacts, marker: int, length: int) -> None:
    """A few bytes that claim a large image would cost its memory and more: refuse what no Huffman code can hold.

    A lossless sample takes a bit, a sequential block of 8 x 8 two (its DC and its end), a progressive one a bit for its
    DC (ISO/IEC 10918-1 F.1.2, G.1.2, H.1.2). Runs of JPEG-LS and arithmetic codes have no such bound.
    """
    pixels_a_byte = {0xC0: 256, 0xC1: 256, 0xC2: 512, 0xC3: 8}.get(marker)
    if pixels_a_byte and facts.width * facts.height > pixels_a_byte * length:
        raise PixelDataError(f"{length} bytes of JPEG cannot hold {facts.width} x {facts.height} pixels")


def _with_near(facts: FrameFacts | None, segment: bytes) -> FrameFacts:
    """JPEG-LS keeps its loss in the scan header: NEAR follows the component list (ISO/IEC 14495-1 C.2.3)."""
    if facts is None or not segment or len(segment) < 2 + 2 * segment[0]:
        raise PixelDataError("damaged JPEG image: a scan before its frame header")
    near = segment[1 + 2 * segment[0]]
    return replace(facts, lossless=near == 0)


def _check_rle(data: bytes, expected: FrameFacts) -> None:
    """RLE (PS3.5 Annex G) has no size of its own, but two bytes never expand to more than 128."""
    if len(data) < 64:
        raise PixelDataError("damaged RLE frame: shorter than its header")
    segments = int.from_bytes(data[:4], "little")
    planes = expected.samples * ((expected.precision + 7) // 8)
    if segments != planes:
        raise PixelDataError(f"the RLE frame has {segments} segments, the data set asks for {planes}")
    if expected.width * expected.height * planes > 64 * len(data):
        raise PixelDataError(f"{len(data)} bytes of RLE cannot hold {expected.width} x {expected.height} pixels")
