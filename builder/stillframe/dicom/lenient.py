"""pydicom where a data set is not well formed: what it makes of odd bytes, and what its exceptions and warnings mean.

Well-formed data sets are walked (`walk`, `header`, `sequences`), not parsed.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, Final, cast

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.tag import BaseTag

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.walk import Encoding
from stillframe.errors import FailedJob, InputError, blame_machine

# pydicom reads an element in one to three pieces, and takes some 20 microseconds and 700 bytes for each.
MOST_READS: Final = 500_000


_UNPADDED: Final = frozenset(("AT", "FD", "FL", "OD", "OF", "OL", "OV", "OW", "SL", "SQ", "SS", "SV", "UL", "US", "UV"))
"""VRs whose values are numbers, tags or items; others are padded to an even length (PS3.5 6.2)."""


class Unreadable(Exception):
    """Bytes that nothing can make sense of; the message says what is wrong with them, to follow their name."""


class CountedReads:
    """A file that bounds what a parser makes of odd bytes: it reads once for every element and item, however short.

    `rest` are the bytes of the last read, if it found fewer than were asked for.
    """

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self._left = MOST_READS
        self.rest = b""
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        """As the file's own.

        Raises:
            InputError: if that was once too often.
        """
        self._left -= 1
        if self._left < 0:
            raise InputError("is not well formed, and has too many elements and items to be read all the same")
        data = self._file.read(size)
        self.rest = data if len(data) < size else b""
        return data


@contextmanager
def pydicom_at_work() -> Iterator[None]:
    """Let pydicom read or convert in the block; what it warns of goes no further.

    Raises:
        InputError, FailedJob, MemoryError: as reading the file raised them, however pydicom wrapped them.
        Unreadable: if pydicom raises one of its dozen types: each means the same.
        RecursionError: as it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, FailedJob, MemoryError, RecursionError, Unreadable):
        raise
    except Exception as error:
        blame_machine(error)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError | FailedJob | MemoryError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        raise Unreadable("is not well formed") from error


def read_odd(
    file: ReadableFile | CountedReads,
    encoding: Encoding,
    *,
    length: int | None = None,
    stop: Callable[[int], bool] | None = None,
) -> Dataset:
    """The elements from the file's offset on, to the first whose tag satisfies `stop`, or those of an item.

    Args:
        file: where they are.
        encoding: how they are written.
        length: of the item in bytes, if it says; None if a delimiter ends it.
        stop: says where to stop; without it, the elements are those of an item.

    Raises:
        InputError, FailedJob, MemoryError, Unreadable, RecursionError: as `pydicom_at_work`.
    """
    source = file if isinstance(file, CountedReads) else CountedReads(file)
    stop_when = None if stop is None else lambda tag, *_: stop(tag)
    with pydicom_at_work():
        dataset = read_dataset(
            cast(BinaryIO, source), encoding.implicit, encoding.little, length, stop_when, at_top_level=stop is not None
        )
        if stop is None:
            end, rest = source.tell(), source.rest
            _check_inside(source, encoding, dataset)
            source.seek(end)
            source.rest = rest
    return dataset


def read_odd_item(content: bytes, encoding: Encoding) -> Dataset:
    """The elements of an item that is there whole.

    Raises:
        InputError, FailedJob, MemoryError, RecursionError: as `pydicom_at_work`.
        Unreadable: as that, or if the last bytes are too few for an element, and no padding.
    """
    source = CountedReads(BytesIO(content))
    dataset = read_odd(source, encoding, length=len(content))
    found = [cast(RawDataElement | DataElement, dataset.get_item(tag)) for tag in list(dataset.keys())]
    raw = [element for element in found if isinstance(element, RawDataElement)]
    overlong = any(element.value_tell + element.length > len(content) for element in raw)  # told where it is converted
    # pydicom goes back to the value of an element of undefined length that nothing ends, and says nothing of it.
    behind = content[source.tell() - len(source.rest) :]
    if behind.strip(b"\0") and not overlong:
        raise Unreadable(f"has {len(behind)} bytes behind the last element of an item")
    return dataset


def read_odd_element(file: CountedReads, encoding: Encoding) -> RawDataElement | DataElement:
    """The element at the file's offset, which is left behind it.

    pydicom takes whatever stands where an item should begin for one, so the items of what it reads are looked at again.

    Raises:
        InputError, FailedJob, MemoryError, Unreadable, RecursionError: as `pydicom_at_work`.
    """
    with pydicom_at_work():
        element = next(data_element_generator(cast(BinaryIO, file), encoding.implicit, encoding.little))
        end = file.tell()
        if isinstance(element, DataElement) and element.VR == "SQ":
            _check_items(file, encoding, element)
        file.seek(end)
    return element


def _check_inside(file: CountedReads, encoding: Encoding, item: Dataset) -> None:
    """Raise if pydicom took something else than items for the items of a sequence in an item (PS3.5 7.5)."""
    for tag in list(item.keys()):
        if tag >> 16 == 0xFFFE:
            raise Unreadable("holds an item without its delimiter")
        element = cast(RawDataElement | DataElement, item.get_item(tag))
        if isinstance(element, DataElement) and element.VR == "SQ":
            _check_items(file, encoding, element)


def _check_items(file: CountedReads, encoding: Encoding, sequence: DataElement) -> None:
    order = ("<" if encoding.little else ">") + "HH"
    for item in sequence.value:
        file.seek(item.seq_item_tell)
        group, number = struct.unpack(order, file.read(4))
        if (group, number) != (0xFFFE, 0xE000):
            raise Unreadable(f"has ({group:04X},{number:04X}) at offset {item.seq_item_tell} where an item must begin")
        _check_inside(file, encoding, item)


class RawItem(dict[int, RawDataElement]):
    """The elements of a well-formed item by tag, raw: a twentieth of what a `Dataset` of pydicom costs.

    Of an element that is there more than once the last counts; its tag is one of `repeated` if the values differ.
    """

    __slots__ = ("repeated",)

    def __init__(self) -> None:
        super().__init__()
        self.repeated: set[int] = set()

    def get_item(self, tag: int) -> RawDataElement | None:
        """As `Dataset.get_item`."""
        return self.get(tag)


def is_other_value(one: RawDataElement, other: RawDataElement) -> bool:
    """Whether two elements of one tag differ in more than the padding of their values (PS3.5 6.2)."""
    first, second = (bytes(element.value or b"") for element in (one, other))
    if first != second and all(_is_padded(element) for element in (one, other)):
        return first.rstrip(b"\0 ") != second.rstrip(b"\0 ")
    return first != second


def _is_padded(element: RawDataElement) -> bool:
    """Whether the value may end with padding; that of numbers and tags is all there is."""
    vr = element.VR
    if vr is None:
        vr = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN"
    return vr.partition(" or ")[0] not in _UNPADDED


type Elements = Dataset | RawItem
"""A data set or an item, its elements as they were read."""


def raw_element(dataset: Elements, tag: int) -> DataElement | RawDataElement | None:
    """An element as it was read, unconverted unless somebody has asked for its value; None if absent.

    Raises:
        InputError: if pydicom cannot make anything of it, as of one without a value but of unknown VR and some length.
    """
    try:
        return dataset.get_item(tag)
    except MemoryError:
        raise
    except Exception as error:  # pydicom converts some elements on the way, and raises whatever that raises
        raise InputError(f"{BaseTag(tag)} cannot be read") from error


def raw_text(dataset: Elements, tag: int) -> str:
    """A text value as it stands in the file, one character a byte, without its padding (PS3.5 6.2); "" if absent."""
    value = getattr(raw_element(dataset, tag), "value", None)
    if value is None:
        return ""
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
    return raw.strip(b"\0 ").decode("latin-1")
