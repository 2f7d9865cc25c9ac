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
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from stillframe.dicom.assigned_uids import assigned_uid, uid_of_content
from stillframe.dicom.lenient import Unreadable, raw_element, raw_text
from stillframe.dicom.original_attributes import Origin, with_origins
from stillframe.dicom.read import Instance
from stillframe.dicom.sequences import read_items
from stillframe.dicom.vr import dictionary_vr
from stillframe.dicom.walk import UNDEFINED_LENGTH, Encoding, Odd, Walker
from stillframe.dicom.write import element_head, item_bytes

_SOP_INSTANCE: Final = 0x00080018
_IDENTITY: Final = frozenset((0x0020000D, 0x0020000E, _SOP_INSTANCE))
# UIDs of things that DICOM or others define: classes, transfer syntaxes, coding schemes. A new one would name nothing.
_DEFINED: Final = frozenset(
    (0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x00080117, 0x00080118, 0x00081150, 0x0008115A)
) | {0x00083002, 0x04000010, 0x00041510, 0x00041512, 0x0004151A}
_NOTES: Final = 100


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
        InputError: if the elements cannot be written.
    """
    dataset = instance.dataset
    implicit, little = dataset.original_encoding
    state = _Assignment(Encoding(bool(implicit), bool(little)))
    _assign_dataset(dataset, state, ())
    if not raw_text(dataset, _SOP_INSTANCE):
        uid = uid_of_content(digest())
        dataset[_SOP_INSTANCE] = _raw(_SOP_INSTANCE, uid, state.encoding)
        instance.former_uids[""] = uid
    if state.origins:
        with_origins(dataset, state.origins)
    instance.former_uids |= state.former


def notes_on_uids(instance: Instance) -> tuple[str, ...]:
    """What the report says of UIDs that were replaced."""
    former = instance.former_uids
    notes = [f"{old!r} is no UID; {new} stands for it" for old, new in former.items() if old]
    if "" in former:
        notes.insert(0, f"has no SOPInstanceUID; {former['']} follows from the bytes of the file")
    return (*notes[:_NOTES], *([f"and {len(notes) - _NOTES} more UIDs"] if len(notes) > _NOTES else []))


def _assign_dataset(dataset: Dataset, state: _Assignment, path: _Path) -> bool:
    """Replace values in a data set or an item; whether any was."""
    changed = False
    for tag in sorted(dataset.keys(), key=lambda tag: tag not in _IDENTITY):  # their own place is the one that is told
        element = raw_element(dataset, tag)
        if isinstance(element, RawDataElement):
            with suppress(Unreadable):  # what is no sequence names nobody
                new = _assign_raw(element, state, path)
                if new is not None:
                    dataset[tag] = new
                    changed = True
        elif element is not None and element.VR == "SQ":
            changed |= _assign_items(element.value or (), tag, state, path)
        elif element is not None and element.VR == "UI":
            values = element.value if isinstance(element.value, list) else [element.value or ""]
            text = state.replace(tag, "\\".join(map(str, values)), path)
            if text is not None:
                dataset[tag] = _raw(tag, text, state.encoding)
                changed = True
    return changed


def _assign_items(items: Iterable[Dataset], tag: int, state: _Assignment, path: _Path) -> bool:
    changed = False
    for number, item in enumerate(items, 1):
        changed |= _assign_dataset(item, state, (*path, (tag, number)))
    return changed


def _assign_raw(element: RawDataElement, state: _Assignment, path: _Path) -> RawDataElement | DataElement | None:
    """The element with other values; None if it stays."""
    tag, value = int(element.tag), element.value
    if not value:
        return None
    vr = dictionary_vr(tag) if element.VR in (None, "UN") else element.VR
    if vr == "UI" or (tag in _IDENTITY and not path):
        text = state.replace(tag, bytes(value).decode("latin-1"), path)
        return None if text is None else _raw(tag, text, state.encoding)
    if vr != "SQ" or element.VR == "UN":
        return None
    try:
        data = _rewrite_items(Walker(value, state.encoding), (0, len(value)), state, (*path, (tag, 0)))
    except Odd:
        items, _ = read_items(value, state.encoding)
        return DataElement(tag, "SQ", Sequence(items)) if _assign_items(items, tag, state, path) else None
    return None if data is None else element._replace(value=data, length=len(data))


def _rewrite_items(walker: Walker, span: tuple[int, int], state: _Assignment, path: _Path) -> bytes | None:
    """The items of a sequence with other values, all of known length; None if they stay.

    Raises:
        Odd: if they are not well formed.
    """
    pieces, changed = [], False
    *outer, (tag, _) = path
    for number, (start, end) in enumerate(walker.items(*span, len(path)), 1):
        content = _rewrite_elements(walker, (start, end), state, (*outer, (tag, number)))
        changed |= content is not None
        pieces.append(item_bytes(walker.data[start:end] if content is None else content, walker.encoding))
    return b"".join(pieces) if changed else None


def _rewrite_elements(walker: Walker, span: tuple[int, int], state: _Assignment, path: _Path) -> bytes | None:
    pieces, changed = [], False
    for begin, tag, vr, offset, length in walker.elements(*span, len(path)):
        if length == UNDEFINED_LENGTH:
            raise Odd("a value of undefined length")
        end = offset + length
        new: bytes | None = None
        if vr == "UI" or (vr is None and dictionary_vr(tag) == "UI"):
            text = state.replace(tag, walker.data[offset:end].decode("latin-1"), path)
            new = None if text is None else _padded(text)
        elif vr == "SQ" or (vr is None and dictionary_vr(tag) == "SQ"):
            new = _rewrite_items(walker, (offset, end), state, (*path, (tag, 0)))
        if new is None:
            pieces.append(walker.data[begin:end])
        else:
            pieces += [element_head(tag, vr or "", len(new), walker.encoding), new]
            changed = True
    return b"".join(pieces) if changed else None


def _padded(text: str) -> bytes:
    return (text + "\0" * (len(text) % 2)).encode("latin-1")


def _raw(tag: int, text: str, encoding: Encoding) -> RawDataElement:
    """An element of VR UI as it would have been read."""
    data = _padded(text)
    return RawDataElement(BaseTag(tag), None if encoding.implicit else "UI", len(data), data, 0, *encoding)
