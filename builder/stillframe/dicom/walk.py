"""Where the elements and items of a data set lie (PS3.5 7.1, 7.5), in each of the three native encodings.

The walk looks at heads only, and raises `Odd` where they are not well formed: a parser that forgives more may follow.
It needs no DICOM library, so planning starts at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from stillframe.errors import InputError

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
"""Value representations (PS3.5 6.2)."""
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Those whose length has 32 bits in explicit syntaxes (PS3.5 7.1.2)."""
SEQUENCE_DEPTH: Final = 64
"""Levels of sequences inside each other: far more than any SOP class has, few enough for every stack."""
MAX_PARTS: Final = 8_000_000
"""Elements and items of one data set together. Each takes a few bytes in a file, but some 200 in memory and 20
microseconds, so this is a limit of 2 GB and some minutes. A slide of 180,000 tiles has three millions of them."""

_NAMES: Final = {vr: vr.decode() for vr in VRS}
ITEM_GROUP: Final = 0xFFFE
"""The group of items and of their delimiters (PS3.5 7.5)."""
ITEM: Final = (0xFFFE, 0xE000)
"""The tag that begins an item (PS3.5 7.5)."""
ITEM_DELIMITER: Final = (0xFFFE, 0xE00D)
"""The tag that ends an item of undefined length (PS3.5 7.5)."""
SEQUENCE_DELIMITER: Final = (0xFFFE, 0xE0DD)
"""The tag that ends a sequence of undefined length (PS3.5 7.5)."""
PIXEL_GROUP: Final = 0x7FE0
"""The group of pixel data (PS3.5 A.4)."""


_UNKNOWN: Final = b"??"


def is_vr_like(code: bytes) -> bool:
    """Whether letters stand where a VR must, or question marks, with which some writers mean UN.

    A length of four bytes that begins with question marks would be odd.
    """
    return len(code) == 2 and ((code.isalpha() and code.isupper()) or code == _UNKNOWN)


class Odd(Exception):
    """Bytes that are no well-formed data set."""


class Short(Odd):
    """The bytes end inside an element or a sequence."""


class Encoding(NamedTuple):
    """How elements are written: VR implicit or explicit, byte order."""

    implicit: bool
    little: bool


type Element = tuple[int, int, str | None, int, int]
"""One element: the offset of its head, its tag, its VR, the offset and the length of its value.

The VR is None where none is written. The length of a sequence counts its delimiter in, if it has one; any other
undefined length stays what it is. A plain tuple, since a header has a hundred of them and an archive a million headers.
"""


_EXPLICIT: Final = {True: struct.Struct("<HH2sH").unpack_from, False: struct.Struct(">HH2sH").unpack_from}
_IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
_LENGTH: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}


def too_many_parts() -> InputError:
    """The reason to refuse a data set of more elements and items than `MAX_PARTS`."""
    return InputError(f"has more than {MAX_PARTS} elements and items")


def too_deep() -> InputError:
    """The reason to refuse sequences more than `SEQUENCE_DEPTH` levels inside each other."""
    return InputError(f"sequences nest more than {SEQUENCE_DEPTH} levels deep")


class Walker:
    """Walks through one buffer, and remembers where sequences of undefined length end, or that they do not.

    `odd_ends` are the ends of those that are not well formed, by where their values begin, `odd_items` the walkers of
    items that may be read in two ways, by where these begin.
    """

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self.data = data
        self.encoding = encoding
        self.odd_ends: dict[int, int] = {}
        self.odd_items: dict[int, Walker] = {}
        self._ends: dict[int, int] = {}
        self._odd: dict[int, type[Odd]] = {}

    @cached_property
    def implicit(self) -> Walker:
        """A walker through the same buffer that reads no VRs."""
        return self if self.encoding.implicit else Walker(self.data, self.encoding._replace(implicit=True))

    @cached_property
    def little(self) -> Walker:
        """A walker through the same buffer that reads numbers little-endian."""
        return self if self.encoding.little else Walker(self.data, self.encoding._replace(little=True))

    def elements(self, offset: int, end: int, depth: int = 0) -> Iterator[Element]:
        """The elements from `offset` up to `end`, or to an item delimiter before it.

        Raises:
            Odd: behind the last element that is well formed; `Short` behind one whose head or value `end` cuts.
            InputError: if sequences nest too deep, or hold too much.
        """
        data, (implicit, little) = self.data, self.encoding
        read = _IMPLICIT[little] if implicit else _EXPLICIT[little]
        read_length = _LENGTH[little]
        if implicit and data[offset + 4 : offset + 6] in VRS:  # some writers do that
            raise Odd("explicit VR where implicit was said to be")
        vr: str | None = None
        length = 0
        while offset < end:
            if end - offset < 8:
                raise Short("ends inside the head of an element")
            start = offset
            if implicit:
                group, number, length = read(data, offset)
                offset += 8
            else:
                group, number, code, length = read(data, offset)
                offset += 8
                vr = _NAMES.get(code)
                if code in LONG_VRS:
                    if end - offset < 4:
                        raise Short("ends inside the head of an element")
                    length = read_length(data, offset)[0]
                    offset += 4
                elif vr is None and group != ITEM_GROUP:
                    raise Odd("no VR")
            if group == ITEM_GROUP:
                if number == ITEM_DELIMITER[1]:
                    return
                raise Odd("an item outside a sequence")
            tag = group << 16 | number
            if length == UNDEFINED_LENGTH and (vr == "SQ" or (implicit and group != PIXEL_GROUP)):
                length = self._sequence_end(offset, end, depth + 1) - offset
                yield start, tag, "SQ", offset, length
            else:
                yield start, tag, vr, offset, length
            offset += length
        if offset > end:
            raise Odd("a value of undefined length") if length == UNDEFINED_LENGTH else Short("ends inside a value")

    def _sequence_end(self, offset: int, end: int, depth: int) -> int:
        """Where a sequence of undefined length ends, its delimiter included (PS3.5 7.5)."""
        known = self._ends.get(offset)
        if known is not None:
            return known
        if offset in self._odd:
            raise self._odd[offset]("no sequence that is well formed")
        try:
            return self._walk_sequence(offset, end, depth)
        except Odd as odd:
            self._odd[offset] = type(odd)
            raise

    def _walk_sequence(self, offset: int, end: int, depth: int) -> int:
        begin = offset
        for _, item_end in self.items(offset, end, depth):
            offset = item_end
        # What follows the last item: its own delimiter if it has one, then that of the sequence.
        if self.head(offset, end)[:2] == ITEM_DELIMITER:
            offset += 8
        if self.head(offset, end)[:2] != SEQUENCE_DELIMITER:
            raise Odd("no sequence delimiter")
        self._ends[begin] = offset + 8
        return offset + 8

    def items(self, offset: int, end: int, depth: int, *, alone: bool = False) -> Iterator[tuple[int, int]]:
        """Start and end of the content of every item from `offset` up to `end`, or to a sequence delimiter before it.

        Raises:
            Odd, InputError: as `elements` does; `Odd` also if anything but zeros follows that delimiter up to `end`,
                and nothing but the sequence is said to be there (`alone`).
        """
        if depth > SEQUENCE_DEPTH:
            raise too_deep()
        count = 0
        while offset < end:
            group, number, length = self.head(offset, end)
            if (group, number) == SEQUENCE_DELIMITER:
                if alone and any(self.data[offset + 8 : end]):
                    raise Odd("bytes behind a sequence delimiter")
                return
            if (group, number) != ITEM:
                raise Odd("no item")
            count += 1
            if count > MAX_PARTS:
                raise too_many_parts()
            offset += 8
            if length == UNDEFINED_LENGTH:
                item_end = self._item_end(offset, end, depth)
                yield offset, item_end
                offset = item_end + 8
                continue
            if offset + length > end:
                raise Short("ends inside an item")
            yield offset, offset + length
            offset += length

    def _item_end(self, offset: int, end: int, depth: int) -> int:
        """Where the content of an item of undefined length ends and its delimiter begins."""
        if self.head(offset, end)[:2] == ITEM_DELIMITER:
            return offset
        known = self._ends.get(offset)
        if known is not None:
            return known
        begin = offset
        for count, (_, _, _, value, length) in enumerate(self.elements(offset, end, depth), 1):
            offset = value + length
            if count + len(self._ends) > MAX_PARTS:
                raise too_many_parts()
        if self.head(offset, end)[:2] != ITEM_DELIMITER:
            raise Odd("no item delimiter")
        self._ends[begin] = offset
        return offset

    def head(self, offset: int, end: int) -> tuple[int, int, int]:
        """Group, number and length of what has no VR (PS3.5 7.5); raises `Short` if it is cut."""
        if end - offset < 8:
            raise Short("ends inside the head of an item")
        group, number, length = _IMPLICIT[self.encoding.little](self.data, offset)
        return group, number, length
