"""What is gathered while a data set becomes JSON, beside the JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from stillframe.dicom.json_model import BulkValue
from stillframe.dicom.walk import MAX_PARTS, too_many_parts


@dataclass(slots=True)
class Output:
    """What leaves the JSON while a data set is converted: bulk data, and notes for the owner of the images.

    `parts` are the elements and items met so far, `damaged` the places of public sequences that are not whole, and what
    is wrong with them. `inferred` counts the elements that do not say their VR: what is around may decide it.
    """

    bulk: list[BulkValue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parts: int = 0
    damaged: list[str] = field(default_factory=list)
    inferred: int = 0
    _stored: dict[bytes, str] = field(default_factory=dict)

    def store(self, path: str, data: bytes) -> str:
        """The path under which a value is stored: its own, or that of an equal one before it."""
        stored = self._stored.setdefault(data, path)
        if stored == path:
            self.bulk.append(BulkValue(path, data))
        return stored

    def count(self, parts: int) -> None:
        """Count elements and items.

        Raises:
            InputError: if they have become too many.
        """
        self.parts += parts
        if self.parts > MAX_PARTS:
            raise too_many_parts()

    def mark(self) -> tuple[int, int]:
        """How many values and notes there are, for `undo`."""
        return len(self.bulk), len(self.notes)

    def undo(self, mark: tuple[int, int]) -> None:
        """Take back the values and notes that came after a mark."""
        bulk, notes = mark
        for value in self.bulk[bulk:]:
            del self._stored[value.data]
        del self.bulk[bulk:]
        del self.notes[notes:]
