"""Original Attributes Sequence (PS3.3 C.12.1): what stood in a data set before values were replaced that are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.lenient import Unreadable, raw_element, raw_text
from stillframe.dicom.sequences import Items, all_items, read_item
from stillframe.dicom.walk import UNDEFINED_LENGTH, Encoding, Walker
from stillframe.dicom.write import dataset_bytes, item_bytes

_ORIGINAL_ATTRIBUTES: Final = 0x04000561
# Dates and the times that go with them, the latest step first: Instance Creation, Content, Acquisition, Series, Study.
_TIMES: Final = (
    (0x00080012, 0x00080013),
    (0x00080023, 0x00080033),
    (0x00080022, 0x00080032),
    (0x00080021, 0x00080031),
    (0x00080020, 0x00080030),
)
_DATE: Final = re.compile("[0-9]{8}")
_TIME: Final = re.compile(r"(?:[0-9]{2}){1,2}|[0-9]{6}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A value that was replaced, its `number` in the element, and the items around that, each with its sequence."""

    tag: int
    value: str
    number: int
    path: tuple[tuple[int, int], ...] = ()


def with_origins(dataset: Dataset, origins: Sequence[Origin]) -> None:
    """Add an item to the Original Attributes Sequence of a data set that tells of all these values.

    Their new values follow from the old ones, and no clock is looked at: the time of the modification is that of the
    data set, since the same input must give the same bytes. It is empty if the data set has none.
    """
    implicit, little = dataset.original_encoding
    encoding = Encoding(bool(implicit), bool(little))
    item = Dataset()
    item.AttributeModificationDateTime = _time_of(dataset)
    item.ModifyingSystem = "Stillframe"
    item.SourceOfPreviousValues = ""
    item.ReasonForTheAttributeModification = "CORRECT"
    item.ModifiedAttributesSequence = [Dataset()]  # of values that conform, there are none
    item.NonconformingModifiedAttributesSequence = [_nonconforming(origin) for origin in origins]
    value = _with_item(raw_element(dataset, _ORIGINAL_ATTRIBUTES), dataset_bytes((item,), encoding), encoding)
    length = len(value) if isinstance(value, bytes) else UNDEFINED_LENGTH
    dataset[_ORIGINAL_ATTRIBUTES] = RawDataElement(
        BaseTag(_ORIGINAL_ATTRIBUTES), None if implicit else "SQ", length, cast(bytes, value), 0, *encoding
    )


def _with_item(before: RawDataElement | DataElement | None, content: bytes, encoding: Encoding) -> Items | bytes:
    """The items that are there, if any, and another one; as bytes, if nothing can make anything of the former."""
    try:
        found = Items([], "") if before is None else all_items(before, 1)
    except Unreadable:
        assert isinstance(before, RawDataElement)
        return (before.value or b"") + item_bytes(content, encoding)
    return Items([*found.items, read_item(Walker(content, encoding), 0, len(content))], found.complaint)


def _nonconforming(origin: Origin) -> Dataset:
    """The Selector Attribute Macro that says where a value stood, and its bytes."""
    item = Dataset()
    item.SelectorAttribute = origin.tag
    item.SelectorValueNumber = origin.number
    if origin.path:
        item.SelectorSequencePointer = [tag for tag, _ in origin.path]
        item.SelectorSequencePointerItems = [number for _, number in origin.path]
    data = origin.value.encode("latin-1", "replace")
    item.NonconformingDataElementValue = data + b"\0" * (len(data) % 2)
    return item


def _time_of(dataset: Dataset) -> str:
    """The latest step that the data set dates, as a DT (PS3.5 6.2); empty if it dates none."""
    for date_tag, time_tag in _TIMES:
        date, time = raw_text(dataset, date_tag), raw_text(dataset, time_tag)
        if _DATE.fullmatch(date):
            return date + (time if _TIME.fullmatch(time) else "")
    return ""
