"""The payload of a frame that is stored as multipart/related."""

from __future__ import annotations


def unwrap_part(body: bytes) -> bytes:
    """The payload of a body made by `wrap_part`."""
    boundary, _, rest = body.partition(b"\r\n")
    _, _, content = rest.partition(b"\r\n\r\n")
    return content.removesuffix(b"\r\n" + boundary + b"--\r\n")
