"""From stored samples to what a display shows, 8 bits a channel: the grayscale pipeline of PS3.3 C.11 and PS3.4 N.2.

Modality LUT or rescale, VOI LUT or window, inversion; palettes; reduction by area averaging. Arrays in, arrays out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

type Image = npt.NDArray[np.uint8]

# Samples are mapped and averaged in bands of so many, to keep the intermediate values few.
_BAND: Final = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A LUT (PS3.3 C.11.1.1): `entries` for the inputs from `first` on, each of `bits` bits."""

    first: int
    entries: npt.NDArray[np.uint16]
    bits: int

    def look_up(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        """The entries for some inputs; those before the first or past the last map to the entry at that end."""
        indices = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        entries: npt.NDArray[np.uint16] = self.entries[indices.astype(np.intp)]
        return entries


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """The inputs up to `low` are dark, from `high` on bright, and linear between: a window, or a range of values."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """A window with VOI LUT Function SIGMOID (PS3.3 C.11.2.1.3.1)."""

    centre: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How the frames of an image are to be shown.

    `bits` is Bits Stored. `stored_range` are the stored samples between which a display without a window shows all,
    if that is not the frame's own least and greatest; `padding` are the stored samples, both ends included, that are
    no part of the image (PS3.3 C.7.5.1.1.2). `spacing` is the height and the width of a pixel, in any unit.
    """

    bits: int
    modality: LookupTable | Rescale = Rescale()
    voi: LookupTable | Ramp | Sigmoid | None = None
    stored_range: tuple[float, float] | None = None
    inverted: bool = False
    palette: tuple[LookupTable, LookupTable, LookupTable] | None = None
    padding: tuple[float, float] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    @property
    def needs_extent(self) -> bool:
        """Whether the least and the greatest sample of a grey frame decide what is shown."""
        return self.voi is None and self.palette is None and self.stored_range is None


def linear_window(centre: float, width: float, function: str = "LINEAR") -> Ramp | Sigmoid | None:
    """A window by its VOI LUT Function (PS3.3 C.11.2.1.2, C.11.2.1.3); None where its width is not allowed."""
    if width < 1 if function == "LINEAR" else width <= 0:
        return None
    match function:
        case "SIGMOID":
            return Sigmoid(centre, width)
        case "LINEAR_EXACT":
            return Ramp(centre - width / 2, centre + width / 2)
        case _:
            return Ramp(centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def settle_window(display: Display, frame: npt.NDArray[Any]) -> Display:
    """The display with a window in any case: without one, all of the frame's values that are not padding show.

    `frame` is at full resolution. Grey samples are meant; of others the display stays as it is.
    """
    if display.voi is not None or display.palette is not None or frame.ndim > 2:
        return display
    low, high = display.stored_range or _sample_extent(frame, display.padding)
    modality = display.modality
    if isinstance(modality, LookupTable):
        last = len(modality.entries) - 1
        ends = [int(np.clip(value - modality.first, 0, last)) for value in (low, high)]
        part = modality.entries[ends[0] : ends[1] + 1]
        return replace(display, voi=Ramp(float(part.min()), float(part.max())))
    dark, bright = sorted(value * modality.slope + modality.intercept for value in (low, high))
    if not math.isfinite(bright - dark):  # a rescale that leads out of the numbers is none
        return replace(display, modality=Rescale(), voi=Ramp(low, high))
    return replace(display, voi=Ramp(dark, bright))


def _sample_extent(frame: npt.NDArray[Any], padding: tuple[float, float] | None) -> tuple[float, float]:
    """The least and the greatest sample; what is not a number, or padding, does not count."""
    kept = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
    if padding is not None:
        inside = kept[(kept < padding[0]) | (kept > padding[1])]
        kept = inside if inside.size else kept
    return (float(kept.min()), float(kept.max())) if kept.size else (0.0, 1.0)


def render_frame(frame: npt.NDArray[Any], display: Display) -> Image:
    """A frame as it is shown, at its own size.

    Args:
        frame: (rows, columns) of integers or floats, or (rows, columns, 3) of unsigned RGB.
        display: with a window, as `settle_window` returns it, for grey samples.

    Returns:
        (rows, columns), or (rows, columns, 3) of colour and of palettes.
    """
    if frame.ndim == 3:
        return _render_colour(frame, display.bits)
    if display.palette is not None:
        return _render_palette(frame, display.palette)
    return _render_grey(frame, display)


def _bands(frame: npt.NDArray[Any]) -> Iterator[slice]:
    """The rows of a frame in bands of about `_BAND` samples."""
    rows = max(1, _BAND * frame.shape[0] // max(1, frame.size))
    return (slice(start, start + rows) for start in range(0, frame.shape[0], rows))


def _render_colour(frame: npt.NDArray[Any], bits: int) -> Image:
    if bits == 8 and frame.dtype == np.uint8:
        return frame
    shown = np.empty(frame.shape, np.uint8)
    for band in _bands(frame):
        samples = frame[band]
        shown[band] = samples >> (bits - 8) if bits >= 8 else samples.astype(np.uint16) * 255 // ((1 << bits) - 1)
    return shown


def _render_palette(frame: npt.NDArray[Any], palette: tuple[LookupTable, LookupTable, LookupTable]) -> Image:
    """Through one table of colours, from the first input of any channel to the last."""
    low = min(table.first for table in palette)
    high = max(table.first + len(table.entries) - 1 for table in palette)
    inputs = np.arange(low, high + 1)
    colours = np.stack([_eight_bits(table.look_up(inputs), table.bits) for table in palette], axis=-1)
    shown = np.empty((*frame.shape, 3), np.uint8)
    for band in _bands(frame):
        shown[band] = colours[np.clip(frame[band].astype(np.int64), low, high) - low]
    return shown


def _eight_bits(entries: npt.NDArray[np.uint16], bits: int) -> Image:
    shift = bits - 8
    return (entries >> shift if shift > 0 else entries << -shift).astype(np.uint8)


def _render_grey(frame: npt.NDArray[Any], display: Display) -> Image:
    """Through a table of the values that occur, where that is shorter than the frame; else value by value."""
    shown = np.empty(frame.shape, np.uint8)
    if frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
        low, high = int(frame.min()), int(frame.max())
        if high - low < frame.size:
            table = _shown(np.arange(low, high + 1, dtype=np.float64), display)
            for band in _bands(frame):
                shown[band] = table[frame[band].astype(np.intp) - low]
            return shown
    for band in _bands(frame):
        shown[band] = _shown(frame[band].astype(np.float64), display)
    return shown


def _shown(values: npt.NDArray[np.float64], display: Display) -> Image:
    """What stored values look like, from 0 to 255."""
    with np.errstate(all="ignore"):
        modality, voi = display.modality, display.voi
        if isinstance(modality, LookupTable):
            values = modality.look_up(np.nan_to_num(values)).astype(np.float64)
        elif modality != Rescale():
            values = values * modality.slope + modality.intercept
        match voi:
            case LookupTable():
                brightness = voi.look_up(np.nan_to_num(values)) / ((1 << voi.bits) - 1)
            case Sigmoid(centre, width):
                brightness = 1 / (1 + np.exp(-4 * (values - centre) / width))
            case Ramp(low, high) if high > low:
                brightness = np.clip((values - low) / (high - low), 0, 1)
            case Ramp(low, _):
                brightness = (values > low).astype(np.float64)
            case None:
                raise ValueError("a grey frame needs a window")
        if display.inverted:
            brightness = 1 - brightness
        return (np.nan_to_num(brightness) * 255 + 0.5).astype(np.uint8)


def fit_size(rows: int, columns: int, spacing: tuple[float, float], longest: int) -> tuple[int, int]:
    """Height and width of an image with square pixels whose longest side is at most `longest`, never enlarged.

    Where pixels are not square, the direction with the larger ones keeps them and the other is reduced.
    """
    largest = max(spacing)
    height, width = rows * (spacing[0] / largest), columns * (spacing[1] / largest)
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduce_image(image: Image, height: int, width: int) -> Image:
    """The image at a smaller size, each pixel the mean of the area it covers; at the same size the image itself.

    Raises:
        ValueError: if that would enlarge it.
    """
    if height > image.shape[0] or width > image.shape[1]:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} cannot become {width} x {height}")
    if image.shape[:2] == (height, width):
        return image
    reduced = np.empty((height, width, *image.shape[2:]), np.uint8)
    rows = max(1, _BAND * height // image.size)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        means = _average(_average_rows(image, height, top, bottom), width, 1, 0, width)
        reduced[top:bottom] = means + 0.5
    return reduced


def _average_rows(image: Image, height: int, top: int, bottom: int) -> npt.NDArray[Any]:
    """Some rows of the image at another height, made of a part of their samples at a time where they cover many."""
    lines = image.reshape(image.shape[0], -1)
    width = max(1, _BAND * height // (image.shape[0] * (bottom - top)))
    parts = [
        _average(lines[:, left : left + width], height, 0, top, bottom) for left in range(0, lines.shape[1], width)
    ]
    means = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return means.reshape(bottom - top, *image.shape[1:])


def _average(image: npt.NDArray[Any], count: int, axis: int, start: int, stop: int) -> npt.NDArray[Any]:
    """Means over `count` equal stretches of an axis, of which those from `start` to `stop` are made.

    A sample that two stretches share counts in parts.
    """
    length = image.shape[axis]
    if count == length:
        return image[start:stop] if axis == 0 else image[:, start:stop]
    bounds = np.arange(start, stop + 1) * (length / count)
    if stop == count:
        bounds[-1] = length
    firsts = bounds[:-1].astype(np.intp)
    lasts = np.minimum(bounds[1:].astype(np.intp), length - 1)
    begin, end = int(firsts[0]), int(bounds[-1])
    covered = image[begin:end] if axis == 0 else image[:, begin:end]
    kind = np.uint32 if image.dtype == np.uint8 else np.float64
    sums: npt.NDArray[np.float64] = np.add.reduceat(covered, firsts - begin, axis=axis, dtype=kind).astype(np.float64)
    shape = [1] * image.ndim
    shape[axis] = stop - start
    # From whole samples to stretches: less the part before the first bound, plus the part before the last.
    before = (bounds[:-1] - firsts).reshape(shape)
    after = np.where(bounds[1:] < length, bounds[1:] - lasts, 0.0).reshape(shape)
    # Not by np.take, which copies an image that is not contiguous.
    first_samples, last_samples = (image[at] if axis == 0 else image[:, at] for at in (firsts, lasts))
    sums += last_samples * after - first_samples * before
    sums /= length / count
    return sums
