"""Samples in the form that viewers show: the same values in other cells.

Viewers take what a codestream of up to 8 bits decodes to, and native cells of 8 bits, for unsigned, and do not unpack
1-bit cells of what is no segmentation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stillframe.dicom.sop_classes import SEGMENTATION
from stillframe.pixels.description import PixelDescription

# The fewest bits of which decoders in viewers say that they are signed.
_SIGNED_BITS: Final = 9


def published_description(description: PixelDescription, sop_class: str) -> PixelDescription:
    """What describes samples that are decoded as `description` says, when they are published.

    Args:
        description: of the samples as they are.
        sop_class: UID of the SOP class. Segmentations keep their bits: viewers take them from the whole object.
    """
    if description.floating:
        return description
    if description.bits_allocated == 1:
        return description if sop_class == SEGMENTATION else replace(description, bits_allocated=8)
    if description.pixel_representation and description.encodable and description.bits_stored < _SIGNED_BITS:
        return replace(description, bits_allocated=16, bits_stored=_SIGNED_BITS)
    return description
