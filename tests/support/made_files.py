"""DICOM files made for tests, byte by byte where a library would not write what some files in the world are."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from builder.dataset import read_instance
from builder.description import describe_pixels
from builder.pixels import FrameReader

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
UNCOMPRESSED_ITEMS, DEFLATED_FRAMES = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"
STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"


def jpeg(number: int) -> str:
    """UID of one of the JPEG transfer syntaxes, by its last component."""
    return f"1.2.840.10008.1.2.4.{number}"


def image_attributes(frame: npt.NDArray[Any], frames: int = 1, **others: Any) -> dict[str, Any]:
    """The Image Pixel module of frames like this one."""
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


def encapsulated(fragments: Iterable[bytes], table: bytes = b"", *, delimited: bool = True) -> bytes:
    """The value of encapsulated pixel data; fragments are padded to even length with zero."""
    items = [table, *(data + bytes(len(data) % 2) for data in fragments)]
    value = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return value + (struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if delimited else b"")


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
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
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


@contextmanager
def opened(path: Path) -> Iterator[FrameReader]:
    """A reader of the frames of a file."""
    with path.open("rb") as file:
        instance = read_instance(file)
        try:
            assert instance.pixels is not None
            yield FrameReader(instance, describe_pixels(instance.dataset, instance.pixels))
        finally:
            instance.file.close()


def read_frames(path: Path) -> list[npt.NDArray[Any]]:
    """Every frame as pixels."""
    with opened(path) as reader:
        return [reader.decoded(index).array for index in range(reader.description.frames)]


def noise(shape: tuple[int, ...], dtype: str, bits: int, seed: int = 0) -> npt.NDArray[Any]:
    """Samples over the whole range of so many bits; the upper half varies less, as images do."""
    kind = np.dtype(dtype)
    least = -(1 << bits - 1) if kind.kind == "i" else 0
    samples = np.random.default_rng(seed).integers(least, least + (1 << bits), shape)
    samples[: shape[0] // 2] >>= min(3, bits - 1)
    return samples.astype(kind)


# Encoders of one frame, as others write them: (frame, bits stored) -> bytes.


def htj2k(frame: npt.NDArray[Any], bits: int) -> bytes:
    """HTJ2K without TLM or tile-parts."""
    rgb = True if frame.ndim == 3 else None
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True, bitspersample=bits, rgb=rgb))


def j2k(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k", bitspersample=bits))


def jpegls(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame, level=0, bitspersample=bits))


def lossless_jpeg(frame: npt.NDArray[Any], bits: int, predictor: int = 1) -> bytes:
    space = "rgb" if frame.ndim == 3 else None
    return bytes(
        imagecodecs.jpeg_encode(
            frame, lossless=True, predictor=predictor, bitspersample=bits, colorspace=space, outcolorspace=space
        )
    )


def jpeg_ls_near(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame, level=3, bitspersample=bits))


def j2k_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=60, reversible=False, codecformat="j2k", bitspersample=bits))


def htj2k_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, level=0.01, reversible=False, bitspersample=bits))


def jpeg_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg_encode(frame, 95, bitspersample=bits))


def jpegxl(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, lossless=True, bitspersample=bits))


def jpegxl_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, distance=1.0, bitspersample=bits))


def jpegxl_of_jpeg(frame: npt.NDArray[Any], bits: int) -> bytes:
    """A JPEG image, recompressed without further loss."""
    return bytes(imagecodecs.jpegxl_encode_jpeg(jpeg_lossy(frame, bits)))


def deflated(native: bytes) -> bytes:
    """RFC 1951 without head or checksum."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(native) + deflater.flush()


def rle(frame: npt.NDArray[Any], bits: int) -> bytes:
    """Literal runs only (PS3.5 Annex G): a segment for every byte of a sample, the most significant first."""
    planes = [frame] if frame.ndim == 2 else [frame[..., sample] for sample in range(frame.shape[2])]
    segments = []
    for plane in planes:
        octets = plane.astype(plane.dtype.newbyteorder(">")).reshape(-1, 1).view("u1")
        for index in range(plane.itemsize):
            data = octets[:, index].tobytes()
            runs = b"".join(
                bytes([len(run) - 1]) + run for run in (data[n : n + 128] for n in range(0, len(data), 128))
            )
            segments.append(runs + bytes(len(runs) % 2))
    places = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    return struct.pack("<16L", len(segments), *places, *[0] * (15 - len(places))) + b"".join(segments)
