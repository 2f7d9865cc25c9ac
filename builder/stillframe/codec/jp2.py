"""JP2 and JPH files (ISO/IEC 15444-1 Annex I): the codestream in one, and one around a codestream.

PS3.5 A.4.4 asks for a bare codestream; files with boxes around it exist.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from stillframe.codec.colour import Space
from stillframe.codec.markers import MainHeader
from stillframe.errors import PixelDataError

_SPACES: Final = {16: Space.RGB, 18: Space.YBR_FULL}  # sRGB and sYCC (I.5.3.3)
_GREY: Final = 17
_UNKNOWN_SPACE, _COMPRESSION = 0, 7


def is_jp2(data: bytes) -> bool:
    """Whether there are boxes around the codestream."""
    return data[4:8] == b"jP  "


def jp2_codestream(data: bytes) -> bytes:
    """The codestream inside a JP2 or JPH file, or `data` itself if it is a bare codestream.

    Raises:
        PixelDataError: if a file holds none.
    """
    if not is_jp2(data):
        return data
    for kind, body in _boxes(data):
        if kind == b"jp2c":
            return body
    raise PixelDataError("a JP2 file without a codestream")


def jp2_space(data: bytes) -> Space | None:
    """The colour space that the header of a JP2 file enumerates; None if it does not, or there are no boxes."""
    if not is_jp2(data):
        return None
    for kind, body in _boxes(data):
        if kind == b"jp2h":
            for inner, colour in _boxes(body):
                if inner == b"colr" and len(colour) >= 7 and colour[0] == 1:
                    return _SPACES.get(int.from_bytes(colour[3:7], "big"))
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a file or of a box: kind and content (I.4)."""
    offset = 0
    while offset + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, offset)
        head = 8
        if length == 1 and offset + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, offset + 8)[0], 16
        if length == 0 or kind == b"jp2c":  # the codestream ends the files that DICOM meets, whatever its box says
            length = len(data) - offset
        if length < head:
            return
        yield kind, data[offset + head : offset + length]
        offset += length


def wrap_component(codestream: bytes, header: MainHeader, index: int) -> bytes:
    """A JP2 file whose only channel is one component of a codestream.

    The component mapping (I.5.3.5) names it; the palette that has to be there is not used. A decoder gives the
    component as it is then, since it has nothing to take for YCbCr.
    """
    components = header.components
    sizes = struct.pack(">LLH", header.height, header.width, len(components))
    image = _box(b"ihdr", sizes + bytes((components[0].precision - 1, _COMPRESSION, _UNKNOWN_SPACE, 0)))
    colour = _box(b"colr", struct.pack(">BBBL", 1, 0, 0, _GREY))
    palette = _box(b"pclr", struct.pack(">HBBB", 1, 1, 7, 0))
    mapping = _box(b"cmap", struct.pack(">HBB", index, 0, 0))
    file = _box(b"jP  ", b"\r\n\x87\n") + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return file + _box(b"jp2h", image + colour + palette + mapping) + _box(b"jp2c", codestream)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, kind) + body
