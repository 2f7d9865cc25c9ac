"""What viewers do not show right, though it is published right: whose limit that is, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

VIEWERS: Final = {
    "ohif-3.13.2": "OHIF 3.13.2",
    "ohif-3.14.0-beta.6": "OHIF 3.14.0-beta.6",
    "cornerstone": "Cornerstone3D 5.14.0",
}
_OHIF: Final = ("ohif-3.13.2", "ohif-3.14.0-beta.6")
_ALL: Final = tuple(VIEWERS)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Some kinds that some viewers do not show right.

    `name` stands in the cells of the table. `module` tells that the browser module mends it.
    """

    name: str
    kinds: Sequence[str]
    viewers: Sequence[str]
    cause: str
    remedy: str
    module: bool = False


LIMITS: Final = (
    Limit(
        name="VOI LUT Function",
        kinds=["MG, VOI LUT Function SIGMOID", "MG, VOI LUT Function LINEAR_EXACT"],
        viewers=_ALL,
        cause="Cornerstone3D reads the first letter of the word, and draws nothing, or another window.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="overlay",
        kinds=["overlay", "overlay in upper bits"],
        viewers=_OHIF,
        cause="OHIF looks for overlays under a name that the data set does not have.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="no overlay",
        kinds=["overlay", "overlay in upper bits"],
        viewers=["cornerstone"],
        cause="Cornerstone3D alone has no tool that draws overlays.",
        remedy="Draw what `metaData.get('overlayPlaneModule', imageId)` says, which the browser module answers.",
    ),
    Limit(
        name="palette",
        kinds=["palette, 8-bit entries", "palette, 16-bit entries", "palette, 10-bit pixels", "palette, segmented"],
        viewers=["cornerstone"],
        cause="The loader of Cornerstone3D reads tables that stand in the metadata, not those that have a URL.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="16 bits of colour",
        kinds=["SC, RGB, 16 bits"],
        viewers=_ALL,
        cause="Cornerstone3D shows colour in a window from 0 to 255, so that 16 bits are white.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="aspect ratio",
        kinds=["Pixel Aspect Ratio 2:1"],
        viewers=_ALL,
        cause="The viewers do not read Pixel Aspect Ratio.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="taken for a video",
        kinds=["captured cine of 96 colour frames"],
        viewers=_OHIF,
        cause="OHIF takes true-colour secondary captures of 90 frames and more for videos, and asks for one.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="taken for frames",
        kinds=["video, MP4, ultrasound"],
        viewers=_OHIF,
        cause="OHIF plays videos of five SOP classes, and asks for the frames of others.",
        remedy="Use the browser module.",
        module=True,
    ),
    Limit(
        name="MPEG-2",
        kinds=["video, MPEG-2, endoscopy"],
        viewers=_OHIF,
        cause="No browser plays MPEG-2.",
        remedy="Download the video from the study page, or publish it as MPEG-4.",
    ),
    Limit(
        name="lookup table",
        kinds=["Modality LUT", "VOI LUT"],
        viewers=_ALL,
        cause="Cornerstone3D draws with a slope and a window, and applies no table of a Modality or VOI LUT Sequence.",
        remedy="Look at the thumbnail or the rendered image (`--rendered always`), which apply them.",
    ),
    Limit(
        name="fractional values",
        kinds=["Rescale Slope of a fraction"],
        viewers=_ALL,
        cause="Where the least and the greatest rescaled value are whole numbers, Cornerstone3D puts the stored values "
        "into an array that is only wide enough for the rescaled ones.",
        remedy="Compare with the thumbnail where an image looks broken; few have such values.",
    ),
    Limit(
        name="64 bits",
        kinds=["parametric map, 64 bits"],
        viewers=_OHIF,
        cause="OHIF reads parametric maps of 32 bits alone.",
        remedy="Make maps of 32 bits; download others from the study page.",
    ),
    Limit(
        name="fractions",
        kinds=["SEG, fractional"],
        viewers=_OHIF,
        cause="OHIF reads segmentations of whole pixels alone, and goes on loading for ever.",
        remedy="Make binary segmentations or label maps; download others from the study page.",
    ),
    Limit(
        name="not opened",
        kinds=[
            "RT Plan",
            "key object selection",
            "presentation state",
            "Encapsulated CDA",
            "Encapsulated STL",
            "raw data",
            "annotations of a slide",
        ],
        viewers=_OHIF,
        cause="OHIF has nothing that opens objects of this class.",
        remedy="Open or download them from the study page.",
    ),
)


def limits_of(kind: str) -> Mapping[str, Limit]:
    """The limits of the viewers that do not show a kind right, by the viewer's key."""
    return {viewer: limit for limit in LIMITS if kind in limit.kinds for viewer in limit.viewers}
