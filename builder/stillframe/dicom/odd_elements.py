"""Where elements and items lie that are not well formed: every byte is in one of them, or it is said what is wrong.

Letters that are no VR stand for a length of two bytes, anything else there for one of four and no VR. An item may have
implicit VR in an explicit data set. Both are what pydicom reads, too. `??` are letters: some writers mean UN with them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.lenient import CountedReads, Unreadable
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import (
    ITEM,
    ITEM_GROUP,
    LONG_VRS,
    MAX_PARTS,
    PIXEL_GROUP,
    SEQUENCE_DELIMITER,
    SEQUENCE_DEPTH,
    UNDEFINED_LENGTH,
    Encoding,
    Odd,
    Short,
    Walker,
    is_vr_like,
    too_deep,
    too_many_parts,
)

# What is read first of an element in a file.
_FIRST_BYTES: Final = 1 << 12


class OddElement(NamedTuple):
    """An element: offsets of its value, of the end of what is there of that, and of the next element.

    `vr` is None where none is written. `length` is the one that is written; of a sequence of undefined length it counts
    its delimiter in, as `value_end` does, but for one of VR UN (PS3.5 6.2.2). `walker` walks through its items.
    """

    tag: int
    vr: str | None
    length: int
    value: int
    value_end: int
    end: int
    walker: Walker


def odd_elements(walker: Walker, offset: int, end: int, depth: int) -> Iterator[OddElement]:
    """The elements from `offset` up to `end`, or to an item delimiter before it; `depth` counts the sequences around.

    Raises:
        Short: if `end` cuts the head of one, or comes before what ends one of undefined length.
        Unreadable: if something else stands there, or where an item must begin.
        InputError: if sequences nest too deep, or hold too much.
    """
    while offset < end:
        with suppress(Odd):
            for _, tag, vr, value, length in walker.elements(offset, end, depth):
                if length == UNDEFINED_LENGTH or value + length > end:
                    break
                offset = value + length
                yield OddElement(tag, vr, length, value, offset, offset, walker)
            else:
                return
        element = read_odd_head(walker, offset, end, depth)
        yield element
        offset = element.end


def read_odd_head(walker: Walker, offset: int, end: int, depth: int) -> OddElement:
    """The element at an offset, whose value may go on behind `end`; raises what `odd_elements` does."""
    data, (implicit, little) = walker.data, walker.encoding
    group, number, length = walker.head(offset, end)
    if group == ITEM_GROUP:
        raise Unreadable("holds an item without its delimiter")
    code = data[offset + 4 : offset + 6]
    vr, value = None, offset + 8
    if not implicit and is_vr_like(code):
        vr, long = code.decode("ascii"), code in LONG_VRS
        if long and end - value < 4:
            raise Short("ends inside the head of an element")
        value += 4 * long
        length = int.from_bytes(data[value - (4 if long else 2) : value], "little" if little else "big")
    tag = group << 16 | number
    if length != UNDEFINED_LENGTH:
        return OddElement(tag, vr, length, value, min(value + length, end), value + length, walker)
    if vr == "UN" and _begins_little(walker, value):
        walker = walker.little
    if not _is_sequence(walker, tag, vr, value, end):
        value_end = _find_delimiter(walker, value, end)
        return OddElement(tag, vr, length, value, value_end, value_end + 8, walker)
    behind = _find_sequence_end(walker, value, end, depth + 1)
    if vr == "UN":
        return OddElement(tag, vr, length, value, behind - 8, behind, walker)
    return OddElement(tag, "SQ", behind - value, value, behind, behind, walker)


def _begins_little(walker: Walker, value: int) -> bool:
    """Whether a big-endian data set has a little-endian item here, as in a value of VR UN it must (PS3.5 6.2.2)."""
    return not walker.encoding.little and walker.data[value : value + 2] == b"\xfe\xff"


def _is_sequence(walker: Walker, tag: int, vr: str | None, value: int, end: int) -> bool:
    """Whether the value of an element of undefined length is items with elements, and not fragments or text."""
    if vr is not None or tag >> 16 == PIXEL_GROUP:
        return vr in ("SQ", "UN")
    return dictionary_vr(tag) == "SQ" or walker.head(value, end)[:2] in (ITEM, SEQUENCE_DELIMITER)


def _find_delimiter(walker: Walker, value: int, end: int) -> int:
    """Where the sequence delimiter stands behind fragments, or behind anything else."""
    offset = value
    while (head := walker.head(offset, end))[:2] == ITEM and head[2] != UNDEFINED_LENGTH:
        offset += 8 + head[2]
    if head[:2] == SEQUENCE_DELIMITER:
        return offset
    little = walker.encoding.little
    found = walker.data.find(b"\xfe\xff\xdd\xe0" if little else b"\xff\xfe\xe0\xdd", value, end)
    if not 0 <= found <= end - 8:
        raise Short("has a value of undefined length without its delimiter")
    return found


def find_odd_items(walker: Walker, offset: int, end: int, depth: int) -> tuple[array[int], array[int], str]:
    """Starts and ends of the content of the items of a sequence that fills a buffer from `offset` to `end`.

    What is wrong with the last one, if anything, comes third: that it is not all there.

    Raises:
        Unreadable: if something else stands where an item must begin, or anything but zeros behind a delimiter.
        InputError: if there are too many, or they nest too deep.
    """
    starts, ends = array("Q"), array("Q")
    while offset < end:
        if end - offset < 8:
            raise Unreadable("ends inside the head of an item")
        start, length = offset + 8, _item_length(walker, offset, end)
        if length is None:
            if any(walker.data[start:end]):
                raise Unreadable(f"has {end - start} bytes behind its delimiter")
            break
        starts.append(start)
        if len(starts) > MAX_PARTS:
            raise too_many_parts()
        if length == UNDEFINED_LENGTH:
            found = _find_item_end(walker, start, end, depth)
            item_end, offset = (end, end) if found is None else (found, found + 8)
        else:
            item_end = offset = start + length
        ends.append(min(item_end, end))
    if offset > end:
        return starts, ends, f"it ends after {end - starts[-1]} of the last item's {offset - starts[-1]} bytes"
    return starts, ends, ""


def _item_length(walker: Walker, offset: int, end: int) -> int | None:
    """The length of the item at an offset; None if a sequence delimiter stands there.

    Raises:
        Unreadable: if something else does.
    """
    group, number, length = walker.head(offset, end)
    if (group, number) == SEQUENCE_DELIMITER:
        return None
    if (group, number) != ITEM:
        raise Unreadable(f"has ({group:04X},{number:04X}) where an item must begin")
    return length


def _find_item_end(walker: Walker, offset: int, end: int, depth: int) -> int | None:
    """Where the delimiter of an item of undefined length is; None if there is none before `end`."""
    if depth > SEQUENCE_DEPTH:
        raise too_deep()
    try:
        inner = walker_of_item(walker, offset, end, depth)
        for count, element in enumerate(odd_elements(inner, offset, end, depth), 1):
            offset = element.end
            if count > MAX_PARTS:
                raise too_many_parts()
    except Short:
        return None
    return offset if offset < end else None


def _find_sequence_end(walker: Walker, begin: int, end: int, depth: int) -> int:
    """Where a sequence of undefined length ends, its delimiter included."""
    if depth > SEQUENCE_DEPTH:
        raise too_deep()
    if begin in walker.odd_ends:
        return walker.odd_ends[begin]
    offset = begin
    while (length := _item_length(walker, offset, end)) is not None:
        offset += 8
        if length != UNDEFINED_LENGTH:
            offset += length
        elif (found := _find_item_end(walker, offset, end, depth)) is None:
            raise Short("holds an item without its delimiter")
        else:
            offset = found + 8
    walker.odd_ends[begin] = offset + 8
    return offset + 8


def walker_of_item(walker: Walker, start: int, end: int, depth: int) -> Walker:
    """The walker for an item in the buffer of another: its first element may have no VR (PS3.5 6.2.2).

    Letters in the place of one may be a length of 16 KiB or more. They are, if the item has room for that, and comes
    out even so and not otherwise.
    """
    code = walker.data[start + 4 : min(start + 6, end)]
    if len(code) < 2 or walker.encoding.implicit:
        return walker
    if not is_vr_like(code):
        return walker.implicit
    length = int.from_bytes(walker.data[start + 4 : start + 8], "little" if walker.encoding.little else "big")
    if start + 8 + length > end:
        return walker
    if start not in walker.odd_items:
        found = (one for one in (walker, walker.implicit) if _comes_out_even(one, start, end, depth))
        walker.odd_items[start] = next(found, walker)
    return walker.odd_items[start]


def _comes_out_even(walker: Walker, offset: int, end: int, depth: int) -> bool:
    """Whether nothing but whole elements follow each other up to `end`, or to a delimiter."""
    try:
        for element in odd_elements(walker, offset, end, depth):
            offset = element.end
    except (Short, Unreadable):
        return False
    return offset <= end


def read_odd_element(file: CountedReads, encoding: Encoding) -> RawDataElement:
    """The element at the file's offset, which is left behind it.

    Raises:
        Short: if the file ends before what ends an element of undefined length.
        Unreadable, InputError, MemoryError: if it is none, or holds too much.
    """
    start, length = file.tell(), _FIRST_BYTES
    while True:
        file.seek(start)
        walker = Walker(file.read(length), encoding)
        is_all = len(walker.data) < length
        try:
            element = read_odd_head(walker, 0, len(walker.data), 0)
        except Short:
            if is_all:
                raise
            length *= 8
            continue
        if is_all or element.end <= length:
            break
        length = element.end
    file.seek(start + min(element.end, len(walker.data)))
    return raw_odd_element(element, start)


def raw_odd_element(element: OddElement, base: int = 0) -> RawDataElement:
    """The element, its value as far as it is there; `base` is where its walker's data begin in the file."""
    value = element.walker.data[element.value : element.value_end] if element.length else None
    tag, offset = BaseTag(element.tag), base + element.value
    return RawDataElement(tag, element.vr, element.length, value, offset, *element.walker.encoding)
