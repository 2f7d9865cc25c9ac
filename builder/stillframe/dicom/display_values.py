"""Numbers that displays compute with, and which of them cannot be: spacings, places, windows, rescales.

Viewers trust them. Tried in OHIF and Cornerstone3D: a spacing of 0 or without a number shows nothing, a negative one
turns the image over; a position or an orientation that is none shows nothing; a window narrower than its function
allows shows two values the wrong way about; a slope of 0 shows one value. Without the attribute all of them show the
image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stillframe.dicom.json_model import JSONDataset, first_value

_SPACINGS: Final = {
    "00280030": "Pixel Spacing",
    "00181164": "Imager Pixel Spacing",
    "00182010": "Nominal Scanned Pixel Spacing",
}
_POSITION, _ORIENTATION = "00200032", "00200037"
_CENTRE, _WIDTH, _EXPLANATION, _FUNCTION = "00281050", "00281051", "00281055", "00281056"
_INTERCEPT, _SLOPE = "00281052", "00281053"
DISPLAY_NUMBERS: Final = frozenset((*_SPACINGS, _POSITION, _ORIENTATION, _CENTRE, _WIDTH, _INTERCEPT, _SLOPE))
"""Tags of what is looked at here."""
# The sine of the angle between rows and columns below which they are one direction.
_LEAST_SINE: Final = 1e-6
_LONGEST_VALUE: Final = 60


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An attribute by its `name` and tag, the `value` that it had, and the `reason` why that is left out."""

    name: str
    value: str
    reason: str


type Changes = dict[str, Mapping[str, Any] | None]
"""Elements in the JSON model by their tags; None in place of those that are left out."""


def leave_out_unusable(dataset: JSONDataset, rows: object, columns: object) -> tuple[Changes, list[LeftOut]]:
    """The elements of a data set or item that no display can compute with: None, or what is left of their values.

    Args:
        dataset: in the JSON model; its sequences are not looked into.
        rows: of the image, None where that is not known: a spacing of 0 may be one then.
        columns: of the image, likewise.
    """
    changes: Changes = {}
    left_out: list[LeftOut] = []

    def leave_out(tag: str, name: str, reason: str) -> None:
        changes[tag] = None
        left_out.append(LeftOut(f"{name} {_in_brackets(tag)}", _quoted(dataset[tag]), reason))

    for tag, name in _SPACINGS.items():
        values = _numbers(dataset, tag)
        if values and not _is_spacing(values, (rows, columns)):
            leave_out(tag, name, "along a side of more than one pixel it is more than 0 (PS3.3 10.7.1.3)")
    position, orientation = _numbers(dataset, _POSITION), _numbers(dataset, _ORIENTATION)
    if position and (len(position) != 3 or None in position):
        leave_out(_POSITION, "Image Position (Patient)", "it is three numbers (PS3.3 C.7.6.2.1.1)")
    if orientation and not _is_orientation(orientation):
        leave_out(_ORIENTATION, "Image Orientation (Patient)", "it is two directions (PS3.3 C.7.6.2.1.1)")
    slope, intercept = _numbers(dataset, _SLOPE), _numbers(dataset, _INTERCEPT)
    if slope and not slope[0]:
        leave_out(_SLOPE, "Rescale Slope", "it is a number other than 0 (PS3.3 C.11.1.1.2)")
    if intercept and intercept[0] is None:
        leave_out(_INTERCEPT, "Rescale Intercept", "it is a number (PS3.3 C.11.1.1.2)")
    changes |= _leave_out_windows(dataset, left_out)
    return changes, left_out


def _numbers(dataset: JSONDataset, tag: str) -> list[float | None]:
    """The values of an attribute; None for what is no finite number. Some are text, since no double holds them."""
    return [_number(value) for value in dataset.get(tag, {}).get("Value", ())]


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number is told by the exception
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_spacing(values: Sequence[float | None], sides: tuple[object, object]) -> bool:
    """Whether the distances between rows and between columns can be: 0 along a side of one pixel is allowed."""
    if len(values) < 2:
        return False
    return all(
        value is not None and (value > 0 or (value == 0 and (side is None or side == 1)))
        for value, side in zip(values, sides, strict=False)
    )


def _is_orientation(values: Sequence[float | None]) -> bool:
    """Whether six numbers are two directions, of whatever length, that are not one."""
    numbers = [value for value in values if value is not None]
    if len(values) != 6 or len(numbers) != 6:
        return False
    row, column = numbers[:3], numbers[3:]
    lengths = math.hypot(*row) * math.hypot(*column)
    across = math.hypot(*(row[a] * column[b] - row[b] * column[a] for a, b in ((1, 2), (2, 0), (0, 1))))
    return 0 < lengths < math.inf and across > _LEAST_SINE * lengths


def _leave_out_windows(dataset: JSONDataset, left_out: list[LeftOut]) -> Changes:
    """What is left of several windows without those that cannot be; of one, or of uneven numbers, nothing."""
    centres, widths = _numbers(dataset, _CENTRE), _numbers(dataset, _WIDTH)
    function = first_value(dataset, _FUNCTION)
    exact = function in ("LINEAR_EXACT", "SIGMOID")
    usable = [
        centre is not None and width is not None and (width > 0 if exact else width >= 1)
        for centre, width in zip(centres, widths, strict=False)
    ]
    if not usable or (all(usable) if len(centres) == len(widths) else usable[0]):
        return {}
    reason = f"they are numbers, and the width is {'more than 0' if exact else 'at least 1'} (PS3.3 C.11.2.1.2)"
    window = f"{_quoted(dataset[_CENTRE])}, {_quoted(dataset[_WIDTH])}"
    name = f"Window Center {_in_brackets(_CENTRE)}, Width {_in_brackets(_WIDTH)}"
    if _EXPLANATION in dataset:
        name += f" and Explanation {_in_brackets(_EXPLANATION)}"
    left_out.append(LeftOut(name, window, reason))
    changes: Changes = {}
    for tag in (_CENTRE, _WIDTH, _EXPLANATION):
        values = dataset.get(tag, {}).get("Value", ())
        if len(values) == len(usable) == len(centres) and any(usable):
            kept = [value for value, stays in zip(values, usable, strict=True) if stays]
            changes[tag] = dict(dataset[tag]) | {"Value": kept}
        elif tag != _EXPLANATION or not any(usable):
            changes[tag] = None
    return {tag: element for tag, element in changes.items() if tag in dataset}


def _in_brackets(tag: str) -> str:
    return f"({tag[:4]},{tag[4:]})"


def _quoted(element: Mapping[str, Any]) -> str:
    """The values as a data set has them, on one line: the record keeps a line for each note."""
    text = "\\".join("" if value is None else str(value) for value in element["Value"])
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
