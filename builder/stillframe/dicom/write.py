"""Data sets as bytes again (PS3.5 7.1, 7.5): elements as they were read, sequences and items of known length."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from stillframe.dicom.lenient import Elements, Unreadable, pydicom_at_work, raw_element
from stillframe.dicom.sequences import Items, SequenceValue, all_items, encoding_of, sequence_value
from stillframe.dicom.vr import KNOWN_VRS, dictionary_vr, find_vr
from stillframe.dicom.walk import LONG_VRS, UNDEFINED_LENGTH, Encoding, Odd
from stillframe.errors import InputError

_CHARACTER_SET: Final = 0x00080005
_ITEM: Final = 0xFFFEE000
_SEQUENCE_DELIMITER: Final = 0xFFFEE0DD
_OF_UNKNOWN: Final = Encoding(implicit=True, little=True)  # items of sequences of VR UN (PS3.5 6.2.2)
_LONGEST_SHORT: Final = 0xFFFF
"""Bytes of a value whose length has 16 bits."""


def element_head(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    """The head of an element; `vr` is of no account in an implicit encoding.

    Raises:
        InputError: if the value is too long for its VR.
    """
    order = "<" if encoding.little else ">"
    group, number = tag >> 16, tag & 0xFFFF
    if encoding.implicit:
        return struct.pack(f"{order}HHL", group, number, length)
    if vr.encode() in LONG_VRS:
        return struct.pack(f"{order}HH2sHL", group, number, vr.encode(), 0, length)
    if length > _LONGEST_SHORT:
        raise InputError(f"({group:04X},{number:04X}) would have {length} bytes, more than VR {vr} allows")
    return struct.pack(f"{order}HH2sH", group, number, vr.encode(), length)


def item_bytes(content: bytes, encoding: Encoding) -> bytes:
    """An item of known length."""
    return _mark(_ITEM, len(content), encoding) + content


def _mark(tag: int, length: int, encoding: Encoding) -> bytes:
    """The head of an item or of a delimiter, which has no VR (PS3.5 7.5)."""
    return element_head(tag, "", length, Encoding(implicit=True, little=encoding.little))


def dataset_bytes(
    datasets: tuple[Elements, ...], encoding: Encoding, wanted: Callable[[int], bool] = lambda _: True
) -> bytes:
    """The elements whose tags are wanted, ascending, without group lengths.

    `datasets` are the one to write and those around it, innermost first.

    Raises:
        InputError: if an element cannot be written.
    """
    pieces = []
    for tag in sorted(datasets[0].keys()):
        element = raw_element(datasets[0], tag)
        if element is None or not tag & 0xFFFF or not wanted(tag):
            continue
        if isinstance(element, RawDataElement):
            pieces.append(_raw(element, datasets, encoding))
        elif element.VR == "SQ":
            items = [item_bytes(dataset_bytes((item, *datasets), encoding), encoding) for item in element.value or ()]
            pieces.append(_sequence(tag, b"".join(items), encoding))
        else:
            pieces.append(_converted(element, datasets, encoding))
    return b"".join(pieces)


def _raw(element: RawDataElement, datasets: tuple[Elements, ...], encoding: Encoding) -> bytes:
    """An element as it was read."""
    tag, value = int(element.tag), element.value or b""
    own = encoding_of(element)
    vr = element.VR or dictionary_vr(tag)
    if vr not in KNOWN_VRS:
        vr = find_vr(element, datasets)
    if vr == "SQ" and own.little == encoding.little:
        return _sequence(tag, _items_bytes(element, datasets, encoding), encoding)
    if vr == "SQ":  # of VR UN
        items = _items_bytes(element, datasets, _OF_UNKNOWN)
        return _of_undefined_length(tag, "UN", items, encoding, _OF_UNKNOWN)
    if element.length == UNDEFINED_LENGTH:
        return _of_undefined_length(tag, vr, bytes(value), encoding, own)
    return element_head(tag, vr, len(value), encoding) + value


def _of_undefined_length(tag: int, vr: str, value: bytes, encoding: Encoding, own: Encoding) -> bytes:
    """An element whose end a delimiter marks, which is written as its value is."""
    return element_head(tag, vr, UNDEFINED_LENGTH, encoding) + value + _mark(_SEQUENCE_DELIMITER, 0, own)


def _items_bytes(element: RawDataElement, datasets: tuple[Elements, ...], encoding: Encoding) -> bytes:
    """The items of a sequence: as they were read, unless somebody changed them, or they were written in another way."""
    value: bytes | SequenceValue | Items = element.value or b""
    same = encoding_of(element) == encoding
    if not isinstance(value, Items) and same:
        return sequence_bytes(value, encoding)
    try:
        items = all_items(element, len(datasets)).items
    except Unreadable:
        return bytes(element.value or b"")
    return b"".join(item_bytes(dataset_bytes((item, *datasets), encoding), encoding) for item in items)


def _sequence(tag: int, items: bytes, encoding: Encoding) -> bytes:
    """A sequence of known length, or with a delimiter where nothing else says that it is one."""
    if encoding.implicit and dictionary_vr(tag) != "SQ":
        return element_head(tag, "SQ", UNDEFINED_LENGTH, encoding) + items + _mark(_SEQUENCE_DELIMITER, 0, encoding)
    return element_head(tag, "SQ", len(items), encoding) + items


def _converted(element: DataElement, datasets: tuple[Elements, ...], encoding: Encoding) -> bytes:
    """An element that pydicom had to read, as it writes it.

    Raises:
        InputError: if it does not.
    """
    declared = (getattr(raw_element(dataset, _CHARACTER_SET), "value", None) for dataset in datasets)
    charset = next((value.decode("latin-1").strip("\0 ") for value in declared if isinstance(value, bytes)), "")
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, encoding.little
    try:
        with pydicom_at_work():
            write_data_element(buffer, element, convert_encodings(charset.split("\\")))
    except Unreadable as error:
        raise InputError(f"{element.tag} is not well formed, so that it cannot be written with other UIDs") from error
    return buffer.getvalue()


def sequence_bytes(value: bytes | SequenceValue, encoding: Encoding) -> bytes:
    """The value field of a sequence of known length, from one that may end with a delimiter; of an odd one, itself."""
    found = value if isinstance(value, SequenceValue) else sequence_value(value, encoding)
    try:
        spans = list(zip(*found.find_items(1), strict=True))
    except Odd:
        return bytes(found)
    return b"".join(item_bytes(found.walker.data[start:end], encoding) for start, end in spans)
