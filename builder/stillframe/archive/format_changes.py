"""What changed in the published bytes from one version of the format to the next, beside the metadata.

A build makes the metadata of an instance of an older version anew and compares them. What shows there needs no entry:
an element more or less, another form of a value, a note. An entry is for what only the frames, the pictures and the
bulk data would show. It says of which instances the change may touch these, and of no others; what cannot be told is
touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stillframe.archive.record import notes_of
from stillframe.dicom.json_model import SYNTAX, JSONDataset, first_value
from stillframe.dicom.syntaxes import Family, TransferSyntax

_SAMPLES, _BITS_STORED = "00280002", "00280101"

_IMAGE_FORMATS: Final = frozenset((Family.JPEG, Family.JPEG_LS, Family.JPEG_2000, Family.HTJ2K, Family.JPEG_XL))

type Touches = Callable[[JSONDataset, TransferSyntax], bool]
"""Whether a change may touch an instance, from its published metadata and the transfer syntax of its source."""


def _is_decided_colour(metadata: JSONDataset, source: TransferSyntax) -> bool:
    """Colour of compressed frames, and native samples that were converted."""
    if SYNTAX not in metadata or first_value(metadata, _SAMPLES) == 1:
        return False
    return not source.is_native or any("converted to RGB" in note for note in notes_of(metadata))


def _may_have_been_cut(metadata: JSONDataset, source: TransferSyntax) -> bool:
    """Frames of an image format, of which decoders make something up for what is missing."""
    return SYNTAX in metadata and source.family in _IMAGE_FORMATS


def _is_colour_of_one_bit(metadata: JSONDataset, _: TransferSyntax) -> bool:
    """Colour of 1-bit samples, whose Planar Configuration was not looked at."""
    return (first_value(metadata, _SAMPLES), first_value(metadata, _BITS_STORED)) == (3, 1)


CHANGES: Final[Mapping[int, tuple[Touches, ...]]] = {
    2: (_is_decided_colour,),  # the codestream says what the colours are, before the data set; rounded in doubles
    3: (),  # the forms that viewers show, and what becomes of lossy JPEG XL: all of it shows in the metadata
    4: (),  # the record counts pictures apart: a build makes it anew, and the pictures
    5: (_may_have_been_cut,),  # frames that lack data, and images behind the first of a frame, are damage
    # UIDs and the Image Pixel module in a VR that has their values show in the metadata; Planar Configuration does not.
    6: (_is_colour_of_one_bit,),
}
"""By the version of the format that made them."""


def is_touched(metadata: JSONDataset, source: TransferSyntax, version: int) -> bool:
    """Whether an instance that was published in a version of the format may have other frames or pictures now."""
    return any(
        touches(metadata, source) for since, changes in CHANGES.items() if since > version for touches in changes
    )
