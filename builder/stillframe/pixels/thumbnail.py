"""Pictures of a frame as JPEG: its thumbnail, and the frame rendered at full size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from stillframe.codec.codestream import level_size
from stillframe.codec.htj2k import decode_frame
from stillframe.codec.jpeg import encode_jpeg
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.options import DecoderLimits
from stillframe.pixels.foreign_codestreams import decode_reduced
from stillframe.pixels.rendering import Display, fit_size, reduce_image, render_frame, settle_window

THUMBNAIL_SIDE: Final = 256
_THUMBNAIL_QUALITY: Final = 85
_RENDERED_QUALITY: Final = 90
# The format itself ends at 65535, libjpeg a little before.
_JPEG_SIDE: Final = 65500


@dataclass(frozen=True, slots=True, eq=False)
class PublishedFrame:
    """A frame as it was published: its pixels, and its HTJ2K codestream if it has one. `index` counts from 0.

    `header` is that of the codestream, where it is known already; `foreign` is what its decoder may take if others
    encoded it.
    """

    index: int
    pixels: npt.NDArray[Any]
    codestream: bytes | None = None
    header: MainHeader | None = None
    foreign: DecoderLimits | None = None


def make_thumbnail(frame: PublishedFrame, display: Display) -> bytes:
    """A JPEG image of at most 256 x 256, never larger than the frame.

    Raises:
        CodecError: if the codestream cannot be decoded, or the library fails.
    """
    rows, columns = frame.pixels.shape[:2]
    return draw_thumbnail(_smallest_sufficient(frame, display), rows, columns, settle_window(display, frame.pixels))


def draw_thumbnail(pixels: npt.NDArray[Any], rows: int, columns: int, display: Display) -> bytes:
    """The thumbnail of a frame of so many rows and columns, from its pixels at a resolution that is large enough.

    Raises:
        CodecError: if the library fails.
    """
    height, width = fit_size(rows, columns, display.spacing, THUMBNAIL_SIDE)
    return encode_jpeg(
        reduce_image(render_frame(pixels, settle_window(display, pixels)), height, width), _THUMBNAIL_QUALITY
    )


def sufficient_level(header: MainHeader, display: Display) -> int:
    """The decode level at which a codestream is just large enough for the thumbnail; 0 is full resolution.

    Indices into a palette do not average, and where the frame's own values decide what is shown, all of them do: these
    come whole.
    """
    if display.palette is not None or (len(header.components) == 1 and display.needs_extent):
        return 0
    height, width = fit_size(header.height, header.width, display.spacing, THUMBNAIL_SIDE)
    sizes = ((level, level_size(header, level)) for level in range(header.levels, 0, -1))
    return next((level for level, size in sizes if size[0] >= width and size[1] >= height), 0)


def _smallest_sufficient(frame: PublishedFrame, display: Display) -> npt.NDArray[Any]:
    """The frame at the lowest resolution of its codestream that is not smaller than asked for."""
    if frame.codestream is None:
        return frame.pixels
    header = frame.header or parse_header(frame.codestream)
    level = sufficient_level(header, display)
    if not level:
        return frame.pixels
    if frame.foreign is not None:
        return decode_reduced(frame.codestream, level, header, frame.foreign)
    return decode_frame(frame.codestream, level, header)


def make_rendered(frame: PublishedFrame, display: Display) -> bytes:
    """A JPEG image of the frame at full resolution; where pixels are not square the larger side of them counts.

    Raises:
        CodecError: if the library fails.
    """
    rows, columns = frame.pixels.shape[:2]
    image = render_frame(frame.pixels, settle_window(display, frame.pixels))
    return encode_jpeg(reduce_image(image, *fit_size(rows, columns, display.spacing, _JPEG_SIDE)), _RENDERED_QUALITY)
