"""Single grey and palette images, and the forms in which their samples may come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileDataset

from tests.e2e.cards import grey_levels
from tests.e2e.kind import Kind, Look, Made, View, picture
from tests.e2e.rendering import Picture, render
from tests.support.dicom_files import image
from tests.support.sample_files import sample_files

_SIZE = 96, 128
_ROWS, _COLUMNS = _SIZE


def shown(dataset: FileDataset, **look: Any) -> Made:
    """An image alone in its study: what pydicom renders of its first frame is on the canvas."""
    return Made(datasets=[dataset], views=[View(look=picture(render(dataset), **look))])


def grey(sop_class: str, modality: str, bits: int = 12, **attributes: Any) -> FileDataset:
    """An unsigned grey image of the card that uses most of its bits, in a window that leaves some of them out.

    `windowed=False` leaves the window away.
    """
    highest = (1 << bits) - 1
    low, high = highest // 16, highest - highest // 8
    if attributes.pop("windowed", True):
        attributes = {"WindowCenter": (low + high) // 2, "WindowWidth": (high - low) * 3 // 4} | attributes
    rows, columns = attributes.pop("size", _SIZE)
    levels = grey_levels(rows, columns, low, high).astype("u1" if bits <= 8 else "u2")
    return image(1, levels, SOPClassUID=sop_class, Modality=modality, BitsStored=bits, **attributes)


def sample_file(name: str) -> FileDataset:
    """A file that is installed with pydicom or pydicom-data."""
    return dcmread(next(path for path in sample_files() if path.name == name))


def _kind(name: str, make: Callable[[], FileDataset], *, core: bool = False, **look: Any) -> Kind:
    return Kind(name=name, make=lambda: shown(make(), **look), core=core)


def _signed(bits: int, dtype: str, low: int, high: int) -> FileDataset:
    levels = grey_levels(*_SIZE, low, high).astype(dtype)
    window = {"WindowCenter": (low + high) // 2, "WindowWidth": high - low}
    return image(
        1, levels, SOPClassUID=uid.MRImageStorage, Modality="MR", BitsStored=bits, PixelRepresentation=1, **window
    )


def _lut(count: int, first: int, bits: int, entries: npt.NDArray[Any], *, signed: bool = False) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "SS" if signed else "US", [count, first, bits])
    table.add_new("LUTData", "US", entries.astype(int).tolist())
    return table


def _fraction() -> FileDataset:
    """Values from 0 to 100 in steps of a tenth; both ends are whole numbers."""
    levels = grey_levels(*_SIZE, 0, 1000).astype("u2")
    others = {"RescaleSlope": "0.1", "RescaleIntercept": "0", "WindowCenter": 50, "WindowWidth": 80}
    return image(1, levels, SOPClassUID=uid.MRImageStorage, Modality="MR", **others)


def _modality_lut() -> FileDataset:
    """A table that turns 256 stored values upside down and spreads them."""
    dataset = grey(uid.ComputedRadiographyImageStorage, "CR", 8, WindowCenter=2000, WindowWidth=4000)
    table = _lut(256, 0, 16, 4000 - np.arange(256) ** 2 / 17)
    table.ModalityLUTType = "US"
    dataset.ModalityLUTSequence = [table]
    return dataset


def _voi_lut() -> FileDataset:
    """A table that darkens the middle."""
    dataset = grey(uid.DigitalXRayImageStorageForPresentation, "DX", 10, windowed=False)
    dataset.VOILUTSequence = [_lut(1024, 0, 12, 4095 * (np.arange(1024) / 1023) ** 3)]
    return dataset


def _one_bit() -> FileDataset:
    bright = grey_levels(*_SIZE, 0, 99) > 60
    dataset = image(
        1, bright.astype("u1"), SOPClassUID=uid.MultiFrameSingleBitSecondaryCaptureImageStorage, BitsStored=1
    )
    dataset.Modality, dataset.BitsAllocated, dataset.NumberOfFrames = "OT", 1, 1
    dataset.PixelData = np.packbits(bright, axis=None, bitorder="little").tobytes()
    return dataset


def _mask() -> npt.NDArray[Any]:
    mask = np.zeros(_SIZE, bool)
    mask[20:50, 70:110] = True
    mask[60:64, 10:60] = True
    return mask


def _under_overlay(dataset: FileDataset, drawn: Picture) -> Made:
    """The image, and where the overlay lies a colour that the image has not: the viewer chooses it."""
    mask = np.repeat(255.0 * _mask()[..., None], 3, axis=-1)
    look = Look(sort="overlay", pictures=[drawn], aspects=[_COLUMNS / _ROWS], mask=mask, tolerance=8.0)
    return Made(datasets=[dataset], views=[View(look=look)])


def _overlay(*, embedded: bool) -> FileDataset:
    dataset = grey(uid.MRImageStorage, "MR", 12)
    attributes = {"Rows": ("US", _ROWS), "Columns": ("US", _COLUMNS), "Type": ("CS", "G"), "Origin": ("SS", [1, 1])}
    tags = {"Rows": 0x60000010, "Columns": 0x60000011, "Type": 0x60000040, "Origin": 0x60000050}
    for name, (vr, value) in attributes.items():
        dataset.add_new(tags[name], vr, value)
    dataset.add_new(0x60000100, "US", 16 if embedded else 1)
    dataset.add_new(0x60000102, "US", 12 if embedded else 0)
    if embedded:
        samples = np.frombuffer(dataset.PixelData, "<u2") | (_mask().ravel().astype("<u2") << 12)
        dataset.PixelData = samples.astype("<u2").tobytes()
    else:
        dataset.add_new(0x60003000, "OW", np.packbits(_mask(), axis=None, bitorder="little").tobytes())
    return dataset


def _overlay_kind(*, embedded: bool) -> Made:
    """Where upper bits of the samples hold the overlay, the image is that of the bits below."""
    return _under_overlay(_overlay(embedded=embedded), render(grey(uid.MRImageStorage, "MR", 12)))


def _palette(bits: int = 16, stored: int = 8, *, segmented: bool = False) -> FileDataset:
    levels = grey_levels(*_SIZE, 0, 255 if stored == 8 else 1023).astype("u1" if stored == 8 else "u2")
    count = 1 << (8 if stored == 8 else 10)
    dataset = image(1, levels, SOPClassUID=uid.SecondaryCaptureImageStorage, Modality="OT", BitsStored=stored)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    largest = (1 << bits) - 1
    t = np.arange(count) / (count - 1)
    curves = {"Red": t, "Green": np.abs(1 - 2 * t), "Blue": 1 - t}
    for name, curve in curves.items():
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [count, 0, bits])
        dataset[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        if segmented:
            data = _segments(curve, largest)
            setattr(dataset, f"Segmented{name}PaletteColorLookupTableData", data)
        else:
            entries = np.rint(curve * largest).astype("<u2" if bits == 16 else "u1")
            setattr(dataset, f"{name}PaletteColorLookupTableData", entries.tobytes())
    return dataset


def _segments(curve: npt.NDArray[Any], largest: int) -> bytes:
    """A discrete segment of one entry, and linear ones to the middle and to the end (PS3.3 C.7.9.2)."""
    middle = len(curve) // 2 - 1
    first, half, last = (round(float(curve[index]) * largest) for index in (0, middle, len(curve) - 1))
    words = [0, 1, first, 1, middle, half, 1, len(curve) - 1 - middle, last]
    return np.array(words, "<u2").tobytes()


_MG = uid.DigitalMammographyXRayImageStorageForPresentation
_DX = uid.DigitalXRayImageStorageForPresentation

KINDS = (
    _kind(
        "CR, MONOCHROME1, 10 bits",
        lambda: grey(uid.ComputedRadiographyImageStorage, "CR", 10, PhotometricInterpretation="MONOCHROME1"),
    ),
    _kind("DX of 2500 x 2000", lambda: grey(_DX, "DX", 14, size=(2500, 2000)), core=True),
    _kind("MG, VOI LUT Function SIGMOID", lambda: grey(_MG, "MG", 12, VOILUTFunction="SIGMOID"), core=True),
    _kind("MG, VOI LUT Function LINEAR_EXACT", lambda: grey(_MG, "MG", 8, VOILUTFunction="LINEAR_EXACT")),
    _kind("MG, VOI LUT Function LINEAR", lambda: grey(_MG, "MG", 12, VOILUTFunction="LINEAR"), core=True),
    _kind("OCT", lambda: grey(uid.OphthalmicTomographyImageStorage, "OPT", 8, NumberOfFrames=1)),
    _kind("no window", lambda: grey(uid.MRImageStorage, "MR", 12, windowed=False)),
    _kind("10 bits stored", lambda: grey(uid.MRImageStorage, "MR", 10)),
    _kind("14 bits stored", lambda: grey(uid.MRImageStorage, "MR", 14)),
    _kind("16 bits stored", lambda: grey(uid.MRImageStorage, "MR", 16)),
    _kind("16 bits, signed", lambda: _signed(16, "i2", -20000, 28000)),
    _kind("13 bits, signed", lambda: _signed(13, "i2", -3000, 3500)),
    _kind("8 bits, signed", lambda: _signed(8, "i1", -120, 120), core=True),
    _kind("1 bit", _one_bit, core=True),
    _kind("Rescale Slope of a fraction", _fraction),
    _kind("Modality LUT", _modality_lut),
    _kind("VOI LUT", _voi_lut),
    _kind("Pixel Spacing 0", lambda: grey(uid.ComputedRadiographyImageStorage, "CR", 12, PixelSpacing=[0, 0])),
    _kind(
        "Pixel Spacing 2 x 1",
        lambda: grey(uid.MRImageStorage, "MR", 12, PixelSpacing=[2, 1]),
        aspects=[_COLUMNS / (2 * _ROWS)],
    ),
    _kind(
        "Pixel Aspect Ratio 2:1",
        lambda: grey(uid.SecondaryCaptureImageStorage, "OT", 8, PixelAspectRatio=[2, 1]),
        aspects=[_COLUMNS / (2 * _ROWS)],
    ),
    Kind(name="overlay", make=lambda: _overlay_kind(embedded=False), core=True),
    Kind(name="overlay in upper bits", make=lambda: _overlay_kind(embedded=True)),
    _kind("palette, 8-bit entries", lambda: _palette(8)),
    _kind("palette, 16-bit entries", _palette),
    _kind("palette, 10-bit pixels", lambda: _palette(16, 10)),
    _kind("palette, segmented", lambda: _palette(16, segmented=True), core=True),
)
