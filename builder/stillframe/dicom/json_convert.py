"""Data sets as DICOM JSON (PS3.18 F), converted from the raw elements that pydicom reads.

What comes out is what went in, or a note says otherwise: a value that does not fit its VR is kept as the bytes it is,
with VR UN. Text is Unicode, and every Specific Character Set says so (ISO_IR 192): always at the top, and in the items
that had one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from stillframe.dicom.json_elements import convert_dataset
from stillframe.dicom.json_model import BulkValue, JSONDataset
from stillframe.dicom.json_output import Output
from stillframe.dicom.text import UNDECLARED
from stillframe.errors import InputError

_NOTES: Final = 100


@dataclass(frozen=True, slots=True)
class Converted:
    """A data set in the DICOM JSON model, the values too large for it, and what its owner should know.

    `BulkDataURI` in `dataset` is `bulkdata/` and the path of a `bulk` value. `damaged` names sequences of the standard
    that are not whole, and says why.
    """

    dataset: JSONDataset
    bulk: tuple[BulkValue, ...]
    notes: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def convert(ds: Dataset) -> Converted:
    """Convert a data set, without group 0002, group lengths, pixel data and trailing padding.

    Args:
        ds: as `pydicom.dcmread(..., stop_before_pixels=True)` returns it; it is not changed.

    Raises:
        InputError: if sequences nest deeper than `SEQUENCE_DEPTH`.
    """
    output = Output()
    try:
        dataset = convert_dataset((ds,), UNDECLARED, "", output)
    except RecursionError:
        raise InputError("sequences nest too deep to be read") from None
    dataset["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    notes = output.notes
    if len(notes) > _NOTES:
        notes = [*notes[:_NOTES], f"and {len(notes) - _NOTES} more notes on the values of this instance"]
    return Converted(dict(sorted(dataset.items())), tuple(output.bulk), tuple(notes), tuple(output.damaged))
