"""Value fields of elements that pydicom has already converted, so that they take the same way as raw ones."""

from __future__ import annotations

import struct
from typing import Any

from pydicom import DataElement
from pydicom.multival import MultiValue

from builder.numeric import NUMBER_CODES, swap_words


def encode_value(element: DataElement, little_endian: bool) -> bytes:
    """The value field: text as UTF-8, numbers in the byte order asked for, bytes as they are.

    Raises:
        ValueError, TypeError, struct.error: if the value is none of its VR.
    """
    value = element.value
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    values = _list_values(value)
    vr = str(element.VR)
    if vr in NUMBER_CODES or vr == "US or SS":
        code = NUMBER_CODES.get(vr) or ("h" if min(values, default=0) < 0 else "H")
        return struct.pack(f"{'<' if little_endian else '>'}{len(values)}{code}", *values)
    if vr == "AT":
        encoded = b"".join(struct.pack("<HH", int(tag) >> 16, int(tag) & 0xFFFF) for tag in values)
        return encoded if little_endian else swap_words(encoded, vr)
    return "\\".join("" if part is None else str(part) for part in values).encode("utf_8", "replace")


def _list_values(value: Any) -> list[Any]:
    # Not every iterable is one of several values: a person name is iterable too.
    return list(value) if isinstance(value, list | tuple | MultiValue) else [value]
