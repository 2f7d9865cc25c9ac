"""The one place where colour is converted: three components to RGB (PS3.3 C.7.6.3.1.2), and what notes say of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stillframe.codec.colour import Colour, Space, read_as_ycbcr, stated_space
from stillframe.codec.facts import FrameFacts
from stillframe.dicom.syntaxes import Family

# From luminance and the two differences of colour to red, green and blue; ITU-R BT.601.
_FROM_YCBCR: Final = np.array(
    [[1, 1, 1], [0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0]], np.float64
)
# Rows of about so many samples are converted at a time, to keep the intermediate values few.
_BAND: Final = 1 << 20


def convert_to_rgb(frame: npt.NDArray[Any], space: Space, bits: int) -> npt.NDArray[Any]:
    """A frame of `bits` bits as RGB, rounded to the nearest; RGB itself is returned as it is.

    The equations are those for 8 bits; half of the range stands for 128 where there are others.
    """
    if space is Space.RGB:
        return frame
    half, most = 1 << bits - 1, (1 << bits) - 1
    matrix, black = _FROM_YCBCR, 0.0
    if space is Space.YBR_PARTIAL:
        matrix = _FROM_YCBCR * np.array([[255 / 219], [255 / 224], [255 / 224]])
        black = 16 * (1 << bits) / 256
    result = np.empty(frame.shape, frame.dtype)
    rows = max(1, _BAND // (frame.shape[1] * 3))
    for top in range(0, frame.shape[0], rows):
        band = (frame[top : top + rows] - np.array([black, half, half])) @ matrix
        result[top : top + rows] = np.clip(np.floor(band + 0.5), 0, most)
    return result


class ColourOutcome(StrEnum):
    """What became of colour samples, as notes put it."""

    CONVERTED = "they were converted to RGB, with the rounding of PS3.3 C.7.6.3.1.2"
    TAKEN = "they are taken for that"
    KEPT = "the metadata say so"


def colour_note(colour: Colour, facts: FrameFacts | None, photometric: str, outcome: ColourOutcome) -> str:
    """What the owner of the image should know of its colours; empty if there is nothing.

    `facts` are those of a compressed frame. That kept samples are what the data set says is nothing to know, nor that
    RGB is taken for RGB.
    """
    if colour.space is not stated_space(photometric):
        space = "YCbCr" if colour.space is Space.YBR_FULL else colour.space
        says = f"Photometric Interpretation is {photometric}, but {colour.marker} says that the samples are {space}"
        return f"{says}; {outcome}"
    if outcome is ColourOutcome.CONVERTED:
        return f"{colour.space} samples were converted to RGB, with the rounding of PS3.3 C.7.6.3.1.2"
    if facts is not None and _lacks_transform(facts, photometric):
        return f"Photometric Interpretation is {photometric}, but the codestreams have no such transform; they hold RGB"
    return ""


def _lacks_transform(facts: FrameFacts, photometric: str) -> bool:
    """Whether the data set names a transform (PS3.5 8.2.4, 8.2.15) that the codestream does not have."""
    if facts.syntax.family is Family.JPEG_XL:
        return False  # the transforms of JPEG XL are behind its header
    return photometric in ("YBR_RCT", "YBR_ICT", "XYB") and not facts.markers.transform


def kept_photometric(facts: FrameFacts, colour: Colour, photometric: str) -> str:
    """The Photometric Interpretation of frames that keep their bytes: as stated, unless these say otherwise.

    PS3.5 8.2.1 has YBR_FULL_422 for JPEG whose chrominance is sub-sampled in whichever way, 8.2.4 YBR_RCT and YBR_ICT
    for JPEG 2000 with its transform.
    """
    if colour.space is stated_space(photometric):
        return "RGB" if _lacks_transform(facts, photometric) else photometric
    if colour.space is Space.YBR_FULL:
        return "YBR_FULL_422" if facts.markers.subsampled else "YBR_FULL"
    if facts.markers.transform and facts.syntax.is_jpeg_2000:
        return "YBR_RCT" if facts.lossless else "YBR_ICT"
    return str(colour.space)


def viewer_note(facts: FrameFacts, colour: Colour) -> str:
    """What viewers will make of frames that keep their bytes, where that is not what they are; empty if it is.

    Browsers and viewers decode JPEG without a look at the data set.
    """
    if facts.syntax.family is not Family.JPEG or colour.space is not Space.RGB:
        return ""
    if not read_as_ycbcr(facts.markers):
        return ""
    return (
        "the kept frames are JPEG with RGB components, and no marker in them says so clearly;"
        " viewers that go by the markers show other colours, those of --lossy transcode are right"
    )


def as_unsigned(frame: npt.NDArray[Any], precision: int) -> npt.NDArray[Any]:
    """The bits of samples that a codestream marks as signed, read as unsigned: colour is (PS3.3 C.7.6.3.1.2)."""
    samples: npt.NDArray[Any] = np.bitwise_and(frame.view(f"u{frame.itemsize}"), (1 << precision) - 1)
    return samples
