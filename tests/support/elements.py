"""Data sets written element by element, so that what no library would write can be written, too."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from tests.support.dicom_files import BIG_ENDIAN, EXPLICIT, IMPLICIT, SERIES, STUDY, instance_uid

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7"
REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88.11"
UNDEFINED = 0xFFFFFFFF
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
PADDING_TAG = 0xFFFCFFFC
PIXEL_DATA = 0x7FE00010

_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def order(syntax: str) -> str:
    """The byte order of a transfer syntax as struct has it."""
    return ">" if syntax == BIG_ENDIAN else "<"


def head(tag: int, vr: str, length: int, syntax: str = EXPLICIT) -> bytes:
    """Tag, VR and length of an element (PS3.5 7.1); of an item or a delimiter with the VR ""."""
    start = struct.pack(order(syntax) + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT or not vr:
        return start + struct.pack(order(syntax) + "L", length)
    if vr in _LONG:
        return start + vr.encode() + b"\0\0" + struct.pack(order(syntax) + "L", length)
    return start + vr.encode() + struct.pack(order(syntax) + "H", length)


def element(tag: int, vr: str, value: bytes | str | int = b"", syntax: str = EXPLICIT) -> bytes:
    """One element; a number is one of 16 bits."""
    if isinstance(value, int):
        value = struct.pack(order(syntax) + "H", value)
    elif isinstance(value, str):
        value = value.encode("latin-1")
    value += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(value) % 2)
    return head(tag, vr, len(value), syntax) + value


def sequence(tag: int, items: Iterable[bytes], syntax: str = EXPLICIT, *, end: bytes | None = None) -> bytes:
    """A sequence of items, both of undefined length; `end` stands in place of its delimiter."""
    content = b"".join(
        head(0xFFFEE000, "", UNDEFINED, syntax) + item + head(0xFFFEE00D, "", 0, syntax) for item in items
    )
    return head(tag, "SQ", UNDEFINED, syntax) + content + (head(0xFFFEE0DD, "", 0, syntax) if end is None else end)


def meta_header(syntax: str | None = EXPLICIT, sop_class: str = SOP_CLASS, number: int = 1) -> bytes:
    """Preamble and file meta information (PS3.10 7.1); without a transfer syntax if that is None."""
    body = element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", sop_class)
    body += element(0x00020003, "UI", instance_uid(number))
    body += element(0x00020010, "UI", syntax) if syntax is not None else b""
    body += element(0x00020012, "UI", "1.2.3")
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(body))) + body


def identity(syntax: str = EXPLICIT, number: int = 1, sop_class: str = SOP_CLASS) -> list[bytes]:
    """What every object has, in the order of its tags: class, UIDs and patient."""
    parts = [
        (0x00080016, "UI", sop_class),
        (0x00080018, "UI", instance_uid(number)),
        (0x00080060, "CS", "OT"),
        (0x00100010, "PN", "Sample^One"),
        (0x00100020, "LO", "P1"),
        (0x0020000D, "UI", STUDY),
        (0x0020000E, "UI", SERIES),
        (0x00200013, "IS", str(number)),
    ]
    return [element(tag, vr, value, syntax) for tag, vr, value in parts]


def image_module(pixels: npt.NDArray[Any], syntax: str = EXPLICIT) -> list[bytes]:
    """The Image Pixel module of a grey frame of 12 bits, without Pixel Data."""
    parts: list[tuple[int, str, int | str]] = [
        (0x00280002, "US", 1),
        (0x00280004, "CS", "MONOCHROME2"),
        (0x00280010, "US", pixels.shape[0]),
        (0x00280011, "US", pixels.shape[1]),
        (0x00280100, "US", 16),
        (0x00280101, "US", 12),
        (0x00280102, "US", 11),
        (0x00280103, "US", 0),
    ]
    return [element(tag, vr, value, syntax) for tag, vr, value in parts]


def slide_tiles(count: int) -> bytes:
    """Per-frame functional groups of a sparse whole-slide image (PS3.3 C.8.12.6): 14 elements and items a tile."""
    return element(0x52009230, "SQ", b"".join(map(_tile, range(count))))


def _tile(number: int) -> bytes:
    row, column = divmod(number, 400)
    place = [
        element(0x0040072A, "DS", f"{0.128 * column:.6f}"),
        element(0x0040073A, "DS", f"{0.128 * row:.6f}"),
        element(0x0040074A, "DS", "0"),
        element(0x0048021E, "SL", struct.pack("<l", 256 * column + 1)),
        element(0x0048021F, "SL", struct.pack("<l", 256 * row + 1)),
    ]
    groups = [
        (0x00209111, element(0x00209157, "UL", struct.pack("<2L", column + 1, row + 1))),
        (0x00480207, element(0x00480106, "SH", "1")),
        (0x0048021A, b"".join(place)),
    ]
    return item(b"".join(element(tag, "SQ", item(content)) for tag, content in groups))


def item(content: bytes) -> bytes:
    """An item of known length, in explicit VR little endian."""
    return head(0xFFFEE000, "", len(content)) + content


def native_pixels(pixels: npt.NDArray[Any], syntax: str = EXPLICIT) -> bytes:
    """Pixel Data of 16 bits a sample."""
    return element(PIXEL_DATA, "OW", pixels.astype(order(syntax) + "u2").tobytes(), syntax)
