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
        cause="Cornerstone3D reads the first letter of the word, and draws nothing or another window.",
        remedy="The browser module mends it.",
        module=True,
    ),
    Limit(
        name="VOI LUT Function LINEAR",
        kinds=["MG, VOI LUT Function LINEAR", "enhanced CT", "enhanced MR", "breast tomosynthesis"],
        viewers=_ALL,
        cause="Cornerstone3D reads the first letter of the word, and draws nothing or another window.",
        remedy="The browser module mends it.",
        module=True,
    ),
    Limit(
        name="overlay",
        kinds=["overlay", "overlay in upper bits"],
        viewers=_ALL,
        cause="The viewers look for overlays under a name that the data set does not have, and draw none.",
        remedy="The browser module mends it.",
        module=True,
    ),
    Limit(
        name="signed, 8 bits",
        kinds=["8 bits, signed"],
        viewers=_ALL,
        cause="Cornerstone3D takes decoded samples of up to 8 bits for unsigned.",
        remedy="",
    ),
    Limit(name="1 bit", kinds=["1 bit"], viewers=_ALL, cause="Cornerstone3D draws no images of 1 bit.", remedy=""),
    Limit(
        name="segmented palette",
        kinds=["palette, segmented"],
        viewers=_ALL,
        cause="The viewers do not read segmented palettes.",
        remedy="",
    ),
    Limit(
        name="spacing of 0",
        kinds=["Pixel Spacing 0"],
        viewers=_ALL,
        cause="The viewers scale the picture to nothing.",
        remedy="",
    ),
    Limit(
        name="JPEG XL",
        kinds=["SC, JPEG XL lossy", "SC, JPEG XL of a JPEG"],
        viewers=_OHIF,
        cause="OHIF has no decoder of JPEG XL.",
        remedy="",
    ),
    Limit(
        name="search by name",
        kinds=[
            "a name in Latin letters, from the list",
            "a name in Cyrillic letters, from the list",
            "a name in Han characters, from the list",
        ],
        viewers=_OHIF,
        cause="The configuration asks OHIF for a fuzzy search, and OHIF finds nobody.",
        remedy="",
    ),
    Limit(
        name="taken for a video",
        kinds=["captured cine of 96 colour frames"],
        viewers=_OHIF,
        cause="OHIF takes true-colour secondary captures of 90 frames and more for videos, and asks for one.",
        remedy="",
    ),
    Limit(
        name="16 bits of colour",
        kinds=["SC, RGB, 16 bits"],
        viewers=_ALL,
        cause="Cornerstone3D shows colour in a window from 0 to 255, and 16 bits are white.",
        remedy="",
    ),
    Limit(
        name="lookup table",
        kinds=["Modality LUT", "VOI LUT"],
        viewers=_ALL,
        cause="Cornerstone3D does not apply the tables of Modality LUT and VOI LUT Sequence.",
        remedy="",
    ),
    Limit(
        name="aspect ratio",
        kinds=["Pixel Aspect Ratio 2:1"],
        viewers=_ALL,
        cause="The viewers do not read Pixel Aspect Ratio.",
        remedy="",
    ),
    Limit(
        name="not opened",
        kinds=[
            "SEG, fractional", "RT Plan", "key object selection", "presentation state", "Encapsulated CDA",
            "Encapsulated STL", "raw data", "annotations of a slide",
        ],
        viewers=_OHIF,
        cause="OHIF has nothing that opens objects of this class.",
        remedy="",
    ),
    Limit(
        name="no video",
        kinds=["video, MP4, ultrasound", "video, MPEG-2, endoscopy"],
        viewers=_OHIF,
        cause="OHIF asks for frames.",
        remedy="",
    ),
)  # fmt: skip


def limits_of(kind: str) -> Mapping[str, Limit]:
    """The limits of the viewers that do not show a kind right, by the viewer's key."""
    return {viewer: limit for limit in LIMITS if kind in limit.kinds for viewer in limit.viewers}
