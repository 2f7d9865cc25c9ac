"""Binary numbers and number strings as JSON numbers that keep their value (PS3.18 F.2.3), and values as bytes again."""

from __future__ import annotations

import math
import re
import struct
from array import array
from decimal import Decimal
from typing import Final

from pydicom import DataElement
from pydicom.multival import MultiValue

# struct codes of the binary number VRs, and the word length of every VR that depends on byte order (PS3.5 7.3).
NUMBER_CODES: Final = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
WORD_BYTES: Final = {vr: struct.calcsize("=" + code) for vr, code in NUMBER_CODES.items()} | {
    **dict.fromkeys(("AT", "OW"), 2),
    **dict.fromkeys(("OF", "OL"), 4),
    **dict.fromkeys(("OD", "OV"), 8),
}
_ARRAY_CODES: Final = {2: "H", 4: "I", 8: "Q"}
_NON_FINITE: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# Any decimal of this many digits comes back from a double unchanged, and so does the shorter text of one.
_SAFE_DIGITS: Final = 15


def unpack_numbers(value: bytes, vr: str, little_endian: bool) -> list[int | float | str]:
    """The numbers of a binary value; NaN and infinities as the strings "NaN", "Infinity" and "-Infinity".

    JSON has no token for those three and PS3.18 F.2.3 no rule; the names are those of JavaScript and XML Schema.

    Raises:
        ValueError: if the length is no multiple of the VR's.
    """
    code, size = NUMBER_CODES[vr], WORD_BYTES[vr]
    count, rest = divmod(len(value), size)
    if rest:
        raise ValueError(f"{len(value)} bytes, expected a multiple of {size}")
    numbers = list(struct.unpack(f"{'<' if little_endian else '>'}{count}{code}", value))
    if code in "df":
        return [number if math.isfinite(number) else _NON_FINITE.get(number, "NaN") for number in numbers]
    return numbers


def unpack_tags(value: bytes, little_endian: bool) -> list[int | float | str]:
    """The tags of an AT value, 8 upper-case hex digits each.

    Raises:
        ValueError: if the length is no multiple of 4.
    """
    if len(value) % 4:
        raise ValueError(f"{len(value)} bytes, expected a multiple of 4")
    words = struct.unpack(f"{'<' if little_endian else '>'}{len(value) // 2}H", value)
    return [f"{group:04X}{element:04X}" for group, element in zip(words[::2], words[1::2], strict=True)]


def parse_number(text: str) -> int | float | str:
    """A DS or IS value as a number if a double holds its decimal value unchanged, else the text itself."""
    if not _NUMBER.fullmatch(text):
        return text
    if len(text) <= _SAFE_DIGITS and "e" not in text and "E" not in text:
        return float(text) if "." in text else int(text)
    try:
        number = float(text)
        if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text):
            return text
    except ArithmeticError:  # an exponent beyond what Decimal can hold
        return text
    return number if set(".eE") & set(text) else int(text)


def swap_words(value: bytes, vr: str) -> bytes:
    """A big endian value in little endian order; bytes after the last whole word stay as they are."""
    size = WORD_BYTES.get(vr)
    if size is None:
        return value
    whole = len(value) - len(value) % size
    words = array(_ARRAY_CODES[size], value[:whole])
    words.byteswap()
    return words.tobytes() + value[whole:]


def encode_value(element: DataElement, little_endian: bool) -> bytes:
    """The value field of an element that pydicom has converted: it goes the same way as a raw one then.

    Text comes as UTF-8, numbers in the byte order asked for, bytes as they are.

    Raises:
        ValueError, TypeError, struct.error: if the value is none of its VR.
    """
    value = element.value
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    # Not every iterable is one of several values: a person name is iterable too.
    values = list(value) if isinstance(value, list | tuple | MultiValue) else [value]
    vr = str(element.VR)
    if vr in NUMBER_CODES or vr == "US or SS":
        code = NUMBER_CODES.get(vr) or ("h" if min(values, default=0) < 0 else "H")
        return struct.pack(f"{'<' if little_endian else '>'}{len(values)}{code}", *values)
    if vr == "AT":
        encoded = b"".join(struct.pack("<HH", int(tag) >> 16, int(tag) & 0xFFFF) for tag in values)
        return encoded if little_endian else swap_words(encoded, vr)
    return "\\".join("" if part is None else str(part) for part in values).encode("utf_8", "replace")
