"""The comment of a JPEG image (ISO/IEC 10918-1 B.2.4.5): words that decoders pass over.

It ends with a CRC-32 of its words and of the image without it, so that an image with its comment is known to be whole.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

_START: Final = b"\xff\xd8"
_APPLICATION: Final = b"\xff\xe0"
_COMMENT: Final = b"\xff\xfe"
_MARK: Final = " crc32="


def with_comment(image: bytes, text: str) -> bytes:
    """The image with a comment, behind the JFIF segment if it begins with one (ITU-T T.871 10.1)."""
    offset = _place(image)
    body = f"{text}{_checksum(text, image)}".encode("ascii")
    return b"".join((image[:offset], _COMMENT, struct.pack(">H", len(body) + 2), body, image[offset:]))


def comment_of(image: bytes) -> str:
    """The comment where `with_comment` puts it; empty if there is none, or if the image is damaged."""
    offset = _place(image)
    if image[offset : offset + 2] != _COMMENT:
        return ""
    end = offset + 2 + int.from_bytes(image[offset + 2 : offset + 4])
    comment = image[offset + 4 : end].decode("latin-1")
    text = comment[: comment.rfind(_MARK)]
    return text if comment == text + _checksum(text, image[:offset] + image[end:]) else ""


def _place(image: bytes) -> int:
    """The offset behind the start of an image, and behind its JFIF segment."""
    offset = len(_START)
    if image[offset : offset + 2] == _APPLICATION:
        offset += 2 + int.from_bytes(image[offset + 2 : offset + 4])
    return offset


def _checksum(text: str, image: bytes) -> str:
    return f"{_MARK}{zlib.crc32(text.encode('latin-1') + image):08x}"
