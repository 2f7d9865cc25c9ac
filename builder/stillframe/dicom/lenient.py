"""Where a data set is not well formed: items of whatever is there, and what pydicom's exceptions and warnings mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.walk import Encoding
from stillframe.errors import FailedJob, InputError, blame_machine

# Each odd element takes one piece or more, and some 20 microseconds and 700 bytes.
MOST_READS: Final = 500_000


_UNPADDED: Final = frozenset(("AT", "FD", "FL", "OD", "OF", "OL", "OV", "OW", "SL", "SQ", "SS", "SV", "UL", "US", "UV"))
"""VRs whose values are numbers, tags or items; others are padded to an even length (PS3.5 6.2)."""


class Unreadable(Exception):
    """Bytes that nothing can make sense of; the message says what is wrong with them, to follow their name."""


class CountedReads:
    """A file that bounds what becomes of odd bytes: each odd element of a data set is read from it, however short."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self._left = MOST_READS
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
        return self._file.read(size)


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


def read_first_elements(file: ReadableFile, encoding: Encoding, stop: Callable[[int], bool]) -> Dataset:
    """What pydicom makes of the elements from the file's offset on, to the first whose tag satisfies `stop`.

    Raises:
        InputError, FailedJob, MemoryError, Unreadable, RecursionError: as `pydicom_at_work`.
    """
    source = cast(BinaryIO, CountedReads(file))
    with pydicom_at_work():
        return read_dataset(source, encoding.implicit, encoding.little, None, lambda tag, *_: stop(tag))


class RawItem(dict[int, RawDataElement]):
    """The elements of an item by tag, raw: a twentieth of what a `Dataset` of pydicom costs.

    `notes` are what its owner should know of elements, by their tags. Of one that is there more than once, the last
    counts.
    """

    __slots__ = ("notes",)

    def __init__(self) -> None:
        super().__init__()
        self.notes: set[tuple[int, str]] = set()

    def replace(self, element: RawDataElement) -> None:
        """Put an element in the place of one of the same tag, with a note if their values differ."""
        if is_other_value(self[element.tag], element):
            self.notes.add((element.tag, "is there more than once, with different values; the last one counts"))
        self[element.tag] = element

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


def written_vr(dataset: Elements, tag: int) -> str:
    """The VR that a file gives an element, known or not; "" if it gives none, or the element is absent."""
    return str(getattr(raw_element(dataset, tag), "VR", None) or "")


def raw_text(dataset: Elements, tag: int) -> str:
    """A text value as it stands in the file, one character a byte, without its padding (PS3.5 6.2); "" if absent."""
    value = getattr(raw_element(dataset, tag), "value", None)
    if value is None:
        return ""
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
    return raw.strip(b"\0 ").decode("latin-1")
