"""The elements of the header that was read last: the next one of a series has most of them, byte for byte.

An element with the same bytes is the same element, and becomes the same JSON. So neither is made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.walk import Encoding

type Stop = Callable[[int], bool]

LONGEST: Final = 1024
"""Bytes of an element that is remembered, its head included."""
_MOST: Final = 1000


class KnownElement(RawDataElement):
    """An element that other headers may have, too; `shared` is what became of it (`json_elements`)."""

    shared: SharedJSON | None = None

    @classmethod
    def of(cls, element: RawDataElement) -> KnownElement:
        """The element, to be remembered."""
        return cls(*element)


class SharedJSON:
    """What an element becomes in every data set whose text has the same character set, under its key."""

    __slots__ = ("charset", "converted", "key", "parts")

    def __init__(self, key: str, converted: dict[str, Any], charset: object, parts: int) -> None:
        self.key = key
        self.converted = converted
        self.charset = charset
        self.parts = parts


type Known = tuple[bytes, int, int, KnownElement]
"""An element by its bytes, with their number and its tag."""

_LAST: Final[dict[Encoding, list[Known]]] = {}


class Header:
    """The elements of the header that was read before in an encoding, met again in their order, and those of this one.

    Only explicit encodings are remembered: an element of an implicit one may look like one of an explicit one.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._before = [] if encoding.implicit else _LAST.get(encoding, [])
        self._next = 0
        self._met: list[Known] = []

    def take(self, data: bytes, offset: int, stop: Stop, elements: dict[BaseTag, Any]) -> tuple[int, int | None]:
        """Add the elements from an offset on that follow each other as in the header before.

        The offset behind them, and the tag that stopped it, if one did.
        """
        before, number = self._before, self._next
        begin, stopped = number, None
        while number < len(before):
            content, length, tag, element = before[number]
            if not data.startswith(content, offset) or element.tag in elements:
                break
            if stop(tag):
                stopped = tag
                break
            elements[element.tag] = element
            offset += length
            number += 1
        self._met += before[begin:number]
        self._next = number
        return offset, stopped

    def add(self, data: bytes, start: int, end: int, element: RawDataElement) -> RawDataElement:
        """Take down an element that is another than the one before, and where its bytes are; what stands for it."""
        tag = int(element.tag)
        before = self._before
        while self._next < len(before) and before[self._next][2] <= tag:
            self._next += 1
        if self._encoding.implicit or end - start > LONGEST:
            return element
        known = KnownElement.of(element)
        self._met.append((data[start:end], end - start, tag, known))
        return known

    def remember(self) -> None:
        """Have the next header find these elements."""
        if not self._encoding.implicit:
            _LAST[self._encoding] = self._met[:_MOST]
