"""Metadata in the form that viewers show: what they say is the same, but for what a note names.

Tried in OHIF and Cornerstone3D: with a VOI LUT Function they show nothing, LINEAR too, which holds without it; a
segmented palette is an error, the table that it stands for is not.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stillframe.dicom.display_values import DISPLAY_NUMBERS, Changes, LeftOut, leave_out_unusable
from stillframe.dicom.json_elements import INLINE_BYTES
from stillframe.dicom.json_model import BulkValue, JSONDataset, first_value
from stillframe.dicom.palettes import SEGMENTED_TABLES, expand_palette, segmented_tag

_VOI_FUNCTION: Final = "00281056"
_ROWS, _COLUMNS = "00280010", "00280011"
# Original Attributes and Modified Attributes Sequence: what stood there before, valid or not.
_HISTORY: Final = frozenset({"04000561", "04000550"})
# Each may grow from some 20 bytes to 512 KB, and an image has one or two. The rest of more of them stays as it is.
_MOST_PALETTES: Final = 32
_LOOKED_AT: Final = DISPLAY_NUMBERS | SEGMENTED_TABLES | {_VOI_FUNCTION, _ROWS, _COLUMNS}


@dataclass(frozen=True, slots=True)
class ViewerForm:
    """A data set in the form that viewers show, the values too large for it, and what its owner should know."""

    dataset: JSONDataset
    bulk: tuple[BulkValue, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Around:
    """What the data sets around an item say: the size of the image, and whether a window is not linear."""

    rows: Any = None
    columns: Any = None
    other_function: bool = False


def in_viewer_form(dataset: JSONDataset, bulk: Sequence[BulkValue] = ()) -> ViewerForm:
    """A data set in the JSON model in the form that viewers show, at every depth.

    Args:
        dataset: it is not changed. Where nothing changes, the result is the same object.
        bulk: the values that left it. A segmented palette whose data are not among them stays as it is.
    """
    conversion = _Conversion({value.path: value.data for value in bulk}, {value.data: value.path for value in bulk})
    converted = conversion.convert(dataset, _Around())
    return ViewerForm(converted, conversion.remaining(converted, bulk), conversion.notes())


@dataclass(slots=True)
class _Conversion:
    """One data set under way; `bulk` are its values by path, `stored` their paths."""

    bulk: dict[str, bytes]
    stored: dict[bytes, str]
    _place: list[str] = field(default_factory=list)
    _added: dict[bytes, str] = field(default_factory=dict)
    _palettes: int = 0
    _expanded: bool = False
    _left_out: dict[str, tuple[LeftOut, int]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def convert(self, dataset: JSONDataset, around: _Around) -> JSONDataset:
        """A data set or item; the same object if nothing in it changes. Slides have millions of items."""
        changes: Changes = {}
        if not _LOOKED_AT.isdisjoint(dataset):
            around = _Around(
                first_value(dataset, _ROWS) or around.rows,
                first_value(dataset, _COLUMNS) or around.columns,
                around.other_function or first_value(dataset, _VOI_FUNCTION) not in (None, "LINEAR"),
            )
            changes = self._own_changes(dataset, around)
        for tag, element in dataset.items():
            if element["vr"] == "SQ" and "Value" in element and tag not in _HISTORY:
                items = self._items(tag, element["Value"], around)
                if items is not None:
                    changes[tag] = element | {"Value": items}
        if not changes:
            return dataset
        merged: dict[str, Any] = dataset | changes
        return {tag: merged[tag] for tag in sorted(merged) if merged[tag] is not None}

    def _items(self, tag: str, items: list[JSONDataset], around: _Around) -> list[JSONDataset] | None:
        """The items of a sequence; None if nothing in them changes."""
        self._place += (tag, "")
        converted, changed = [], False
        for number, item in enumerate(items, 1):
            self._place[-1] = str(number)
            new = self.convert(item, around)
            changed |= new is not item
            converted.append(new)
        del self._place[-2:]
        return converted if changed else None

    def _own_changes(self, dataset: JSONDataset, around: _Around) -> Changes:
        """What changes of a data set or item beside its sequences; None in place of what is left out."""
        changes, left_out = leave_out_unusable(dataset, around.rows, around.columns)
        for value in left_out:
            first, count = self._left_out.get(value.name, (value, 0))
            self._left_out[value.name] = first, count + 1
        if dataset.get(_VOI_FUNCTION, {}).get("Value") == ["LINEAR"] and not around.other_function:
            changes[_VOI_FUNCTION] = None
        return changes | self._palette(dataset)

    def _palette(self, dataset: JSONDataset) -> Changes:
        """The tables of a segmented palette in its place."""
        if SEGMENTED_TABLES.isdisjoint(dataset):
            return {}
        self._palettes += 1
        if self._palettes > _MOST_PALETTES:
            return {}
        path = "".join(f"{part}/" for part in self._place)
        tables, notes = expand_palette(dataset, self.bulk)
        self._notes += [f"{path}{note}" for note in notes]
        self._expanded |= bool(tables)
        changes: Changes = {segmented_tag(tag): None for tag in tables}
        for tag, data in tables.items():
            if len(data) > INLINE_BYTES:
                stored = self.stored.get(data) or self._added.setdefault(data, f"{path}{tag}")
                changes[tag] = {"vr": "OW", "BulkDataURI": f"bulkdata/{stored}"}
            else:
                changes[tag] = {"vr": "OW", "InlineBinary": b64encode(data).decode("ascii")}
        return changes

    def remaining(self, dataset: JSONDataset, bulk: Sequence[BulkValue]) -> tuple[BulkValue, ...]:
        """The values that the converted data set names, those of expanded palettes among them."""
        if not self._expanded:
            return tuple(bulk)
        named = set(_named_paths(dataset))
        added = [BulkValue(path, data) for data, path in self._added.items()]
        return tuple(value for value in (*bulk, *added) if value.path in named)

    def notes(self) -> tuple[str, ...]:
        """What was left out, each attribute once with the first of its values, and what was odd in palettes."""
        left_out = []
        for value, count in self._left_out.values():
            others = f", and {count - 1} more of them" if count > 1 else ""
            left_out.append(f"{value.name} {value.value} is left out{others}: {value.reason}")
        if self._palettes > _MOST_PALETTES:
            first = f"the first {_MOST_PALETTES} are expanded, the others stay as they are"
            return (*left_out, *self._notes, f"of {self._palettes} segmented palettes {first}")
        return (*left_out, *self._notes)


def _named_paths(dataset: JSONDataset) -> Iterator[str]:
    """The paths below `bulkdata/` that a data set names, at every depth."""
    for element in dataset.values():
        if "BulkDataURI" in element:
            yield str(element["BulkDataURI"]).removeprefix("bulkdata/")
        elif element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from _named_paths(item)
