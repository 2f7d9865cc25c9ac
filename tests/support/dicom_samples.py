"""Small DICOM files made for the tests, with pydicom; damaged ones are made by damaging the bytes of good ones."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.543"
STUDY, SERIES = f"{ROOT}.1", f"{ROOT}.1.1"


def instance_uid(number: int, series: str = SERIES) -> str:
    return f"{series}.{number}"


def noise(number: int = 0, shape: tuple[int, ...] = (96, 80), bits: int = 12) -> npt.NDArray[Any]:
    """Pixels no two instances share: noise over a ramp, within `bits`."""
    ramp = np.linspace(0, (1 << bits) * 3 // 4, int(np.prod(shape))).reshape(shape)
    random = np.random.default_rng(number).integers(0, 1 << (bits - 3), shape)
    return (ramp + random).astype("u1" if bits <= 8 else "u2")


def image(number: int = 1, pixels: npt.NDArray[Any] | None = None, **attributes: Any) -> FileDataset:
    """An image with the attributes a CT slice has; keywords set others, or replace them."""
    if pixels is None:
        pixels = noise(number)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = attributes.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))  # type: ignore[arg-type]  # no file yet
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = instance_uid(number, attributes.get("SeriesInstanceUID") or SERIES)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID, dataset.PatientName, dataset.Modality = "P1", "Sample^One", "CT"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
    frames = pixels.shape[0] if pixels.ndim == (4 if colour else 3) else None
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    if frames is not None:
        dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = attributes.get("BitsStored", 12 if pixels.dtype.itemsize == 2 else 8)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def to_bytes(dataset: FileDataset) -> bytes:
    """The data set as a Part 10 file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(folder: Path, name: str, dataset: FileDataset) -> Path:
    """Write a data set into a folder; missing folders are made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(dataset))
    return path


def encapsulated(frames: Sequence[bytes], syntax: str, **attributes: Any) -> FileDataset:
    """An image whose pixel data are the given frames, whatever they hold."""
    dataset = image(**attributes)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def write_series(folder: Path, count: int = 12) -> Path:
    """A series of CT slices, one file each."""
    for number in range(1, count + 1):
        write(folder, f"{number:03}.dcm", image(number))
    return folder
