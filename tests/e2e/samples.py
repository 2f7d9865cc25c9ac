"""Sources of the browser tests, and what viewers must show of them: python samples.py FOLDER > expected.json

Made of the files that come with pydicom; one is enlarged, because progressive display needs frames of some megabytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
LARGE = 2560


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    studies = [
        _study(folder, "signed-ct", _read("CT_small.dcm")),
        _study(folder, "colour", _read("examples_rgb_color.dcm")),
        _study(folder, "large", _enlarge(_read("CT_small.dcm"))),
        _study(folder, "lossy-jpeg", _read("SC_rgb_jpeg_dcmtk.dcm"), single_part=False),
    ]
    json.dump(studies, sys.stdout)


def _read(name: str) -> pydicom.FileDataset:
    return pydicom.dcmread(SAMPLES / name)


def _study(folder: Path, name: str, ds: pydicom.FileDataset, *, single_part: bool = True) -> dict[str, object]:
    """Write one study of one image; its expected modality values (PS3.3 C.11.1) as a digest of 32-bit integers."""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[name]),
        generate_uid(entropy_srcs=[name, "1"]),
    )
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name, "1", "1"])
    ds.StudyDescription, ds.PatientID, ds.StudyDate = name, name, "20240102"
    ds.save_as(folder / f"{name}.dcm")
    values = ds.pixel_array.astype("<i4") * int(ds.get("RescaleSlope") or 1) + int(ds.get("RescaleIntercept") or 0)
    return {
        "name": name,
        "study": ds.StudyInstanceUID,
        "series": ds.SeriesInstanceUID,
        "instance": ds.SOPInstanceUID,
        "singlePart": single_part,
        "columns": ds.Columns,
        "rows": ds.Rows,
        "means": values.reshape(-1, ds.SamplesPerPixel).mean(axis=0).tolist(),
        "sha256": hashlib.sha256(values.astype("<i4").tobytes()).hexdigest(),
    }


def _enlarge(ds: pydicom.FileDataset) -> pydicom.FileDataset:
    """The same image at 2560x2560: interpolated, with the noise that a detector adds."""
    pixels = ds.pixel_array.astype(np.float64)
    for _ in range(2):
        old, new = np.arange(pixels.shape[0]), np.linspace(0, pixels.shape[0] - 1, LARGE)
        pixels = np.array([np.interp(new, old, column) for column in pixels.T])
    noise = np.random.default_rng(0).normal(0, 12, pixels.shape)
    ds.PixelData = np.clip(pixels + noise, 0, 4095).astype("<i2").tobytes()
    ds.Rows = ds.Columns = LARGE
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
        ds.pop(keyword, None)
    return ds


if __name__ == "__main__":
    main(Path(sys.argv[1]))
