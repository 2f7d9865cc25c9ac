"""How an image asks to be shown: its display attributes, read from the published metadata (DICOM JSON).

Enhanced objects keep them in functional groups, of the frame or shared by all (PS3.3 C.7.6.16); others beside the
pixels. What is malformed counts as absent: a broken window must not keep an image from being shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from stillframe.dicom.json_model import BulkData, JSONDataset, binary_value, first_value
from stillframe.pixels.rendering import (
    Display,
    LookupTable,
    Ramp,
    Rescale,
    Sigmoid,
    linear_window,
)

_SHARED_GROUPS: Final = "52009229"
_FRAME_GROUPS: Final = "52009230"
_PIXEL_MEASURES: Final = "00289110"
_FRAME_VOI_LUT: Final = "00289132"
_PIXEL_VALUE_TRANSFORMATION: Final = "00289145"

_PHOTOMETRIC: Final = "00280004"
_PRESENTATION_LUT_SHAPE: Final = "20500020"
_BITS_ALLOCATED: Final = "00280100"
_BITS_STORED: Final = "00280101"
_SIGNED: Final = "00280103"
_CENTRE, _WIDTH, _INTERCEPT, _SLOPE, _FUNCTION = "00281050", "00281051", "00281052", "00281053", "00281056"
_MODALITY_LUTS, _VOI_LUTS = "00283000", "00283010"
# Descriptor and data of a LUT.
_LUT: Final = ("00283002", "00283006")
# Red, Green and Blue Palette Color Lookup Table Descriptor and Data.
_PALETTE: Final = tuple((f"0028110{n}", f"0028120{n}") for n in (1, 2, 3))
# Pixel Padding Value and its Range Limit; Float and Double Float Pixel Padding Value and theirs.
_PADDING: Final = (("00280120", "00280121"), ("00280122", "00280124"), ("00280123", "00280125"))
# Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Pixel Aspect Ratio: vertical, then horizontal.
_SPACINGS: Final = ("00280030", "00181164", "00182010", "00280034")
_SEGMENTATION_TYPE: Final = "00620001"
_LARGEST_FRACTION: Final = "0062000E"
# Pixels longer than so many times their width, or wider than so many times their length, are taken for square.
_LARGEST_ASPECT: Final = 100


def read_display(metadata: JSONDataset, frame_index: int, bulk: BulkData, *, floating: bool = False) -> Display:
    """How a frame is to be shown.

    Args:
        metadata: of the instance.
        frame_index: counts from 0.
        bulk: the values that left the metadata, by their path below `bulkdata/`.
        floating: whether the samples are floating point numbers, which have no Bits Stored.
    """
    groups = _functional_groups(metadata, frame_index)
    bits = int(_number(metadata, _BITS_STORED) or _number(metadata, _BITS_ALLOCATED) or 8)
    signed = first_value(metadata, _SIGNED) == 1
    modality = _read_modality(_macro(metadata, groups, _PIXEL_VALUE_TRANSFORMATION), bulk, signed)
    # What comes out of a modality LUT is not signed.
    signed_values = signed and not isinstance(modality, LookupTable)
    return Display(
        bits=bits,
        modality=modality,
        voi=_read_voi(_macro(metadata, groups, _FRAME_VOI_LUT), bulk, signed_values),
        stored_range=None if floating else _stored_range(metadata, bits),
        inverted=first_value(metadata, _PHOTOMETRIC) == "MONOCHROME1"
        or first_value(metadata, _PRESENTATION_LUT_SHAPE) == "INVERSE",
        palette=_read_palette(metadata, bulk, signed)
        if first_value(metadata, _PHOTOMETRIC) == "PALETTE COLOR"
        else None,
        padding=_read_padding(metadata),
        spacing=_read_spacing(_macro(metadata, groups, _PIXEL_MEASURES), metadata),
    )


def _functional_groups(metadata: JSONDataset, frame_index: int) -> list[JSONDataset]:
    """The functional groups that hold for a frame, its own before the shared ones."""
    own = _items(metadata, _FRAME_GROUPS)[frame_index : frame_index + 1]
    return [*own, *_items(metadata, _SHARED_GROUPS)[:1]]


def _macro(metadata: JSONDataset, groups: list[JSONDataset], tag: str) -> JSONDataset:
    """The functional group macro of a frame, or the data set itself where there is none."""
    return next((items[0] for group in groups if (items := _items(group, tag))), metadata)


def _items(dataset: JSONDataset, tag: str) -> list[JSONDataset]:
    """The items of a sequence."""
    element = dataset.get(tag, {})
    return list(element.get("Value", ())) if element.get("vr") == "SQ" else []


def _number(dataset: JSONDataset, tag: str, index: int = 0) -> float | None:
    """A finite number among the values of an attribute, None if it is not there."""
    values = dataset.get(tag, {}).get("Value", ())
    try:
        value = float(values[index])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _read_modality(dataset: JSONDataset, bulk: BulkData, signed: bool) -> LookupTable | Rescale:
    table = _first_table(dataset, _MODALITY_LUTS, bulk, signed)
    if table is not None:
        return table
    slope, intercept = _number(dataset, _SLOPE) or 1.0, _number(dataset, _INTERCEPT) or 0.0
    # Of the widest integers the results, and the differences of them, have to be finite.
    return Rescale(slope, intercept) if math.isfinite((abs(slope) * 2.0**64 + abs(intercept)) * 2) else Rescale()


def _read_voi(dataset: JSONDataset, bulk: BulkData, signed: bool) -> LookupTable | Ramp | Sigmoid | None:
    """The first VOI LUT, else the first window (PS3.3 C.11.2: either may be applied where both are there)."""
    table = _first_table(dataset, _VOI_LUTS, bulk, signed)
    if table is not None:
        return table
    centre, width = _number(dataset, _CENTRE), _number(dataset, _WIDTH)
    if centre is None or width is None:
        return None
    return linear_window(centre, width, str(first_value(dataset, _FUNCTION) or "LINEAR"))


def _stored_range(metadata: JSONDataset, bits: int) -> tuple[float, float] | None:
    """The range of samples that an image without a window shows: all of few bits, or of a segmentation's fractions.

    None where the frame itself has to tell: more than 8 bits, signed samples, numbers of labels.
    """
    segmentation = first_value(metadata, _SEGMENTATION_TYPE)
    if segmentation == "FRACTIONAL":
        return 0.0, _number(metadata, _LARGEST_FRACTION) or float((1 << bits) - 1)
    if bits > 8 or first_value(metadata, _SIGNED) == 1 or segmentation == "LABELMAP":
        return None
    return 0.0, float((1 << bits) - 1)


def _read_palette(
    metadata: JSONDataset, bulk: BulkData, signed: bool
) -> tuple[LookupTable, LookupTable, LookupTable] | None:
    tables = [_read_table(metadata, tags, bulk, signed) for tags in _PALETTE]
    if not all(tables):
        return None
    red, green, blue = _settle_bits(*filter(None, tables))
    return red, green, blue


def _read_descriptor(dataset: JSONDataset, tag: str, signed: bool) -> tuple[int, int, int] | None:
    """Number of entries (0 stands for 65536), first input, bits of an entry (PS3.3 C.11.1.1.1, C.7.6.3.1.5).

    `signed` tells whether inputs are: some writers give the unsigned reading of a negative first one.
    """
    count, first, bits = (_number(dataset, tag, index) for index in range(3))
    if count is None or first is None or bits is None:
        return None
    if not (0 <= count <= 1 << 16 and -(1 << 15) <= first < 1 << 16 and 1 <= bits <= 16):
        return None
    if signed and first >= 1 << 15:
        first -= 1 << 16
    return int(count) or 1 << 16, int(first), int(bits)


def _first_table(dataset: JSONDataset, sequence: str, bulk: BulkData, signed: bool) -> LookupTable | None:
    """The LUT of a sequence's first item."""
    tables = (_read_table(item, _LUT, bulk, signed) for item in _items(dataset, sequence)[:1])
    return next((_settle_bits(table)[0] for table in tables if table), None)


def _read_table(dataset: JSONDataset, tags: tuple[str, str], bulk: BulkData, signed: bool) -> LookupTable | None:
    """A LUT; None if it is absent or shorter than its descriptor says. `tags` are those of its descriptor and data."""
    descriptor = _read_descriptor(dataset, tags[0], signed)
    if descriptor is None:
        return None
    count, first, bits = descriptor
    data = _words(dataset.get(tags[1], {}), bulk)
    if len(data) < count:
        return None
    # Two 8-bit entries in a word, where there are too few words.
    entries = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1", count).astype(np.uint16)
    return LookupTable(first, entries, bits)


def _settle_bits(*tables: LookupTable) -> list[LookupTable]:
    """Tables that belong together with the bits they have in common.

    Entries decide where they contradict what is declared: too large for it, or 8-bit ones declared as 16.
    """
    bits = max(table.bits for table in tables)
    largest = max(int(table.entries.max()) for table in tables)
    if bits == 16 and largest < 256:
        bits = 8
    bits = max(bits, largest.bit_length())
    return [replace(table, bits=bits) for table in tables]


def _words(element: Mapping[str, Any], bulk: BulkData) -> bytes:
    """The value of a LUT's data as bytes in little endian order, wherever the JSON model keeps it."""
    if "Value" in element and element.get("vr") in ("US", "SS"):
        return np.array(element["Value"], np.int64).astype("<u2").tobytes()
    return binary_value(element, bulk)


def _read_padding(metadata: JSONDataset) -> tuple[float, float] | None:
    for value_tag, limit_tag in _PADDING:
        value = _number(metadata, value_tag)
        if value is None:
            continue
        limit = _number(metadata, limit_tag)
        ends = sorted((value, value if limit is None else limit))
        if first_value(metadata, _SIGNED) == 1:  # some writers give the unsigned reading of a negative value
            ends = sorted(end - (1 << 16) if end >= 1 << 15 else end for end in ends)
        return ends[0], ends[1]
    return None


def _read_spacing(measures: JSONDataset, metadata: JSONDataset) -> tuple[float, float]:
    for dataset, tag in [(measures, _SPACINGS[0]), *((metadata, tag) for tag in _SPACINGS)]:
        vertical, horizontal = _number(dataset, tag), _number(dataset, tag, 1)
        if not vertical or not horizontal or min(vertical, horizontal) <= 0:
            continue
        if max(vertical, horizontal) <= _LARGEST_ASPECT * min(vertical, horizontal):
            return vertical, horizontal
    return 1.0, 1.0
