"""A multipart/related body with one part (RFC 2387, PS3.18 8.6.1): how frames that are not HTJ2K are stored."""

from __future__ import annotations

import hashlib

from stillframe.dicom.syntaxes import transfer_syntax


def wrap_part(payload: bytes, syntax: str) -> bytes:
    """One frame as a multipart body whose boundary follows from the payload, so that equal frames are equal bytes.

    A syntax without a media type of its own is application/octet-stream; the transfer syntax parameter says the rest.
    """
    digest = hashlib.sha256(payload).hexdigest()
    boundary = f"stillframe-{digest[:32]}"
    if boundary.encode() in payload:
        boundary = f"stillframe-{digest}"
    head = f"--{boundary}\r\nContent-Type: {transfer_syntax(syntax).media_type}; transfer-syntax={syntax}\r\n\r\n"
    return b"".join((head.encode(), payload, f"\r\n--{boundary}--\r\n".encode()))


def unwrap_part(body: bytes) -> bytes:
    """The payload of a body that `wrap_part` made."""
    boundary, _, rest = body.partition(b"\r\n")
    return rest.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n" + boundary + b"--\r\n")
