"""What a frame looks like: pydicom reads the samples, PS3.3 C.11 says which brightness they have.

Nothing of the package under test takes part.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array

type Picture = npt.NDArray[np.float64]

GRID: Final = 24
"""Pictures are compared in so many rows and columns of cells."""


def render(dataset: FileDataset, frame_index: int = 0) -> Picture:
    """A frame as RGB from 0 to 255, rows x columns x 3, of float64."""
    samples = pixel_array(dataset, index=frame_index)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        entries: npt.NDArray[Any] = apply_color_lut(samples, dataset)
        return _in_bytes(entries, 8 * entries.dtype.itemsize)
    if dataset.SamplesPerPixel == 3:
        return _in_bytes(samples, dataset.BitsStored)
    return show_values(modality_values(dataset, samples, frame_index), dataset, frame_index)


def _in_bytes(colours: npt.NDArray[Any], bits: int) -> Picture:
    return colours.astype(np.float64) * (255.0 / ((1 << bits) - 1))


def modality_values(dataset: FileDataset, samples: npt.NDArray[Any], frame_index: int = 0) -> Picture:
    """Samples after the Modality LUT or the rescale of their frame (PS3.3 C.11.1, C.7.6.16.2.9)."""
    macro = _macro(dataset, "PixelValueTransformationSequence", frame_index)
    values: Picture = apply_modality_lut(samples, macro).astype(np.float64)
    return values


def show_values(values: Picture, dataset: FileDataset, frame_index: int = 0) -> Picture:
    """Values through the VOI LUT or window of their frame; all from the least to the greatest where there is none."""
    macro = _macro(dataset, "FrameVOILUTSequence", frame_index)
    if tables := macro.get("VOILUTSequence"):
        light = _look_up(values, tables[0])
    elif macro.get("WindowWidth") is not None:
        light = window(values, _first(macro.WindowCenter), _first(macro.WindowWidth), macro.get("VOILUTFunction"))
    else:
        light = (values - values.min()) / max(float(values.max() - values.min()), 1e-9)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        light = 1 - light
    return np.repeat(255 * light[..., None], 3, axis=-1)


def window(values: Picture, centre: float, width: float, function: str | None = None) -> Picture:
    """Brightness from 0 to 1 (PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2)."""
    light: Picture
    if function == "SIGMOID":
        light = 1 / (1 + np.exp(-4 * (values - centre) / width))
    elif function == "LINEAR_EXACT":
        light = np.clip((values - centre) / width + 0.5, 0, 1)
    else:
        light = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    return light


def grid(picture: Picture) -> list[list[list[float]]]:
    """Mean colours of GRID x GRID equal cells, each pixel counted by the part of it that lies in a cell."""
    down, across = (_shares(picture.shape[axis]) for axis in (0, 1))
    cells = np.stack([down @ picture[..., sample] @ across.T for sample in range(picture.shape[2])], axis=-1)
    return [[[round(float(value), 2) for value in cell] for cell in row] for row in cells]


def _shares(length: int) -> npt.NDArray[np.float64]:
    """GRID x length: which share of each cell a row or column of pixels makes."""
    cells = np.arange(GRID + 1) * (length / GRID)
    pixels = np.arange(length)
    overlap = np.minimum(cells[1:, None], pixels + 1) - np.maximum(cells[:-1, None], pixels)
    shares: Picture = np.clip(overlap, 0, None) * (GRID / length)
    return shares


def _macro(dataset: Dataset, sequence: str, frame_index: int) -> Dataset:
    """The functional group of a frame, its own before the shared one; else the data set."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame_index), ("SharedFunctionalGroupsSequence", 0)):
        items = dataset.get(groups)
        if items and sequence in items[index]:
            macro: Dataset = items[index][sequence][0]
            return macro
    return dataset


def _first(value: Any) -> float:
    return float(value[0]) if hasattr(value, "__len__") and not isinstance(value, str) else float(value)


def _look_up(values: Picture, table: Dataset) -> Picture:
    """Brightness by a VOI LUT (PS3.3 C.11.2.1.1)."""
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    entries = np.asarray(table.LUTData, np.float64)[: count or 65536]
    index = np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)
    brightness: Picture = entries[index] / ((1 << bits) - 1)
    return brightness
