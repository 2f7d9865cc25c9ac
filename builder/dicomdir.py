"""DICOMDIR files (PS3.10 8, PS3.3 F): they list the instances of a file-set and are none."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from builder.model import Skipped

if TYPE_CHECKING:
    from pydicom import Dataset

A_DICOMDIR: Final = "a DICOMDIR, which lists instances and is none"

_RECORDS: Final = 0x00041220
_FILE_ID: Final = 0x00041500


def referenced_files(dataset: Dataset) -> tuple[str, ...]:
    """Paths of the files that the records of a DICOMDIR name, relative to it; none if they cannot be read."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import BaseTag

    from builder.dataset import raw_text
    from builder.errors import InputError
    from builder.items import Unreadable, read_item, sequence_value
    from builder.representation import get_element
    from builder.walk import Encoding, Odd

    records = get_element(dataset, BaseTag(_RECORDS))
    if not isinstance(records, RawDataElement) or not records.value:
        return ()
    sequence = sequence_value(records.value, Encoding(records.is_implicit_VR, records.is_little_endian))
    try:
        places = zip(*sequence.find_items(1), strict=True)
        named = (raw_text(read_item(sequence.walker, start, end), _FILE_ID) for start, end in places)
        return tuple("/".join(part.strip() for part in name.split("\\")) for name in named if name)
    except (Odd, Unreadable, InputError):
        return ()


def with_missing_told(directory: Skipped, present: Collection[str]) -> Skipped:
    """The DICOMDIR, telling how many of the files it names are not among those `present`, in lower case."""
    folder = re.split("[^/!]*$", directory.path, maxsplit=1)[0]
    missing = sum(f"{folder}{name}".lower() not in present for name in directory.files)
    if not missing:
        return directory
    reason = f"{directory.reason}; {missing} of the {len(directory.files)} files it names are not among the sources"
    return Skipped(directory.path, reason, noteworthy=True)
