"""Where the image of a compressed frame ends, and whether something else than padding follows.

A decoder stops behind the first image. Another one there is a frame that nobody would see.
"""

from __future__ import annotations

import re
from typing import Final

from stillframe.codec.jp2 import is_jp2, jp2_codestream
from stillframe.codec.jpeg_scans import find_jpeg_end
from stillframe.codec.jpegxl_header import find_container_end, is_jpeg_xl
from stillframe.codec.markers import parse_header
from stillframe.codec.tile_parts import find_end
from stillframe.dicom.syntaxes import Family
from stillframe.errors import CodestreamError, PixelDataError

ANOTHER_IMAGE: Final = "holds another image behind the first; a frame is one (PS3.5 A.4)"

# Padding may stand before a marker (ISO/IEC 10918-1 B.1.1.2). One that begins an image is followed by another.
_ANOTHER: Final = re.compile(rb"[\x00\xff]*(?:\xff\xd8\xff|\xff\x4f\xff\x51|\x00\x00\x00\x0c(?:jP  |JXL )\r\n\x87\n)")
_PADDING: Final = b"\0\xff"


def is_followed(data: bytes, family: Family) -> bool:
    """Whether other bytes than padding follow the image of a frame of that family, as far as its markers tell.

    Raises:
        PixelDataError: if another image follows, or if tiles or tile-parts of JPEG 2000 are missing.
    """
    match family:
        case Family.JPEG | Family.JPEG_LS:
            end, announced = find_jpeg_end(data)
            rest = data[end:]
            if announced:  # images behind the first are of its file
                return bool(rest.strip(_PADDING))
        case Family.JPEG_2000 | Family.HTJ2K:
            rest = _behind_codestream(jp2_codestream(data))
        case Family.JPEG_XL:
            rest = data[find_container_end(data) :]
        case _:
            return False
    if _ANOTHER.match(rest) or (family is Family.JPEG_XL and is_jpeg_xl(rest)):
        raise PixelDataError(ANOTHER_IMAGE)
    return bool(rest.strip(_PADDING)) and not is_jp2(data)  # boxes of any kind follow the codestream of a file


def _behind_codestream(codestream: bytes) -> bytes:
    try:
        return codestream[find_end(codestream, parse_header(codestream)) :]
    except CodestreamError as error:
        raise PixelDataError(f"damaged JPEG 2000 codestream: {error}") from error
