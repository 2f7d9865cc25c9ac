"""Replaces what is no UID by UIDs in a data set, at every depth, and records what stood there.

Values are replaced in the bytes that were read, before anything is converted: what is published of the instance, and
the whole object, follow from the same data set.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from stillframe.dicom.assigned_uids import assigned_uid, uid_of_content
from stillframe.dicom.lenient import Elements, Unreadable, raw_element, raw_text
from stillframe.dicom.original_attributes import Origin, with_origins
from stillframe.dicom.read import Instance
from stillframe.dicom.sequences import Items, all_items, encoding_of, is_sequence
from stillframe.dicom.vr import KNOWN_VRS, find_vr
from stillframe.dicom.walk import SEQUENCE_DEPTH, UNDEFINED_LENGTH, Encoding
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
        data: bytes | Items | None = None
        if vr == "UI" or (tag in _IDENTITY and not path):
            text = state.replace(tag, _text_of(element), path)
            data = None if text is None else _padded(text)
        elif vr == "SQ":
            with suppress(Unreadable):  # what is no sequence names nobody
                data = _assign_items(all_items(element, len(datasets)), datasets, state, (*path, (tag, 0)))
        if data is not None:
            # In values of VR UN items are not written as what is around them (PS3.5 6.2.2).
            encoding = encoding_of(element) if isinstance(element, RawDataElement) else state.encoding
            _put(dataset, _raw(tag, _vr_to_tell(element, data), data, encoding))
            changed = True
    return changed


def _put(dataset: Elements, element: RawDataElement) -> None:
    """Put an element in the place of another. Of a data set, pydicom would convert a private one, items and all."""
    elements = dataset._dict if isinstance(dataset, Dataset) else dataset
    elements[element.tag] = element


def _assign_items(sequence: Items, datasets: tuple[Elements, ...], state: _Assignment, path: _Path) -> Items | None:
    """A sequence with other values in its items; None if it stays."""
    changed = False
    *outer, (tag, _) = path
    for number, item in enumerate(sequence.items, 1):
        changed |= _assign_dataset((item, *datasets), state, (*outer, (tag, number)))
    return sequence if changed else None


def _vr_of(element: RawDataElement | DataElement, datasets: tuple[Elements, ...]) -> str:
    """The VR that the metadata give an element."""
    if isinstance(element, RawDataElement) and is_sequence(element):
        return "SQ"
    if isinstance(element, RawDataElement) and (element.VR == "UN" or element.VR not in KNOWN_VRS):
        return find_vr(element, datasets)
    return str(element.VR)


def _vr_to_tell(element: RawDataElement | DataElement, data: bytes | Items) -> str:
    """The VR of an element with another value. One that DICOM does not know stays, so that it is told."""
    if element.VR is not None and element.VR not in KNOWN_VRS:
        return str(element.VR)
    return "UI" if isinstance(data, bytes) else "SQ"


def _text_of(element: RawDataElement | DataElement) -> str:
    value = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return "\\".join(map(str, value)) if isinstance(value, list | MultiValue) else str(value or "")


def _padded(text: str) -> bytes:
    return (text + "\0" * (len(text) % 2)).encode("latin-1")


def _raw(tag: int, vr: str, data: bytes | Items, encoding: Encoding) -> RawDataElement:
    """An element as it would have been read; of `Items`, nobody asks for their bytes."""
    length = len(data) if isinstance(data, bytes) else UNDEFINED_LENGTH
    return RawDataElement(BaseTag(tag), vr, length, cast(bytes, data), 0, *encoding)
