"""The items of a sequence whose value field is still bytes (PS3.5 7.5)."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from io import BytesIO
from typing import Final, cast

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.lenient import (
    CountedReads,
    Elements,
    RawItem,
    Unreadable,
    is_other_value,
    read_odd,
    read_odd_item,
)
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import (
    ITEM,
    MAX_PARTS,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Element,
    Encoding,
    Odd,
    Walker,
    too_many_parts,
)

# A sequence in an item up to this long is copied out of it; a longer one stays where it is.
_COPIED_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """The value field of a sequence: its start and end in the buffer of the sequence around it."""

    walker: Walker
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __bytes__(self) -> bytes:
        return self.walker.data[self.start : self.end]

    def find_items(self, depth: int) -> tuple[array[int], array[int]]:
        """Starts and ends of the content of all items; `depth` counts this sequence and those around it.

        Raises:
            Odd: if the items are not well formed; `read_items` may make something of them.
            InputError: if there are too many, or they nest too deep.
        """
        starts, ends = array("Q"), array("Q")
        for start, end in self.walker.items(self.start, self.end, depth):
            starts.append(start)
            ends.append(end)
        return starts, ends


def sequence_value(value: bytes, encoding: Encoding) -> SequenceValue:
    """The value field of a sequence of a data set."""
    return SequenceValue(Walker(value, encoding), 0, len(value))


def read_item(walker: Walker, start: int, end: int) -> Elements:
    """The item whose content lies between two offsets, its elements unconverted.

    A sequence of more than a few bytes is a `SequenceValue`.

    Raises:
        Unreadable: if pydicom can make nothing of it either.
        InputError: as `Walker.elements` does, or if there are too many elements.
    """
    try:
        return _read_well_formed(walker, start, end)
    except Odd:
        return read_odd_item(walker.data[start:end], walker.encoding)


def _read_well_formed(walker: Walker, start: int, end: int) -> RawItem:
    item = RawItem()
    offset = start
    for count, element in enumerate(walker.elements(start, end), 1):
        _, number, vr, value, length = element
        if length == UNDEFINED_LENGTH:
            raise Odd("a value of undefined length")
        raw = raw_data_element(walker, element)
        if length > _COPIED_BYTES and (vr == "SQ" or (vr is None and dictionary_vr(number) == "SQ")):
            raw = raw._replace(value=cast(bytes, SequenceValue(walker, value, value + length)))
        if number in item and is_other_value(item[number], raw):
            item.repeated.add(number)
        item[number] = raw
        offset = value + length
        if count > MAX_PARTS:
            raise too_many_parts()
    if offset != end:
        raise Odd("a delimiter outside a sequence")
    return item


def raw_data_element(walker: Walker, element: Element, base: int = 0) -> RawDataElement:
    """The element that pydicom would have read; `base` is where the walker's data begin in the file."""
    _, number, vr, offset, length = element
    value = walker.data[offset : offset + length] or None
    return RawDataElement(BaseTag(number), vr, length, value, base + offset, *walker.encoding)


def read_items(value: bytes, encoding: Encoding) -> tuple[list[Dataset], str]:
    """The items of a sequence that is not well formed, and what is wrong with the last one, if anything.

    pydicom reads items without looking at their tags, and an element longer than its item takes bytes of the next one.
    So every item of known length is cut out here and read alone.

    Raises:
        Unreadable: if something else stands where an item should begin, or pydicom can make nothing of one.
        InputError: if there are too many elements and items.
    """
    source = CountedReads(BytesIO(value))
    head = struct.Struct("<HHI" if encoding.little else ">HHI")
    items: list[Dataset] = []
    complaint = ""
    while start := source.read(8):
        if len(start) < 8:
            raise Unreadable("ends inside the head of an item")
        group, number, length = head.unpack(start)
        if (group, number) == SEQUENCE_DELIMITER:
            break
        if (group, number) != ITEM:
            raise Unreadable(f"has ({group:04X},{number:04X}) where an item must begin")
        if length == UNDEFINED_LENGTH:
            items.append(read_odd(source, encoding))
            continue
        content = source.read(length)
        if len(content) < length:
            complaint = f"it ends after {len(content)} of the last item's {length} bytes"
            items.append(read_odd(BytesIO(content), encoding, length=len(content)))
        else:
            items.append(read_odd_item(content, encoding))
    return items, complaint
