"""A multipart/related body with one part (RFC 2387, PS3.18 8.6.1): how frames that are not HTJ2K are stored."""

from __future__ import annotations

import hashlib
from typing import Final

from builder.layout import OCTET_STREAM

MEDIA_TYPES: Final = {
    "1.2.840.10008.1.2.1": "application/octet-stream",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media type of a frame in each transfer syntax that has one (PS3.18 8.7.3.3, 8.7.3.5)."""


def wrap_part(payload: bytes, syntax: str) -> bytes:
    """One frame as a multipart body whose boundary follows from the payload, so that equal frames are equal bytes.

    A syntax without a media type of its own is application/octet-stream; the transfer syntax parameter says the rest.
    """
    digest = hashlib.sha256(payload).hexdigest()
    boundary = f"stillframe-{digest[:32]}"
    if boundary.encode() in payload:
        boundary = f"stillframe-{digest}"
    media_type = MEDIA_TYPES.get(syntax, OCTET_STREAM)
    head = f"--{boundary}\r\nContent-Type: {media_type}; transfer-syntax={syntax}\r\n\r\n"
    return b"".join((head.encode(), payload, f"\r\n--{boundary}--\r\n".encode()))


def unwrap_part(body: bytes) -> bytes:
    """The payload of a body made by `wrap_part`."""
    boundary, _, rest = body.partition(b"\r\n")
    _, _, content = rest.partition(b"\r\n\r\n")
    return content.removesuffix(b"\r\n" + boundary + b"--\r\n")
