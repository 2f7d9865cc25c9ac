"""The items of a sequence whose value field is still bytes (PS3.5 7.5)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from pydicom import DataElement
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.lenient import Elements, RawItem, Unreadable
from stillframe.dicom.odd_elements import OddElement, find_odd_items, odd_elements, raw_odd_element, walker_of_item
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import MAX_PARTS, UNDEFINED_LENGTH, Element, Encoding, Odd, Short, Walker, too_many_parts

# A sequence in an item up to this long is copied out of it; a longer one stays where it is.
_COPIED_BYTES: Final = 1024
# Bytes of the head of an element of 32-bit length (PS3.5 7.1.2).
_LONGEST_HEAD: Final = 12


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
            Odd: if the items are not well formed, or are not all; `read_items` may make something of them.
            InputError: if there are too many, or they nest too deep.
        """
        starts, ends = array("Q"), array("Q")
        for start, end in self.walker.items(self.start, self.end, depth, alone=True):
            starts.append(start)
            ends.append(end)
        return starts, ends


def encoding_of(element: RawDataElement) -> Encoding:
    """How an element is written."""
    return Encoding(element.is_implicit_VR, element.is_little_endian)


def sequence_value(value: bytes, encoding: Encoding) -> SequenceValue:
    """The value field of a sequence of a data set."""
    return SequenceValue(Walker(value, encoding), 0, len(value))


def read_item(walker: Walker, start: int, end: int, *, cut: bool = False) -> RawItem:
    """The item whose content lies between two offsets, its elements unconverted.

    A sequence of more than a few bytes is a `SequenceValue`. If the item is `cut`, its last bytes may be half a head.

    Raises:
        Unreadable: if bytes of it are in no element.
        InputError: as `Walker.elements` does, or if there are too many elements.
    """
    try:
        return _read_well_formed(walker, start, end)
    except Odd:
        return _read_odd(walker, start, end, cut=cut)


def _read_well_formed(walker: Walker, start: int, end: int) -> RawItem:
    item = RawItem()
    offset = start
    for count, element in enumerate(walker.elements(start, end), 1):
        _, number, _, value, length = element
        if length == UNDEFINED_LENGTH:
            raise Odd("a value of undefined length")
        raw = raw_data_element(walker, element)
        if length > _COPIED_BYTES and is_sequence(raw):
            raw = _with_span(raw, walker, value, value + length)
        if number in item:
            item.replace(raw)
        else:
            item[number] = raw
        offset = value + length
        if count > MAX_PARTS:
            raise too_many_parts()
    if offset != end:
        raise Odd("a delimiter outside a sequence")
    return item


def raw_data_element(walker: Walker, element: Element, base: int = 0) -> RawDataElement:
    """An element, unconverted; `base` is where the walker's data begin in the file."""
    _, number, vr, offset, length = element
    value = walker.data[offset : offset + length] or None
    return RawDataElement(BaseTag(number), vr, length, value, base + offset, *walker.encoding)


def _read_odd(walker: Walker, start: int, end: int, *, cut: bool) -> RawItem:
    """An item that is not well formed.

    Raises:
        Unreadable: if bytes of it are in no element, but for zeros, or the head of an element if the item is `cut`.
        InputError: as `odd_elements`.
    """
    item = RawItem()
    walker, offset = walker_of_item(walker, start, end, 0), start
    with suppress(Short):
        for count, element in enumerate(odd_elements(walker, start, end, 0), 1):
            _add_odd(item, element)
            offset = element.end
            if count > MAX_PARTS:
                raise too_many_parts()
        offset += 8  # behind a delimiter, if there is one
    behind = walker.data[offset:end]
    if any(behind) and not (cut and len(behind) < _LONGEST_HEAD):
        raise Unreadable(f"has {len(behind)} bytes behind the last element of an item")
    return item


def _add_odd(item: RawItem, element: OddElement) -> None:
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if number == 0 and element.length not in (0, 4):  # zeros, or the length of a group (PS3.5 7.2)
        raise Unreadable(f"has a group length ({group:04X},0000) of {element.length} bytes")
    raw = raw_odd_element(element)
    there = element.value_end - element.value
    if element.value_end < element.end and raw.length != UNDEFINED_LENGTH:
        item.notes.add((element.tag, f"its item ends after {there} of the value's {raw.length} bytes"))
        raw = raw._replace(length=there)
    if there > _COPIED_BYTES and is_sequence(raw):
        raw = _with_span(raw, element.walker, element.value, element.value_end)
    if element.tag in item:
        item.replace(raw)
    else:
        item[raw.tag] = raw


def _with_span(raw: RawDataElement, walker: Walker, start: int, end: int) -> RawDataElement:
    return raw._replace(value=cast(bytes, SequenceValue(walker, start, end)))


def is_sequence(element: RawDataElement) -> bool:
    """Whether an element says that it is a sequence, or its tag does where no VR is written (PS3.5 6.2.2)."""
    vr = element.VR
    if vr == "UN":
        return element.length == UNDEFINED_LENGTH
    return vr == "SQ" or (vr is None and dictionary_vr(element.tag) == "SQ")


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a sequence, and what is wrong with it, if anything, but for what is wrong in them."""

    items: list[Elements]
    complaint: str

    def __len__(self) -> int:
        return len(self.items)


def read_items(value: SequenceValue, depth: int) -> tuple[Iterator[Elements | None], str]:
    """The items of a sequence one after another, None for one without elements; and what is wrong with it, if anything.

    `depth` counts this sequence and those around it. An element longer than its item takes nothing of the next one.

    Raises:
        Unreadable: if bytes of it are in no item or element; some are found on the way.
        InputError: if there are too many elements and items, or they nest too deep.
    """
    walker, complaint = value.walker, ""
    try:
        starts, ends = value.find_items(depth)
    except Odd:
        starts, ends, complaint = find_odd_items(walker, value.start, value.end, depth)
    cut = len(starts) - 1 if complaint else None
    spans = enumerate(zip(starts, ends, strict=True))
    items = (read_item(walker, start, end, cut=n == cut) if end > start else None for n, (start, end) in spans)
    return items, complaint


def all_items(element: RawDataElement | DataElement, depth: int) -> Items:
    """The items of a sequence, all read; raises what `read_items` does."""
    value: Items | SequenceValue | bytes | Iterable[Elements] = element.value or b""
    if isinstance(value, Items):
        return value
    if not isinstance(value, bytes | SequenceValue):
        return Items(list(value), "")
    assert isinstance(element, RawDataElement)  # only such a value is bytes
    found = sequence_value(value, encoding_of(element)) if isinstance(value, bytes) else value
    items, complaint = read_items(found, depth)
    return Items([RawItem() if item is None else item for item in items], complaint)
