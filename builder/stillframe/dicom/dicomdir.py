"""DICOMDIR files (PS3.10 8, PS3.3 F): they list the instances of a file-set and are none."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from stillframe.dicom.lenient import Unreadable, raw_element, raw_text
from stillframe.dicom.sequences import encoding_of, read_item, sequence_value
from stillframe.dicom.walk import Odd
from stillframe.errors import InputError

_RECORDS: Final = 0x00041220
_FILE_ID: Final = 0x00041500


def referenced_files(dataset: Dataset) -> tuple[str, ...]:
    """Paths of the files that the records of a DICOMDIR name, relative to it; none if they cannot be read."""
    try:
        records = raw_element(dataset, _RECORDS)
        if not isinstance(records, RawDataElement) or not records.value:
            return ()
        sequence = sequence_value(records.value, encoding_of(records))
        spans = zip(*sequence.find_items(1), strict=True)
        names = (raw_text(read_item(sequence.walker, start, end), _FILE_ID) for start, end in spans)
        return tuple("/".join(part.strip() for part in name.split("\\")) for name in names if name)
    except (Odd, Unreadable, InputError):
        return ()
