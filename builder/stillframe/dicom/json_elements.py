"""One element at a time to DICOM JSON (PS3.18 F.2), from the raw value fields that pydicom reads."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from stillframe.dicom.encapsulated import join_fragments
from stillframe.dicom.json_model import PN_GROUPS, JSONDataset
from stillframe.dicom.json_output import Output
from stillframe.dicom.known_elements import KnownElement, SharedJSON
from stillframe.dicom.lenient import Elements, RawItem, Unreadable, pydicom_at_work, raw_element
from stillframe.dicom.numbers import (
    NUMBER_CODES,
    encode_value,
    parse_number,
    swap_words,
    unpack_numbers,
    unpack_tags,
)
from stillframe.dicom.sequences import Items, SequenceValue, encoding_of, is_sequence, read_items, sequence_value
from stillframe.dicom.text import PN_DELIMITERS, UTF8, Charset, decode_text, parse_charset
from stillframe.dicom.vr import KNOWN_VRS, find_vr
from stillframe.dicom.walk import SEQUENCE_DEPTH, UNDEFINED_LENGTH, Encoding
from stillframe.errors import InputError

INLINE_BYTES: Final = 1024
VALUE_BYTES: Final = 64 * 1024
_SHORT_BYTES: Final = 64

_CHARSET: Final = "00080005"
_CHARSET_TAG: Final = BaseTag(0x00080005)
_BINARY: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_ONE_TEXT: Final = frozenset(("LT", "ST", "UR", "UT"))
# Leading spaces are significant in the others (PS3.5 6.2).
_STRIPPED: Final = frozenset(("AE", "CS", "DS", "IS", "LO", "SH", "UI"))
_PAD: Final = " \0"
# Only their first value is unsigned whatever the VR (PS3.3 C.7.6.3.1.5, C.11.1.1.1).
_LUT_DESCRIPTORS: Final = frozenset(("00281101", "00281102", "00281103", "00283002"))


# Around what is converted apart from its surroundings.
_NOTHING: Final = RawItem()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where conversion is: the data sets entered, innermost first, their character set, and the path to here."""

    datasets: tuple[Elements, ...]
    charset: Charset
    path: str
    output: Output

    def note(self, key: str, message: str) -> None:
        self.output.notes.append(f"{self.path}{key}: {message}")

    def damage(self, key: str, message: str) -> None:
        """Note what is wrong with a sequence; of one that the standard defines, the owner of a report has to know."""
        self.note(key, message)
        tags = f"{self.path}{key}".split("/")[::2]
        if not any(int(tag[:4] or "1", 16) & 1 for tag in tags):
            self.output.damaged.append(self.output.notes[-1])


def convert_dataset(datasets: tuple[Elements, ...], inherited: Charset, path: str, output: Output) -> JSONDataset:
    """Convert a data set or sequence item; `datasets` are it and those around it, innermost first."""
    if len(datasets) > SEQUENCE_DEPTH:
        raise InputError(f"sequences nest more than {SEQUENCE_DEPTH} levels deep at {path[:8]}")
    output.count(1 + len(datasets[0]))
    scope = _Scope(datasets, inherited, path, output)
    if _CHARSET_TAG in datasets[0]:
        scope = _Scope(datasets, _declared_charset(scope), path, output)
    top = len(datasets) == 1
    converted: JSONDataset = {}
    parts = 0
    for key, element in sorted([(_key_of(element, tag), element) for tag, element in datasets[0].items()]):
        shared = element.shared if isinstance(element, KnownElement) else None
        if shared is not None and (shared.charset is scope.charset or shared.charset == scope.charset):
            converted[key] = shared.converted
            parts += shared.parts
            continue
        if key[4:] == "0000" or (top and (key[:4] in ("0002", "7FE0"))) or key == "FFFCFFFC" or key[:4] == "FFFE":
            continue
        if isinstance(element, KnownElement):
            converted[key] = _convert_known(key, element, scope)
        else:
            converted[key] = _convert_element(key, element, scope)
    output.count(parts)
    for tag, text in sorted(datasets[0].notes) if isinstance(datasets[0], RawItem) else ():
        scope.note(_key(tag), text)
    if _CHARSET in converted:
        converted[_CHARSET] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return converted


def _key_of(element: RawDataElement | DataElement, tag: int) -> str:
    shared = element.shared if isinstance(element, KnownElement) else None
    return _key(int(tag)) if shared is None else shared.key


# Each key once, however many items have it.
@lru_cache(maxsize=8192)
def _key(tag: int) -> str:
    return f"{tag:08X}"


def _declared_charset(scope: _Scope) -> Charset:
    element = raw_element(scope.datasets[0], _CHARSET_TAG)
    value = None
    if isinstance(element, RawDataElement):
        value = element.value
    elif element is not None:
        with suppress(ValueError, TypeError):
            value = encode_value(element, little_endian=True)
    charset, known = parse_charset(value or b"")
    if not known:
        scope.note(_CHARSET, "unknown or misplaced Specific Character Set")
    return charset


def _convert_known(key: str, element: KnownElement, scope: _Scope) -> dict[str, Any]:
    """An element that other data sets may have; whoever gets one must not change it."""
    output = scope.output
    before, parts = _own(output), output.parts
    converted = _convert_element(key, element, scope)
    if _own(output) == before:
        element.shared = SharedJSON(key, converted, scope.charset, output.parts - parts)
    return converted


def _own(output: Output) -> tuple[int, ...]:
    """How much there is that is one instance's own: notes, bulk data, and what depends on the elements around."""
    return len(output.notes), len(output.bulk), output.inferred


def _convert_element(key: str, element: RawDataElement | DataElement, scope: _Scope) -> dict[str, Any]:
    if isinstance(element, RawDataElement) and (element.value is not None or not element.length):
        vr, value, little = element.VR, element.value, element.is_little_endian
        if len(value or b"") < element.length < UNDEFINED_LENGTH:
            scope.note(key, f"its item ends after {len(value or b'')} of the value's {element.length} bytes")
        if vr == "UN" and is_sequence(element):
            return _convert_raw_sequence(key, element, scope)
        if vr is None or vr == "UN" or vr not in KNOWN_VRS:
            return _convert_inferred(key, element, scope)
        if not value:
            return {"vr": vr}
        if vr == "SQ":
            return _convert_raw_sequence(key, element, scope)
        if element.length == UNDEFINED_LENGTH and not key.startswith("7FE0"):
            value = _join_fragments(key, value, scope, little=little)
            if not value:
                return {"vr": vr}
        return _convert_or_keep(key, vr, value, little, scope)
    return _convert_rewritten(key, scope)


def _join_fragments(key: str, value: bytes, scope: _Scope, *, little: bool) -> bytes:
    """A value of undefined length that is not pixel data, nor a sequence: its fragments as one."""
    joined = join_fragments(value, little=little)
    if joined != value:
        scope.note(key, "its value is in fragments, as only pixel data may be; they are published as one value")
    return joined


def _convert_or_keep(key: str, vr: str, value: bytes, little: bool, scope: _Scope) -> dict[str, Any]:
    """One element, or if its value does not fit its VR the same bytes as UN, and a note."""
    try:
        return _convert_value(key, vr, value, little, scope)
    except ValueError as reason:
        scope.note(key, f"not a value of VR {vr} ({reason}); its bytes are published as UN")
        return _convert_binary(key, "UN", value, True, scope)


def _convert_inferred(key: str, element: RawDataElement, scope: _Scope) -> dict[str, Any]:
    """An element whose VR has to be converted. A guess that does not fit leaves the bytes alone."""
    scope.output.inferred += 1
    vr, value = find_vr(element, scope.datasets), element.value
    if element.VR is not None and element.VR != "UN":
        scope.note(key, "its VR is none that DICOM defines")
    if not value:
        return {"vr": vr}
    if vr == "SQ":
        return _convert_raw_sequence(key, element, scope)
    if element.VR is None and not element.tag.is_private:
        return _convert_or_keep(key, vr, value, element.is_little_endian, scope)
    mark = scope.output.mark()
    try:
        converted = _convert_value(key, vr, value, element.is_little_endian, scope)
    except ValueError:
        converted = None
    if converted is None or len(scope.output.notes) > mark[1]:
        scope.output.undo(mark)
        return _convert_binary(key, "UN", value, True, scope)
    return converted


def _convert_rewritten(key: str, scope: _Scope) -> dict[str, Any]:
    """An element that pydicom has converted already, or put off reading: encode it and convert that."""
    dataset = scope.datasets[0]
    assert isinstance(dataset, Dataset)
    scope.output.inferred += 1  # pydicom may have inferred its VR, from this data set alone
    vr = "UN"
    try:
        with pydicom_at_work():
            element = dataset[int(key, 16)]
            vr = str(element.VR)
            if vr == "SQ":
                return _convert_items(key, element.value or (), scope)
            little = dataset.original_encoding[1] is not False
            value = encode_value(element, little)
            if vr not in KNOWN_VRS:
                raw = RawDataElement(element.tag, None, len(value), value, 0, True, little)
                vr = find_vr(raw, scope.datasets)
    except Unreadable as reason:
        scope.note(key, f"{reason}; it is left empty")
        return {"vr": vr if vr in KNOWN_VRS else "UN"}
    if not value:
        return {"vr": vr}
    return _convert_or_keep(key, vr, value, little, _Scope(scope.datasets, UTF8, scope.path, scope.output))


def _convert_raw_sequence(key: str, element: RawDataElement, scope: _Scope) -> dict[str, Any]:
    """A sequence; a short one whose meaning depends on nothing around it only once."""
    value: bytes | SequenceValue | Items = element.value or b""
    if not value:
        return {"vr": "SQ"}
    if isinstance(value, Items):
        return _convert_told(key, value.items, value.complaint, scope)
    if isinstance(value, SequenceValue):
        return _convert_sequence(key, value, scope)
    encoding = encoding_of(element)
    shared = None
    if len(value) <= INLINE_BYTES and not encoding.implicit:
        shared = _convert_short_sequence(value, encoding, scope.charset, len(scope.datasets))
    if shared is None:
        return _convert_sequence(key, sequence_value(value, encoding), scope)
    converted, parts = shared
    scope.output.count(parts)
    return converted


# Instances of a series, and frames of an instance, share most of their sequences, too. Whoever gets one of these must
# not change it.
@lru_cache(maxsize=256)
def _convert_short_sequence(
    value: bytes, encoding: Encoding, charset: Charset, depth: int
) -> tuple[dict[str, Any], int] | None:
    """A sequence within so many data sets, and how many elements and items it has.

    None if it leaves notes or bulk data, which are its instance's own, or if what is around decides something of it.
    """
    output = Output()
    scope = _Scope((_NOTHING,) * depth, charset, "", output)
    converted = _convert_sequence("", sequence_value(value, encoding), scope)
    return None if any(_own(output)) else (converted, output.parts)


def _convert_sequence(key: str, value: SequenceValue, scope: _Scope) -> dict[str, Any]:
    mark = scope.output.mark()
    try:
        return _convert_told(key, *read_items(value, len(scope.datasets)), scope)
    except Unreadable as cause:
        scope.output.undo(mark)
        scope.damage(key, f"as a sequence, it {cause}; its bytes are published as UN")
        return _convert_binary(key, "UN", bytes(value), True, scope)


def _convert_told(key: str, items: Iterable[Elements | None], complaint: str, scope: _Scope) -> dict[str, Any]:
    """As `_convert_items`, with a note on what is wrong with the sequence, if anything."""
    if complaint:
        scope.damage(key, complaint)
    return _convert_items(key, items, scope)


def _convert_items(key: str, items: Iterable[Elements | None], scope: _Scope) -> dict[str, Any]:
    """A sequence of these items, None being one without elements; each is let go of once it is converted."""
    converted: list[JSONDataset] = []
    for number, item in enumerate(items, 1):
        if item is None:
            scope.output.count(1)
            converted.append({})
            continue
        path = f"{scope.path}{key}/{number}/"
        converted.append(convert_dataset((item, *scope.datasets), scope.charset, path, scope.output))
    return {"vr": "SQ", "Value": converted} if converted else {"vr": "SQ"}


def _convert_value(key: str, vr: str, value: bytes, little: bool, scope: _Scope) -> dict[str, Any]:
    """One non-empty value field of a known VR.

    Raises:
        ValueError: if the bytes cannot be a value of that VR.
    """
    if vr in _BINARY:
        return _convert_binary(key, vr, value, little, scope)
    if vr in NUMBER_CODES or vr == "AT":
        if len(value) <= _SHORT_BYTES:
            return _convert_short_numbers(key, vr, value, little)
        element = _convert_numbers(key, vr, value, little)
        if len(value) > VALUE_BYTES:
            return _publish_bulk(key, vr, value if little else swap_words(value, vr), scope)
        return element
    if value.isascii() and b"\x1b" not in value:
        if len(value) <= _SHORT_BYTES:
            return _convert_short_ascii(vr, value)
        text = value.decode("ascii")
    else:
        text = _decode(key, vr, value, scope)
    if len(value) > VALUE_BYTES:
        return _publish_bulk(key, vr, text.rstrip(_PAD).encode(), scope)
    return _convert_text(vr, text)


def _convert_numbers(key: str, vr: str, value: bytes, little: bool) -> dict[str, Any]:
    numbers = unpack_numbers(value, vr, little) if vr != "AT" else unpack_tags(value, little)
    if key in _LUT_DESCRIPTORS and isinstance(numbers[0], int) and numbers[0] < 0:
        numbers[0] += 0x10000
    return {"vr": vr, "Value": numbers}


def _convert_text(vr: str, text: str) -> dict[str, Any]:
    values = _split_text(vr, text)
    return {"vr": vr} if values == [None] else {"vr": vr, "Value": values}


# Most of a series' instances say the same in most elements. Whoever gets one of these must not change it.
@lru_cache(maxsize=4096)
def _convert_short_numbers(key: str, vr: str, value: bytes, little: bool) -> dict[str, Any]:
    return _convert_numbers(key, vr, value, little)


@lru_cache(maxsize=4096)
def _convert_short_ascii(vr: str, value: bytes) -> dict[str, Any]:
    return _convert_text(vr, value.decode("ascii"))


def _decode(key: str, vr: str, value: bytes, scope: _Scope) -> str:
    delimiters = PN_DELIMITERS if vr == "PN" else b"" if vr in _ONE_TEXT else b"\\"
    text, clean = decode_text(value, scope.charset, delimiters)
    if not clean:
        scope.note(key, "text that is not in its Specific Character Set; some characters may be wrong")
    return text


def _split_text(vr: str, text: str) -> list[Any]:
    """The values of a text value field; None for an empty one (PS3.18 F.2.5)."""
    if vr in _ONE_TEXT:
        return [text.rstrip(_PAD) or None]
    parts = text.split("\\") if "\\" in text else [text]
    if vr == "PN":
        return [_person_name(part.rstrip(_PAD)) for part in parts]
    if vr in ("DS", "IS"):
        return [parse_number(part) if part else None for part in (part.strip(_PAD) for part in parts)]
    if vr in _STRIPPED:
        return [part.strip(_PAD) or None for part in parts]
    return [part.rstrip(_PAD) or None for part in parts]


def _person_name(text: str) -> dict[str, str] | None:
    """The non-empty component groups of a name (PS3.18 F.2.2); what a fourth `=` sets off stays in the last."""
    groups = zip(PN_GROUPS, text.split("=", 2), strict=False)
    return {name: group for name, group in groups if group} or None


def _convert_binary(key: str, vr: str, value: bytes, little: bool, scope: _Scope) -> dict[str, Any]:
    data = value if little else swap_words(value, vr)
    if len(data) > INLINE_BYTES:
        return _publish_bulk(key, vr, data, scope)
    return {"vr": vr, "InlineBinary": b64encode(data).decode("ascii")}


def _publish_bulk(key: str, vr: str, data: bytes, scope: _Scope) -> dict[str, Any]:
    path = scope.output.store(scope.path + key, data)
    return {"vr": vr, "BulkDataURI": f"bulkdata/{path}"}
