"""DICOM files made for the tests: as pydicom writes them, or byte by byte where a library would not write what some
files in the world are. Damaged ones are made by damaging the bytes of good ones.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    VideoEndoscopicImageStorage,
)

from tests.support.frame_encoders import deflated

ROOT = "1.2.826.0.1.3680043.10.543"
STUDY, SERIES = f"{ROOT}.1", f"{ROOT}.1.1"
INSTANCE = f"{SERIES}.1"

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
UNCOMPRESSED_ITEMS, DEFLATED_FRAMES = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"
AVC = "1.2.840.10008.1.2.4.102"

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(200))
ITEM = struct.pack("<HH", 0xFFFE, 0xE000)
DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def jpeg(number: int) -> str:
    """UID of one of the JPEG transfer syntaxes, by its last component."""
    return f"1.2.840.10008.1.2.4.{number}"


def instance_uid(number: int, series: str = SERIES) -> str:
    return f"{series}.{number}"


def noise(number: int = 0, shape: tuple[int, ...] = (96, 80), bits: int = 12) -> npt.NDArray[Any]:
    """Pixels no two instances share: noise over a ramp, within `bits`."""
    ramp = np.linspace(0, (1 << bits) * 3 // 4, int(np.prod(shape))).reshape(shape)
    random = np.random.default_rng(number).integers(0, 1 << (bits - 3), shape)
    return (ramp + random).astype("u1" if bits <= 8 else "u2")


def random_samples(shape: tuple[int, ...], dtype: str, bits: int, seed: int = 0) -> npt.NDArray[Any]:
    """Samples over the whole range of so many bits; the upper half varies less, as images do."""
    kind = np.dtype(dtype)
    least = -(1 << bits - 1) if kind.kind == "i" else 0
    samples = np.random.default_rng(seed).integers(least, least + (1 << bits), shape)
    samples[: shape[0] // 2] >>= min(3, bits - 1)
    return samples.astype(kind)


def image_attributes(frame: npt.NDArray[Any], frames: int | None = 1, **others: Any) -> dict[str, Any]:
    """The Image Pixel module of frames like this one; an attribute of None is left out."""
    bits = frame.dtype.itemsize * 8
    found = {
        "Rows": frame.shape[0],
        "Columns": frame.shape[1],
        "SamplesPerPixel": 1 if frame.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if frame.ndim == 2 else "RGB",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(frame.dtype.kind == "i"),
        "NumberOfFrames": frames,
    }
    if frame.ndim == 3:
        found["PlanarConfiguration"] = 0
    found |= others
    if found["BitsStored"] is not None:
        found.setdefault("HighBit", found["BitsStored"] - 1)
    return found


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
    several = pixels.ndim == (4 if colour else 3)
    bits = attributes.get("BitsStored", 12 if pixels.dtype.itemsize == 2 else 8)
    module = image_attributes(pixels[0] if several else pixels, len(pixels) if several else None, BitsStored=bits)
    for keyword, value in module.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def encapsulated(frames: Sequence[bytes], syntax: str, **attributes: Any) -> FileDataset:
    """An image whose pixel data are the given frames, whatever they hold."""
    dataset = image(**attributes)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def without_pixels(number: int = 1, **attributes: Any) -> FileDataset:
    """What is left of an image without its Image Pixel module."""
    dataset = image(number, **attributes)
    for keyword in ("PixelData", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
                    "BitsStored", "HighBit", "PixelRepresentation"):  # fmt: skip
        delattr(dataset, keyword)
    return dataset


def pdf(document: bytes, **attributes: Any) -> FileDataset:
    """An encapsulated document."""
    dataset = without_pixels(1, SOPClassUID=EncapsulatedPDFStorage, Modality="DOC", **attributes)
    dataset.EncapsulatedDocument = document + bytes(len(document) % 2)
    dataset.EncapsulatedDocumentLength = len(document)
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


def write_series(folder: Path, count: int = 12) -> Path:
    """A series of CT slices, one file each."""
    for number in range(1, count + 1):
        write(folder, f"{number:03}.dcm", image(number))
    return folder


def encapsulated_value(fragments: Iterable[bytes], table: bytes = b"", *, delimited: bool = True) -> bytes:
    """The value of encapsulated pixel data; fragments are padded to even length with zero."""
    items = [table, *(data + bytes(len(data) % 2) for data in fragments)]
    return _items(items) + (DELIMITER if delimited else b"")


def _items(values: Iterable[bytes]) -> bytes:
    return b"".join(ITEM + struct.pack("<L", len(value)) + value for value in values)


def offset_table(fragments: Sequence[bytes], firsts: Sequence[int], code: str = "L") -> bytes:
    """Offsets of the fragments with these indices: a Basic Offset Table, or an extended one with code Q."""
    places = [sum(len(data) + len(data) % 2 + 8 for data in fragments[:first]) for first in firsts]
    return struct.pack(f"<{len(places)}{code}", *places)


def write_dicom(
    path: Path,
    syntax: str,
    attributes: dict[str, Any],
    value: bytes,
    *,
    vr: str = "OW",
    native: bool | None = None,
    tag: tuple[int, int] = (0x7FE0, 0x0010),
) -> Path:
    """A Part 10 file whose pixel data element holds exactly `value`; encapsulated if the syntax is not native.

    pydicom writes the elements, but not the file: it refuses transfer syntaxes that it does not know.
    """
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = UID(STUDY), UID(SERIES), UID(INSTANCE)
    dataset.PatientID = "made"
    for keyword, content in attributes.items():
        if content is not None:
            setattr(dataset, keyword, content)
    implicit, order = syntax == IMPLICIT, ">" if syntax == BIG_ENDIAN else "<"
    body = DicomBytesIO()
    body.is_implicit_VR, body.is_little_endian = implicit, order == "<"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(body, dataset)
    if native is None:
        native = syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN)
    length = len(value) if native else 0xFFFFFFFF
    head = struct.pack(f"{order}HH", *tag)
    head += struct.pack(f"{order}L", length) if implicit else vr.encode() + struct.pack(f"{order}HL", 0, length)
    content = body.getvalue() + head + value
    path.write_bytes(_meta_header(dataset, syntax) + (deflated(content) if syntax in DEFLATED else content))
    return path


def _meta_header(dataset: Dataset, syntax: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    head = DicomBytesIO()
    head.is_implicit_VR, head.is_little_endian = False, True
    head.write(bytes(128) + b"DICM")
    write_file_meta_info(head, meta)
    return head.getvalue()


def video_head(syntax: str) -> bytes:
    """A video file up to the value of its pixel data."""
    dataset = image(1, TransferSyntaxUID=syntax, SOPClassUID=VideoEndoscopicImageStorage, Modality="ES")
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "YBR_PARTIAL_420", 3, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.NumberOfFrames = 7, 300
    del dataset.PixelData
    return to_bytes(dataset) + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"


def write_video(path: Path, fragments: Sequence[bytes], syntax: str = AVC, end: bytes = DELIMITER) -> Path:
    """A video of these fragments, which are not padded."""
    path.write_bytes(video_head(syntax) + _items([b"", *fragments]) + end)
    return path
