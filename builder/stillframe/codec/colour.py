"""What the components of a compressed colour frame are: decided once, from its markers, then from the data set.

In decoding, the codestream counts (PS3.5 8.2.1, 8.2.4). No decoder is left to guess: components are asked for as they
are stored, the multi-component transform of JPEG 2000 undone, and what is decided here says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Space(StrEnum):
    """What three components are (PS3.3 C.7.6.3.1.2)."""

    RGB = "RGB"
    YBR_FULL = "YBR_FULL"
    YBR_PARTIAL = "YBR_PARTIAL"  # luminance from 16 to 235, chrominance from 16 to 240


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourMarkers:
    """What the markers of a codestream say of its colours.

    `adobe` is the transform of Adobe's APP14 segment, None without one; `jfif` whether there is a JFIF segment; `names`
    are those of the components, if they are R, G and B in whichever letters; `subsampled` whether the second or the
    third has fewer samples than the first; `enumerated` the space that the header of a JP2 file or a SPIFF header
    names; `transform` whether decoding undoes a transform of RGB: that of JPEG 2000 (ISO/IEC 15444-1 Annex G), or one
    of JPEG-LS coders; `decoded` the space that the image header of JPEG XL promises of decoded samples.
    """

    adobe: int | None = None
    jfif: bool = False
    names: str = ""
    subsampled: bool = False
    enumerated: Space | None = None
    transform: bool = False
    decoded: Space | None = None


NO_MARKERS: Final = ColourMarkers()


@dataclass(frozen=True, slots=True)
class Colour:
    """What components are, and the marker that says so; without one, Photometric Interpretation does."""

    space: Space
    marker: str = ""


_ADOBE: Final = {0: Space.RGB, 1: Space.YBR_FULL}
_SUBSAMPLED: Final = "the sub-sampling of the components"
_PARTIAL: Final = frozenset({"YBR_PARTIAL_420", "YBR_PARTIAL_422"})


def decide_colour(markers: ColourMarkers, photometric: str) -> Colour:
    """What three components are: as the first marker says that says anything, else as `photometric` does.

    Adobe's segment comes before JFIF's, since it speaks of nothing but the transform; names and sub-sampling are signs
    and come after both. YBR_RCT and YBR_ICT name a transform that decoding undoes, so that RGB comes out of it.
    """
    stated = stated_space(photometric)
    for space, marker in _testimonies(markers):
        partial = marker == _SUBSAMPLED and stated is Space.YBR_PARTIAL  # which tells nothing of ranges
        return Colour(stated if partial else space, marker)
    return Colour(stated)


def _testimonies(markers: ColourMarkers) -> Iterator[tuple[Space, str]]:
    if markers.adobe in _ADOBE:
        yield _ADOBE[markers.adobe], f"Adobe's APP14 segment (transform {markers.adobe})"
    if markers.jfif:
        yield Space.YBR_FULL, "the JFIF segment"
    if markers.names:
        yield Space.RGB, "the component names"
    if markers.subsampled:
        yield Space.YBR_FULL, _SUBSAMPLED
    if markers.enumerated is not None:
        yield markers.enumerated, "the file header around the codestream"
    if markers.transform:
        yield Space.RGB, "the multi-component transform"
    if markers.decoded is not None:
        yield markers.decoded, "the image header of JPEG XL"


def stated_space(photometric: str) -> Space:
    """What the components of a frame are if its Photometric Interpretation is right."""
    if photometric.startswith("YBR_FULL"):
        return Space.YBR_FULL
    return Space.YBR_PARTIAL if photometric in _PARTIAL else Space.RGB


def read_as_ycbcr(markers: ColourMarkers) -> bool:
    """Whether decoders that see nothing but a JPEG image take its three components for YCbCr.

    JFIF says so (ISO/IEC 10918-5); browsers and libjpeg do it, too, where no marker says anything.
    """
    return markers.jfif or not (markers.names == "RGB" or markers.adobe == 0)
