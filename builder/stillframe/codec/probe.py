"""What a compressed frame says of itself, read from its first markers without decoding it.

A decoder allocates what a frame's header asks for. Looking first keeps a file of a few bytes from claiming gigabytes,
and tells what a frame is: its bytes count, not the transfer syntax that the file names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stillframe.codec.colour import ColourMarkers
from stillframe.codec.facts import FrameFacts
from stillframe.codec.image_end import is_followed
from stillframe.codec.jp2 import is_jp2, jp2_codestream, jp2_space
from stillframe.codec.jpeg_header import parse_jpeg
from stillframe.codec.jpegxl_header import is_jpeg_xl, parse_jpeg_xl
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.dicom.encapsulated import RLE_HEADER_BYTES, begins_rle
from stillframe.dicom.syntaxes import RLE_LOSSLESS, Family, TransferSyntax, transfer_syntax
from stillframe.errors import CodestreamError, PixelDataError

_ROOT: Final = "1.2.840.10008.1.2.4."
# What else a transfer syntax allows beside what its name says.
_ALLOWED: Final = {
    f"{_ROOT}{named}": frozenset(f"{_ROOT}{number}" for number in others)
    for named, others in {
        51: (50,), 57: (70,), 81: (80,), 91: (90,), 202: (201,), 203: (201,),
    }.items()
}  # fmt: skip
_JPEG_XL_LOSSLESS: Final = f"{_ROOT}110"


def family_of(data: bytes) -> Family | None:
    """How a frame is compressed, by its first bytes; None if they do not tell. 64 bytes are enough.

    JPEG-LS begins as JPEG does, and HTJ2K as JPEG 2000: those are the answers then.
    """
    if data[:3] == b"\xff\xd8\xff":
        return Family.JPEG
    if data[:4] == b"\xff\x4f\xff\x51" or is_jp2(data):
        return Family.JPEG_2000
    if is_jpeg_xl(data):
        return Family.JPEG_XL
    return Family.RLE if begins_rle(data) else None


def syntax_of_frame(head: bytes) -> TransferSyntax | None:
    """The narrowest transfer syntax that allows a frame with these first bytes; None if they tell of none.

    They have to reach the frame's first scan or tile-part. JPEG XL does not tell whether it lost anything (PS3.5
    8.2.15), so it is said to be of the syntax that allows loss.
    """
    try:
        match family_of(head):
            case Family.JPEG:
                return parse_jpeg(head, whole=False).syntax
            case Family.JPEG_2000:
                return _probe_jpeg_2000(head).syntax
            case Family.JPEG_XL:
                return parse_jpeg_xl(head).syntax
            case Family.RLE:
                return transfer_syntax(RLE_LOSSLESS)
            case _:
                return None
    except PixelDataError:
        return None


def probe_frame(data: bytes, syntax: TransferSyntax, expected: FrameFacts) -> FrameFacts:
    """Facts of one compressed frame; `expected` are those of the data set, `syntax` what the file names.

    Raises:
        PixelDataError: if the frame is damaged, or its size is not the one expected.
    """
    facts = _settle_syntax(_read_facts(data, syntax, expected), syntax)
    if (facts.width, facts.height) != (expected.width, expected.height):
        raise PixelDataError(
            f"the frame is {facts.width} x {facts.height}, the data set says {expected.width} x {expected.height}"
        )
    if facts.samples not in (0, expected.samples):
        raise PixelDataError(
            f"the frame has {facts.samples} components, the data set says {expected.samples} samples per pixel"
        )
    return replace(facts, followed=is_followed(data, facts.syntax.family))


def _read_facts(data: bytes, syntax: TransferSyntax, expected: FrameFacts) -> FrameFacts:
    """What the bytes say, by what they are; as the named family where they do not tell."""
    family = None if syntax.family is Family.ITEMS and _is_item(data, expected) else family_of(data)
    match family or syntax.family:
        case Family.JPEG_2000 | Family.HTJ2K:
            return _probe_jpeg_2000(data)
        case Family.JPEG | Family.JPEG_LS:
            return parse_jpeg(data)
        case Family.JPEG_XL:
            return parse_jpeg_xl(data)
        case Family.RLE:
            _check_rle(data, expected)
            return replace(expected, samples=0, precision=0, syntax=transfer_syntax(RLE_LOSSLESS))
        case Family.ITEMS:
            return replace(expected, samples=0, precision=0, syntax=syntax)
        case _:
            raise PixelDataError(f"transfer syntax {syntax.uid} is not supported")


def _is_item(data: bytes, expected: FrameFacts) -> bool:
    """Whether an item has the length of native samples, which may begin with any bytes."""
    length = (expected.width * expected.height * expected.samples * expected.precision + 7) // 8
    return len(data) in (length, length + length % 2)


def _settle_syntax(facts: FrameFacts, named: TransferSyntax) -> FrameFacts:
    """The facts with the named transfer syntax if it allows them.

    Only the syntax tells that a JPEG XL image is lossless, but for what cannot be (PS3.5 8.2.15): any syntax, if it
    allows no loss.
    """
    found = facts.syntax
    if found.family is Family.JPEG_XL:
        lossless = facts.lossless and named.lossless
        if named.family is Family.JPEG_XL:
            return replace(facts, lossless=lossless, syntax=named)
        return replace(facts, lossless=lossless, syntax=transfer_syntax(_JPEG_XL_LOSSLESS) if lossless else found)
    return replace(facts, syntax=named) if allows(named, found) else facts


def allows(syntax: TransferSyntax, found: TransferSyntax) -> bool:
    """Whether a transfer syntax allows frames that are of another, the narrowest one that does."""
    return found.uid == syntax.uid or found.uid in _ALLOWED.get(syntax.uid, ())


def _probe_jpeg_2000(data: bytes) -> FrameFacts:
    try:
        header = parse_header(jp2_codestream(data))
    except CodestreamError as error:
        raise PixelDataError(f"not a JPEG 2000 codestream: {error}") from error
    sampling = [(component.dx, component.dy) for component in header.components]
    return FrameFacts(
        width=header.width,
        height=header.height,
        samples=len(header.components),
        precision=max(component.precision for component in header.components),
        lossless=header.reversible,
        signed=any(component.signed for component in header.components),
        syntax=_jpeg_2000_syntax(header),
        markers=ColourMarkers(
            enumerated=jp2_space(data),
            transform=header.colour_transform,
            subsampled=any(one > first for part in sampling for one, first in zip(part, sampling[0], strict=True)),
        ),
    )


def _jpeg_2000_syntax(header: MainHeader) -> TransferSyntax:
    """JPEG 2000 or HTJ2K, without loss or with it, as the wavelet has it."""
    numbers = (201, 203) if header.has_high_throughput else (90, 91)
    return transfer_syntax(f"{_ROOT}{numbers[not header.reversible]}")


def _check_rle(data: bytes, expected: FrameFacts) -> None:
    """RLE (PS3.5 Annex G) has no size of its own, but two bytes never expand to more than 128."""
    if len(data) < RLE_HEADER_BYTES:
        raise PixelDataError("damaged RLE frame: shorter than its header")
    segments = int.from_bytes(data[:4], "little")
    planes = expected.samples * ((expected.precision + 7) // 8)
    if segments != planes:
        raise PixelDataError(f"the RLE frame has {segments} segments, the data set asks for {planes}")
    if expected.width * expected.height * planes > 64 * len(data):
        raise PixelDataError(f"{len(data)} bytes of RLE cannot hold {expected.width} x {expected.height} pixels")
