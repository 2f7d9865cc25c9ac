"""What the benchmarks build: DICOM files made here, with the pixels of a real CT series where it is at hand.

Every input is made of the same few images. Their files get UIDs and numbers of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom

from tests.support.dicom_files import ROOT, image, write

CT_SERIES: Final = Path(__file__).parents[2] / "shared" / "data" / "ct-volume"

type Frames = npt.NDArray[Any]


@dataclass(frozen=True)
class Input:
    """A folder of files to build; `name` says what it is."""

    name: str
    images: int
    write: Callable[[Path], None]


@cache
def ct_slices() -> Frames:
    """64 slices of a CT of 512 x 512: (64, 512, 512) of 16 bits."""
    if CT_SERIES.is_dir():
        datasets = sorted(map(pydicom.dcmread, CT_SERIES.iterdir()), key=lambda dataset: dataset.InstanceNumber)
        return np.stack([dataset.pixel_array for dataset in datasets])
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    random = np.random.default_rng(2)
    bodies = (np.where(rows**2 + columns**2 < 0.8, 1040 + 100 * np.sin(9 * rows + n / 9), 24) for n in range(64))
    return np.stack([np.clip(body + random.normal(0, 10, body.shape), 0, 4095) for body in bodies]).astype("i2")


def radiograph(number: int) -> Frames:
    """An image of 2048 x 2048 of 12 bits: smooth structures with a detector's noise."""
    rows, columns = np.mgrid[0:2048, 0:2048] / 2048
    smooth = 2000 + 900 * np.sin(7 * rows + number) * np.cos(5 * columns) + 500 * np.sin(40 * rows * columns)
    noise = np.random.default_rng(number).normal(0, 12, smooth.shape)
    pixels: Frames = np.clip(smooth + noise, 0, 4095).astype("u2")
    return pixels


def bits_of(frames: Frames) -> int:
    """Bits Stored of these frames."""
    return 16 if frames.dtype.kind == "i" else 12


def _write_slice(folder: Path, number: int, slice_: Frames, **attributes: Any) -> None:
    bits = {"BitsStored": bits_of(slice_)}
    write(folder, f"{number:05}.dcm", image(number, slice_, **bits | attributes))


def series(count: int) -> Input:
    """A CT series of so many slices."""

    def make(folder: Path) -> None:
        slices = ct_slices()
        for number in range(1, count + 1):
            _write_slice(folder, number, slices[number % len(slices)])

    return Input(f"CT, {count} slices of 512 x 512", count, make)


def radiographs(count: int) -> Input:
    """Images of 2048 x 2048."""

    def make(folder: Path) -> None:
        for number in range(1, count + 1):
            window = {"WindowCenter": 2000, "WindowWidth": 3600}  # without one, a picture needs every sample
            _write_slice(folder, number, radiograph(number), Modality="DX", **window)

    return Input(f"{count} images of 2048 x 2048", count, make)


def multi_frame(frames: int) -> Input:
    """One object of so many frames of 512 x 512."""

    def make(folder: Path) -> None:
        slices = ct_slices()
        _write_slice(folder, 1, slices[np.arange(frames) % len(slices)])

    return Input(f"one object of {frames:,} frames of 512 x 512", frames, make)


def many_series(count: int) -> Input:
    """Series of one to three instances of 256 x 256."""
    sizes = [1 + number % 3 for number in range(count)]

    def make(folder: Path) -> None:
        slices, number = ct_slices()[:, ::2, ::2], 0
        for place, size in enumerate(sizes):
            for _ in range(size):
                number += 1
                _write_slice(
                    folder, number, slices[number % len(slices)],
                    SeriesInstanceUID=f"{ROOT}.1.{place + 1}", SeriesNumber=place + 1,
                )  # fmt: skip

    return Input(f"{count} series of 1 to 3 images of 256 x 256", sum(sizes), make)


def single_image_series(count: int) -> Input:
    """Series of one image of 64 x 64."""

    def make(folder: Path) -> None:
        slices = ct_slices()[:, ::8, ::8]
        for number in range(1, count + 1):
            _write_slice(folder, number, slices[number % len(slices)], SeriesInstanceUID=f"{ROOT}.1.{number}")

    return Input(f"{count:,} series of one image of 64 x 64", count, make)
