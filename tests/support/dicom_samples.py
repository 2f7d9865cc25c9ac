"""Small DICOM files made for the tests, with pydicom; damaged ones are made by damaging the bytes of good ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian, VideoEndoscopicImageStorage

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


def without_pixels(number: int = 1, **attributes: Any) -> FileDataset:
    dataset = image(number, **attributes)
    for keyword in ("PixelData", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
                    "BitsStored", "HighBit", "PixelRepresentation"):  # fmt: skip
        delattr(dataset, keyword)
    return dataset


def pdf(document: bytes, **attributes: Any) -> FileDataset:
    dataset = without_pixels(1, SOPClassUID=EncapsulatedPDFStorage, Modality="DOC", **attributes)
    dataset.EncapsulatedDocument = document + bytes(len(document) % 2)
    dataset.EncapsulatedDocumentLength = len(document)
    return dataset


AVC = "1.2.840.10008.1.2.4.102"


MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(200))


ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def head_of(syntax: str) -> bytes:
    """A file up to the value of its pixel data."""
    dataset = image(1, TransferSyntaxUID=syntax, SOPClassUID=VideoEndoscopicImageStorage, Modality="ES")
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "YBR_PARTIAL_420", 3, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.NumberOfFrames = 7, 300
    del dataset.PixelData
    return to_bytes(dataset) + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"


def write_video(path: Path, fragments: Sequence[bytes], syntax: str = AVC, end: bytes = DELIMITER) -> Path:
    items = b"".join(ITEM + struct.pack("<L", len(item)) + item for item in (b"", *fragments))
    path.write_bytes(head_of(syntax) + items + end)
    return path
