"""What a kind of object is to these tests: the files it is made of, and what must be seen of it, opened how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from tests.e2e.rendering import Picture, grid

ADDRESS: Final = "address"
"""By the study's address: the first series is shown."""
SERIES: Final = "series"
"""By the study's address, and then a double click on a series."""
LIST: Final = "list"
"""From the list of studies, by search and click."""
MPR: Final = "mpr"
"""By the study's address, and then as three orthogonal planes."""
MICROSCOPY: Final = "microscopy"
"""By the address of the microscopy viewer."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Something that must be seen.

    Pictures are compared cell by cell: the mean difference of the cells must be at most `tolerance` of 255 and the
    correlation at least `correlation`. `aspect` is width through height of what is drawn.
    """

    sort: str
    pictures: Sequence[Picture] = ()
    aspects: Sequence[float] = ()
    mask: Any = None
    words: Sequence[str] = ()
    numbers: Sequence[float] = ()
    tolerance: float = 6.0
    correlation: float = 0.98

    def to_json(self) -> dict[str, object]:
        """What looks.mjs takes: pictures and mask as means of cells."""
        return {
            "sort": self.sort,
            "grids": [grid(picture) for picture in self.pictures],
            "aspects": list(self.aspects),
            "mask": None if self.mask is None else [[cell[0] for cell in row] for row in grid(self.mask)],
            "words": list(self.words),
            "numbers": list(self.numbers),
            "tolerance": self.tolerance,
            "correlation": self.correlation,
        }


def picture(*drawn: Picture, aspects: Sequence[float] = (), **others: Any) -> Look:
    """A picture on a canvas, or several beside each other; pixels are square unless `aspects` say otherwise."""
    square = [image.shape[1] / image.shape[0] for image in drawn]
    return Look(sort="picture", pictures=drawn, aspects=aspects or square, **others)


def text(*words: str) -> Look:
    """Words that can be read in the viewport."""
    return Look(sort="text", words=words)


@dataclass(frozen=True, kw_only=True)
class View:
    """A way to open a study, and what must be seen then. `series` is the description of the one to double-click."""

    opened: str = ADDRESS
    look: Look
    series: str = ""
    typed: str = ""
    """What is typed into the search field of the list."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The objects of a study, how OHIF is made to show them, and which of them the page of Cornerstone3D shows."""

    datasets: Sequence[Dataset]
    views: Sequence[View]
    instance: int = 0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A row of the table.

    `core` belongs to what every change has to pass, `hosts` is opened from every kind of host, and `page` in the page
    of Cornerstone3D, too, which shows images alone.
    """

    name: str
    make: Callable[[], Made]
    core: bool = False
    hosts: bool = False
    page: bool = True

    @property
    def key(self) -> str:
        """Its name in file names."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return "-".join(words.split())
