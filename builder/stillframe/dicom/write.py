"""Data sets as bytes again (PS3.5 7.1, 7.5): elements as they were read, sequences and items of known length."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from stillframe.dicom.lenient import pydicom_at_work, raw_element
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import LONG_VRS, Encoding, Odd, Walker
from stillframe.errors import InputError

_ITEM: Final = 0xFFFEE000
_LONGEST_SHORT: Final = 0xFFFE
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
    return element_head(_ITEM, "", len(content), Encoding(implicit=True, little=encoding.little)) + content


def dataset_bytes(dataset: Dataset, encoding: Encoding, wanted: Callable[[int], bool]) -> bytes:
    """The elements whose tags are wanted, ascending, without group lengths.

    Raises:
        InputError: if one cannot be written.
        Unreadable: if pydicom cannot write one that it had to read.
    """
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, encoding.little
    charset = raw_element(dataset, 0x00080005)
    with pydicom_at_work():
        encodings = convert_encodings(_text(charset).split("\\"))
    tags = sorted(dataset.keys())
    for tag in (tag for tag in tags if tag & 0xFFFF and wanted(tag)):
        element = raw_element(dataset, tag)
        assert element is not None
        vr = element.VR or dictionary_vr(tag)
        if isinstance(element, RawDataElement) and vr == "SQ":
            value = sequence_bytes(element.value, encoding)
            buffer.write(element_head(tag, "SQ", len(value), encoding) + value)
            continue
        with pydicom_at_work():
            write_data_element(buffer, element, encodings)
    return buffer.getvalue()


def sequence_bytes(value: bytes | None, encoding: Encoding) -> bytes:
    """The value field of a sequence of known length, from one that may end with a delimiter; of an odd one, itself."""
    data = value or b""
    try:
        spans = list(Walker(data, encoding).items(0, len(data), 1))
    except Odd:
        return data
    return b"".join(item_bytes(data[start:end], encoding) for start, end in spans)


def _text(element: object) -> str:
    value = getattr(element, "value", None)
    return value.decode("latin-1").strip("\0 ") if isinstance(value, bytes) else ""
