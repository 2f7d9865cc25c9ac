"""Writes what `make bench-viewers` looks at: `python -m tests.e2e.bench_samples FOLDER [SLICES]`.

A volume, made: a body of ellipsoids and vessels with the noise of a CT, 174 slices of 512 x 512. And single frames of
0.2 to 18 MB, grey and colour: smooth structures with a detector's noise. Where they are is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.support.dicom_files import ROOT, image, write

type Plane = npt.NDArray[np.float64]

SLICES: Final = 174
# Centre x, y, z and half axes x, y, z in a body from -1 to 1, and how many Hounsfield units it adds.
_ELLIPSOIDS: Final = (
    ((0.0, 0.0, 0.0), (0.86, 0.66, 1.6), 1040),  # the body
    ((-0.38, -0.05, 0.1), (0.3, 0.42, 0.9), -800),  # lungs
    ((0.38, -0.05, 0.1), (0.3, 0.42, 0.9), -800),
    ((0.1, -0.15, 0.1), (0.2, 0.22, 0.3), 60),  # heart
    ((0.0, 0.48, 0.0), (0.11, 0.1, 2.0), 420),  # spine
    ((0.0, 0.48, 0.0), (0.05, 0.05, 2.0), -380),  # its canal
    ((-0.45, 0.05, -0.9), (0.36, 0.4, 0.4), 70),  # liver
)
_VESSELS: Final = 60
_NOISE: Final = 22.0  # Hounsfield units, before the reconstruction smooths it
FRAMES: Final = {
    "grey-small": ((420, 360), 6.0),
    "grey-large": ((3036, 3036), 24.0),
    "colour-small": ((320, 400, 3), 2.0),
    "colour-medium": ((1536, 2048, 3), 2.4),
    "colour-large": ((3000, 4000, 3), 2.4),
}
"""Rows, columns and samples, and the standard deviation of the noise."""


def make_slice(index: int, count: int = SLICES, size: int = 512) -> npt.NDArray[np.uint16]:
    """A slice of the body, size x size, 12 bits: Hounsfield units plus 1024."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    z = 2 * index / max(count - 1, 1) - 1
    values: Plane = np.zeros((size, size))
    for centre, half, units in _ELLIPSOIDS:
        distance = sum(((at - c) / h) ** 2 for at, c, h in zip((x, y, z), centre, half, strict=True))
        values += units * np.clip((1 - distance) * 40, 0, 1)
    places = np.random.default_rng(5).uniform(-1, 1, (_VESSELS, 5))
    for side, across, down, lean, width in places:
        centre_x = np.sign(side) * 0.38 + 0.22 * across + 0.15 * lean * z
        centre_y = 0.3 * down + 0.1 * side * z
        radius = 0.006 + 0.008 * abs(width)
        values += 700 * np.clip(1.5 - ((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2, 0, 1) * (values < 400)
    noise = np.random.default_rng(index).normal(0, _NOISE, (size, size))
    smooth = noise + 0.5 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) + 0.25 * np.roll(noise, (1, 1), (0, 1))
    return np.clip(values + 0.6 * smooth * (0.2 + (values > 100)), 0, 4095).astype(np.uint16)


def make_frame(shape: tuple[int, ...], sigma: float, seed: int) -> npt.NDArray[Any]:
    """A frame of smooth structures: 12 bits grey, or three samples of 8 bits."""
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    greatest = 255 if len(shape) == 3 else 4095
    smooth = np.stack(
        [0.45 + 0.25 * np.sin((7 + 2 * c) * y) * np.cos(5 * x) + 0.12 * np.sin(60 * y * x + c) for c in range(3)], -1
    )
    random = np.random.default_rng(seed)
    if len(shape) == 2:
        return np.clip(greatest * smooth[..., 0] + random.normal(0, sigma, shape), 0, 4095).astype(np.uint16)
    return np.clip(greatest * smooth + random.normal(0, sigma, shape), 0, 255).astype(np.uint8)


def write_samples(folder: Path, slices: int = SLICES) -> dict[str, dict[str, str]]:
    """Study, series and first instance of each sample, by its name."""
    found = {}
    for number, (name, (shape, sigma)) in enumerate(FRAMES.items(), 2):
        study = f"{ROOT}.36.{number}"
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1"}
        window = {"WindowCenter": 2048, "WindowWidth": 3600} if len(shape) == 2 else {}
        attributes = uids | window | {"Modality": "DX" if len(shape) == 2 else "OT", "PatientID": name}
        dataset = image(1, make_frame(shape, sigma, number), SOPClassUID="1.2.840.10008.5.1.4.1.1.7", **attributes)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        write(folder, f"{name}.dcm", dataset)
        found[name] = {"study": study, "series": f"{study}.1", "instance": dataset.SOPInstanceUID}
    study = f"{ROOT}.36.1"
    for index in range(slices):
        dataset = image(
            index + 1, make_slice(index, slices), StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1",
            PatientID="volume", FrameOfReferenceUID=f"{study}.9", ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-180, -180, 2.5 * index], PixelSpacing=[0.7, 0.7], SliceThickness=2.5,
            RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU", WindowCenter=40, WindowWidth=400,
        )  # fmt: skip
        write(folder, f"volume/{index:03}.dcm", dataset)
        if index == 0:
            found["volume"] = {"study": study, "series": f"{study}.1", "instance": dataset.SOPInstanceUID}
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(write_samples(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SLICES)))
