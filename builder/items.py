"""The items of a sequence whose value field is still bytes (PS3.5 7.5)."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.filereader import read_dataset

_ITEM: Final = (0xFFFE, 0xE000)
_SEQUENCE_DELIMITER: Final = (0xFFFE, 0xE0DD)
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF


def read_items(value: bytes, *, implicit: bool, little_endian: bool) -> tuple[list[Dataset], str]:
    """The items of a sequence, their elements unconverted, and what is wrong with the last one, if anything.

    pydicom reads items without looking at their tags, and an element longer than its item takes bytes of the next one.
    So every item of known length is cut out here and read alone.

    Raises:
        ValueError: if something else stands where an item should begin.
    """
    source = BytesIO(value)
    head = struct.Struct("<HHI" if little_endian else ">HHI")
    items: list[Dataset] = []
    complaint = ""
    while start := source.read(8):
        if len(start) < 8:
            raise ValueError("ends within the head of an item")
        group, number, length = head.unpack(start)
        if (group, number) == _SEQUENCE_DELIMITER:
            break
        if (group, number) != _ITEM:
            raise ValueError(f"({group:04X},{number:04X}) where an item should begin")
        if length == _UNDEFINED_LENGTH:
            items.append(read_dataset(source, implicit, little_endian, at_top_level=False))
            continue
        content = source.read(length)
        if len(content) < length:
            complaint = f"the sequence ends after {len(content)} of the last item's {length} bytes"
        items.append(read_dataset(BytesIO(content), implicit, little_endian, len(content), at_top_level=False))
    return items, complaint
