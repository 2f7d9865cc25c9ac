"""The value representation of an element that does not say, or does not say which (PS3.5 6.2.2, A.1, PS3.6)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.valuerep import STANDARD_VR

from stillframe.dicom.lenient import Elements, raw_element

KNOWN_VRS: Final = frozenset(str(vr) for vr in STANDARD_VR)
_PIXEL_REPRESENTATION: Final = BaseTag(0x00280103)
_LUT_DESCRIPTOR: Final = BaseTag(0x00283002)
# A UN value this long may have been made UN because its own VR has no room for the length (PS3.5 6.2.2).
_LONG_UN: Final = 0xFFFF


def find_vr(element: RawDataElement, datasets: tuple[Elements, ...]) -> str:
    """The VR of an element read without one, with UN, or with letters that are no VR; UN if it cannot be known.

    `datasets` are the data set that holds the element and those around it, innermost first.
    """
    tag, value = int(element.tag), element.value or b""
    if element.VR == "UN" and (len(value) >= _LONG_UN or not element.is_little_endian):
        return "UN"
    vr = _private_vr(tag, datasets[0]) if tag >> 16 & 1 else dictionary_vr(tag)
    if vr in KNOWN_VRS:
        return vr
    if vr == "US or SS":
        return "SS" if _first_short(_PIXEL_REPRESENTATION, datasets) == 1 else "US"
    if vr == "US or OW":
        return "US" if _first_short(_LUT_DESCRIPTOR, datasets[:1]) == 1 else "OW"
    return "OW" if vr.endswith("OW") else "UN"


@lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str:
    """The VR of a public attribute in PS3.6, UN if it has none; "US or SS" and the like where it depends."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _private_vr(tag: int, dataset: Elements) -> str:
    block = tag >> 8 & 0xFF
    if tag & 0xFFFF < 0x100:
        return "LO" if tag & 0xFFFF >= 0x10 else "UN"
    creator = raw_element(dataset, BaseTag(tag & 0xFFFF0000 | block))
    if creator is None:
        return "UN"
    value = creator.value
    name = value.decode("latin_1") if isinstance(value, bytes) else str(value)
    return _private_dictionary_vr(tag, name.strip(" \0"))


@lru_cache(maxsize=8192)
def _private_dictionary_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


def _first_short(tag: BaseTag, datasets: tuple[Elements, ...]) -> int | None:
    """First value of a US attribute in the innermost data set that has it."""
    for dataset in datasets:
        element = raw_element(dataset, tag)
        value = element.value if element is not None else None
        if isinstance(value, bytes):
            if len(value) >= 2:
                little = not isinstance(element, RawDataElement) or element.is_little_endian
                return int(struct.unpack("<H" if little else ">H", value[:2])[0])
        elif value is not None:
            first = value if isinstance(value, int) else next(iter(value), None)
            return first if isinstance(first, int) else None
    return None
