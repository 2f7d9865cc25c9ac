"""Replaces what is no UID by UIDs in a data set, at every depth, and records what stood there.

Values are replaced in the bytes that were read, before anything is converted: what is published of the instance, and
the whole object, follow from the same data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from stillframe.dicom.assigned_uids import assigned_uid, uid_of_content
from stillframe.dicom.lenient import Elements, Unreadable, raw_element, raw_text
from stillframe.dicom.original_attributes import Origin, with_origins
from stillframe.dicom.read import Instance
from stillframe.dicom.sequences import SequenceValue, read_item, read_items, sequence_value
from stillframe.dicom.vr import KNOWN_VRS, find_vr
from stillframe.dicom.walk import SEQUENCE_DEPTH, Encoding, Odd
from stillframe.dicom.write import dataset_bytes, item_bytes
from stillframe.errors import InputError

_SOP_INSTANCE: Final = 0x00080018
_IDENTITY: Final = frozenset((0x0020000D, 0x0020000E, _SOP_INSTANCE))
# UIDs of things that DICOM or others define: classes, transfer syntaxes, coding schemes. A new one would name nothing.
_DEFINED: Final = frozenset(
    (0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x00080117, 0x00080118, 0x00081150, 0x0008115A)
) | {0x00083002, 0x04000010, 0x00041510, 0x00041512, 0x0004151A}
_NOTES: Final = 100
_SHOWN: Final = 80


type _Path = tuple[tuple[int, int], ...]
"""The items around an element, the outermost first: each by the tag of its sequence, and its number."""


@dataclass(slots=True)
class _Assignment:
    """UIDs by what stood in their place, and where each of these was met first; `encoding` is that of the data set."""

    encoding: Encoding
    former: dict[str, str] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)

    def replace(self, tag: int, value: str, path: _Path) -> str | None:
        """The text of an element with UIDs in place of what is none; None if all are UIDs."""
        if tag in _DEFINED:
            return None
        old = [value.strip("\0 ")] if tag in _IDENTITY and not path else [v.strip("\0 ") for v in value.split("\\")]
        new = [assigned_uid(text) for text in old]
        for number, (before, after) in enumerate(zip(old, new, strict=True), 1):
            if before != after and before not in self.former:
                self.former[before] = after
                self.origins.append(Origin(tag=tag, value=before, number=number, path=path))
        return "\\".join(new) if new != old else None


def assign_uids(instance: Instance, digest: Callable[[], str]) -> None:
    """Give an instance UIDs in place of what is none, and of a SOP Instance UID that is missing.

    Only the data set changes. `former_uids` tells of it, and so does Original Attributes Sequence (PS3.3 C.12.1).

    Args:
        instance: the instance.
        digest: makes the digest of the file that it was read from.

    Raises:
        InputError: if sequences nest too deep, or hold too much.
    """
    dataset = instance.dataset
    implicit, little = dataset.original_encoding
    state = _Assignment(Encoding(bool(implicit), bool(little)))
    _assign_dataset((dataset,), state, ())
    if not raw_text(dataset, _SOP_INSTANCE):
        uid = uid_of_content(digest())
        dataset[_SOP_INSTANCE] = _raw(_SOP_INSTANCE, "UI", _padded(uid), state.encoding)
        instance.former_uids[""] = uid
    if state.origins:
        with_origins(dataset, state.origins)
    instance.former_uids |= state.former


def notes_on_uids(instance: Instance) -> tuple[str, ...]:
    """What the report says of UIDs that were replaced."""
    former = instance.former_uids
    notes = [f"{old[:_SHOWN]!r} is not a valid UID; it is published as {new}" for old, new in former.items() if old]
    if "" in former:
        notes.insert(0, f"has no SOPInstanceUID; {former['']} follows from the bytes of the file")
    return (*notes[:_NOTES], *([f"and {len(notes) - _NOTES} more UIDs"] if len(notes) > _NOTES else []))


def _assign_dataset(datasets: tuple[Elements, ...], state: _Assignment, path: _Path) -> bool:
    """Replace values in a data set or an item, the first of those that are around it; whether any was."""
    if len(path) > SEQUENCE_DEPTH:
        raise InputError(f"sequences nest more than {SEQUENCE_DEPTH} levels deep")
    dataset, changed = datasets[0], False
    for tag in sorted(dataset.keys(), key=lambda tag: tag not in _IDENTITY):  # their own place is the one that is told
        element = raw_element(dataset, tag)
        if element is None:
            continue
        vr = _vr_of(element, datasets)
        data: bytes | None = None
        if vr == "UI" or (tag in _IDENTITY and not path):
            text = state.replace(tag, _text_of(element), path)
            data = None if text is None else _padded(text)
        elif vr == "SQ":
            with suppress(Unreadable):  # what is no sequence names nobody
                data = _assign_items(_items_of(element, len(datasets)), datasets, state, (*path, (tag, 0)))
        if data is not None:
            dataset[tag] = _raw(tag, "SQ" if vr == "SQ" else "UI", data, state.encoding)
            changed = True
    return changed


def _assign_items(
    items: list[Elements], datasets: tuple[Elements, ...], state: _Assignment, path: _Path
) -> bytes | None:
    """The value field of a sequence with other values in its items; None if it stays."""
    changed = False
    *outer, (tag, _) = path
    for number, item in enumerate(items, 1):
        changed |= _assign_dataset((item, *datasets), state, (*outer, (tag, number)))
    if not changed:
        return None
    return b"".join(item_bytes(dataset_bytes((item, *datasets), state.encoding), state.encoding) for item in items)


def _vr_of(element: RawDataElement | DataElement, datasets: tuple[Elements, ...]) -> str:
    """The VR that the metadata give an element."""
    if isinstance(element, RawDataElement) and (element.VR == "UN" or element.VR not in KNOWN_VRS):
        return find_vr(element, datasets)
    return str(element.VR)


def _items_of(element: RawDataElement | DataElement, depth: int) -> list[Elements]:
    """The items of a sequence, their elements as they were read.

    Raises:
        Unreadable: if nothing can make anything of them.
        InputError: if they nest too deep, or are too many.
    """
    value: SequenceValue | bytes | Iterable[Elements] = element.value or b""
    if not isinstance(value, bytes | SequenceValue):
        return list(value)
    found = value if isinstance(value, SequenceValue) else sequence_value(value, _encoding_of(element))
    try:
        spans = zip(*found.find_items(depth), strict=True)
        return [read_item(found.walker, start, end) if end > start else Dataset() for start, end in spans]
    except Odd:
        return [*read_items(bytes(found), found.walker.encoding)[0]]


def _encoding_of(element: RawDataElement | DataElement) -> Encoding:
    assert isinstance(element, RawDataElement)  # only such a value is bytes
    return Encoding(element.is_implicit_VR, element.is_little_endian)


def _text_of(element: RawDataElement | DataElement) -> str:
    value = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return "\\".join(map(str, value)) if isinstance(value, list | MultiValue) else str(value or "")


def _padded(text: str) -> bytes:
    return (text + "\0" * (len(text) % 2)).encode("latin-1")


def _raw(tag: int, vr: str, data: bytes, encoding: Encoding) -> RawDataElement:
    """An element as it would have been read."""
    return RawDataElement(BaseTag(tag), vr, len(data), data, 0, *encoding)
