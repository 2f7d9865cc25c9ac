"""The elements of a data set one after another, however large it is, and where they end.

Well-formed elements are walked, others are read one by one. What can be no element at all ends the data
set, and whoever reads has to say what that means.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.header import Stop
from stillframe.dicom.known_elements import Header
from stillframe.dicom.lenient import CountedReads, Unreadable, is_other_value
from stillframe.dicom.odd_elements import read_odd_element
from stillframe.dicom.sequences import raw_data_element
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import (
    MAX_PARTS,
    UNDEFINED_LENGTH,
    VRS,
    Encoding,
    Odd,
    Short,
    Walker,
    too_many_parts,
)
from stillframe.errors import InputError

# What is read first of a file: enough for most headers up to the pixel data.
_FIRST_BYTES: Final = 1 << 16
# Behind an odd element, others are likely.
_BYTES_AFTER_ODD: Final = 1 << 12
# Well-formed elements beyond this are read one by one.
_LONGEST: Final = 256 << 20
_TRAILING_PADDING: Final = 0xFFFCFFFC
# Groups that no element of a data set has (PS3.5 7.1, 7.8.1).
_NO_GROUPS: Final = frozenset({0x0000, 0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF})


@dataclass(frozen=True, slots=True)
class Failure:
    """What is wrong at the `offset` where elements end; `cut` means that the file ends inside one."""

    offset: int
    text: str
    cut: bool = False

    def __str__(self) -> str:
        """The reason to refuse a data set that has to go on."""
        return f"truncated: {self.text}" if self.cut else f"cannot be parsed as DICOM: {self.text}"


class DataSetReader:
    """Reads the elements of a data set from a file, piece by piece.

    `elements` are those read so far, by tag. Of an element that is there more than once the last counts; its tag is one
    of `repeated` if the values differ. `size` is the file's length, `stopped` the tag at which reading stopped, if one
    did.
    """

    def __init__(self, file: ReadableFile, encoding: Encoding) -> None:
        self.file = file
        self.encoding = encoding
        start = file.tell()
        self.size = file.seek(0, io.SEEK_END)
        file.seek(start)
        self.elements: dict[BaseTag, RawDataElement | DataElement] = {}
        self.repeated: set[BaseTag] = set()
        self.stopped: int | None = None
        self._strict = False
        self._odd = CountedReads(file)
        self._parts = 0
        self._header = Header(encoding)

    @property
    def dataset(self) -> Dataset:
        """The data set so far."""
        dataset = Dataset(self.elements)
        dataset.set_original_encoding(*self.encoding)
        return dataset

    def read(self, stop: Stop, *, strict: bool = False) -> Failure | None:
        """Read on, to the first tag that satisfies `stop`, to the end, or to what can be no element.

        The file is left there. Zeros up to the end are padding, and so is Data Set Trailing Padding (FFFC,FFFC) that is
        no element. With `strict`, neither letters that are no VR make an element nor groups that DICOM leaves out.

        Raises:
            InputError: if sequences nest too deep, or there are too many elements and items.
        """
        length, self._strict = _FIRST_BYTES, strict
        while True:
            start = self.file.tell()
            data = self.file.read(length)
            if not data and start < self.size:
                raise InputError("the file became shorter while it was read")
            offset, self.stopped, odd = self._walk(Walker(data, self.encoding), start, stop)
            self.file.seek(start + offset)
            if self.stopped is not None or (odd is None and start + offset >= self.size):
                if not strict:
                    self._header.remember()
                return None
            if odd is None:
                length = max(length, _FIRST_BYTES)
                continue
            if isinstance(odd, Short) and start + len(data) < self.size and length < _LONGEST:
                length *= 1 if offset else 8
                continue
            if (failure := self._read_odd(odd)) is not None:
                self.file.seek(start + offset)
                return None if self._is_padding(start + offset) else failure
            length = _BYTES_AFTER_ODD

    def _walk(self, walker: Walker, base: int, stop: Stop) -> tuple[int, int | None, Odd | None]:
        """Take in the well-formed elements of a piece of the file.

        The offset behind them, the tag that stopped it, if one did, and what is wrong there, if anything.
        """
        offset, end = 0, len(walker.data)
        data, header = walker.data, self._header
        try:
            while offset < end:
                if not self._strict:
                    count = len(self.elements)
                    offset, stopped = header.take(data, offset, stop, self.elements)
                    self._count(len(self.elements) - count)
                    if stopped is not None or offset >= end:
                        return offset, stopped, None
                for element in walker.elements(offset, end):
                    start, tag, _, value, length = element
                    if stop(tag):
                        return offset, tag, None
                    if length == UNDEFINED_LENGTH or not self._may_be(tag):
                        raise Odd("a value of undefined length, or a tag of no element")
                    if value + length > end:
                        raise Short("ends inside a value")
                    self._count()
                    offset = value + length
                    raw = raw_data_element(walker, element, base)
                    self._add(raw if self._strict else header.add(data, start, offset, raw))
                    if not (self._strict or self.encoding.implicit):
                        break  # the next one may be known
                else:
                    break
        except Odd as odd:
            return offset, None, odd
        return offset, None, None if offset == end else Odd("a delimiter outside a sequence")

    def _add(self, element: RawDataElement) -> None:
        before = self.elements.get(element.tag)
        if isinstance(before, RawDataElement) and is_other_value(before, element):
            self.repeated.add(element.tag)
        self.elements[element.tag] = element

    def _may_be(self, tag: int) -> bool:
        """Whether an element may have this tag."""
        return tag >> 16 not in _NO_GROUPS if self._strict else tag != 0

    def _read_odd(self, odd: Odd) -> Failure | None:
        """Read the element at the file's offset, which is not well formed; or say that it is none."""
        start = self.file.tell()
        head = self.file.read(12)
        self.file.seek(start)
        if len(head) < 8:
            return Failure(start, f"ends inside the head of an element at offset {start}", cut=True)
        tag = self._tag(head)
        if tag >> 16 == 0xFFFE:
            return Failure(start, f"{tag} at offset {start} is outside a sequence")
        known = dictionary_vr(tag) != "UN" if self.encoding.implicit else head[4:6] in VRS
        if not self._may_be(tag) or (self._strict and not known):
            return Failure(start, f"{tag} at offset {start} is no element")
        cut = Failure(start, f"ends inside {tag}, which begins at offset {start}", cut=True)
        if isinstance(odd, Short) and self.size - start <= _LONGEST:
            return cut
        try:
            element = read_odd_element(self._odd, self.encoding)
        except Short:
            return cut
        except Unreadable as error:
            return Failure(start, f"{tag} at offset {start} {error}")
        if len(element.value or b"") < element.length < UNDEFINED_LENGTH:
            return cut
        self._count()
        self._add(element)
        return None

    def _count(self, parts: int = 1) -> None:
        """So many elements more, also of a tag that was there before.

        Raises:
            InputError: if there are too many.
        """
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise too_many_parts()

    def _tag(self, head: bytes) -> BaseTag:
        group, number = struct.unpack("<HH" if self.encoding.little else ">HH", head[:4])
        return BaseTag(group << 16 | number)

    def _is_padding(self, offset: int) -> bool:
        """Whether nothing but padding follows; the file is left where it was."""
        self.file.seek(offset)
        head = self.file.read(4)
        padding = len(head) == 4 and self._tag(head) == _TRAILING_PADDING
        blocks = iter(lambda: self.file.read(1 << 20), b"")
        padding = padding or not (any(head) or any(any(block) for block in blocks))
        self.file.seek(offset)
        return padding
