"""The Image Pixel module (PS3.3 C.7.6.3) of an instance, read and checked before any pixel is."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import STR_VR

from stillframe.dicom.json_model import JSONDataset, in_other_vr
from stillframe.dicom.lenient import raw_element, raw_text, written_vr
from stillframe.dicom.numbers import NUMBER_CODES, WORD_BYTES, unpack_numbers
from stillframe.dicom.read import PixelElement
from stillframe.dicom.vr import dictionary_vr
from stillframe.errors import PixelDataError
from stillframe.options import MAX_FRAME_BYTES

# What every image has, and this reader can do without.
_TYPE_1: Final = {
    "00280002": "Samples per Pixel",
    "00280101": "Bits Stored",
    "00280102": "High Bit",
    "00280103": "Pixel Representation",
}
# Of a Code String (PS3.5 6.2), and more than that, since it is quoted.
_LONGEST_CODE: Final = 64
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420", "XYB"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDescription:
    """The Image Pixel module (PS3.3 C.7.6.3) of an instance, checked. Bits are counted per sample.

    `frames` is 0 where the data set does not say. `packed` means that its Bits Allocated are 12: native samples follow
    each other without padding. Such samples are published in 16 bits, and `bits_allocated` says so. `high_bit` is what
    the data set says, right or not.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    floating: bool = False
    packed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one decoded frame: (rows, columns) or (rows, columns, 3)."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a decoded sample, in native byte order; 1-bit samples unpack to uint8."""
        if self.bits_allocated == 1:
            return np.dtype("u1")
        kind = "f" if self.floating else "ui"[self.pixel_representation]
        return np.dtype(f"{kind}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * self.dtype.itemsize

    @property
    def encodable(self) -> bool:
        """Whether HTJ2K as published here can hold the samples: integers of 8 or 16 allocated bits."""
        return self.bits_allocated in (8, 16) and not self.floating

    @property
    def cell_bits(self) -> int:
        """Bits that a native sample has in the file."""
        return 12 if self.packed else self.bits_allocated

    def check(self) -> None:
        """Refuse what contradicts itself, or is not supported.

        Raises:
            PixelDataError: naming the attribute.
        """
        if self.rows < 1 or self.columns < 1:
            raise PixelDataError(f"an image of {self.columns} x {self.rows} pixels")
        if self.frames < 0:
            raise PixelDataError(f"Number of Frames is {self.frames}")
        if self.photometric not in (_GREY if self.samples == 1 else _COLOUR) or self.samples not in (1, 3):
            said = self.photometric[:_LONGEST_CODE]
            raise PixelDataError(f"Photometric Interpretation {said!r} with {self.samples} samples is not supported")
        if self.bits_allocated not in ((32, 64) if self.floating else (1, 8, 16, 32, 64)):
            raise PixelDataError(f"Bits Allocated {self.bits_allocated} is not supported")
        if not 1 <= self.bits_stored <= self.cell_bits:
            raise PixelDataError(f"Bits Stored {self.bits_stored} with Bits Allocated {self.cell_bits}")
        if self.packed and self.samples > 1:
            raise PixelDataError(f"Bits Allocated 12 with {self.samples} samples is not supported")
        if self.pixel_representation not in (0, 1) or self.planar not in (0, 1):
            raise PixelDataError("Pixel Representation and Planar Configuration are 0 or 1")
        if self.photometric.startswith("YBR_FULL") and self.bits_allocated not in (8, 16):
            raise PixelDataError(f"{self.photometric} with Bits Allocated {self.bits_allocated} is not supported")

    def restated(
        self, metadata: JSONDataset, dataset: Dataset, read: PixelDescription | None
    ) -> tuple[JSONDataset, list[str]]:
        """Elements that a file has written in another VR, so that none who reads the metadata finds their values there.

        And those of type 1 (PS3.3 C.7.6.3.1) that it lacks, as they were taken to be; and the notes that tell of both.

        Args:
            metadata: what became of the data set.
            dataset: the data set that this is the description of.
            read: how the frames were read in the end; None if nobody reads them.
        """
        own = self._elements()
        odd = {tag: new for tag, new in own.items() if _values(metadata, tag) not in (None, new["Value"])}
        missing = [tag for tag in _TYPE_1 if tag in own and _values(metadata, tag) is None]
        taken = replace(read, high_bit=read.bits_stored - 1)._elements() if read and missing else {}
        lacking = {tag: taken[tag] for tag in missing if tag in taken}
        told = [in_other_vr(tag, written_vr(dataset, int(tag, 16)), new) for tag, new in odd.items()]
        told += [_missing(tag, new["Value"][0]) for tag, new in lacking.items()]
        return odd | lacking, told

    def _elements(self) -> JSONDataset:
        """The Image Pixel module in its own VRs."""
        numbers = {
            "00280002": self.samples,
            "00280006": self.planar,
            "00280010": self.rows,
            "00280011": self.columns,
            "00280100": self.cell_bits,
        }
        if not self.floating:  # which has none of these (PS3.3 C.7.6.24)
            numbers |= {"00280101": self.bits_stored, "00280102": self.high_bit, "00280103": self.pixel_representation}
        elements: JSONDataset = {tag: {"vr": "US", "Value": [number]} for tag, number in numbers.items()}
        elements["00280004"] = {"vr": "CS", "Value": [self.photometric]}
        elements["00280008"] = {"vr": "IS", "Value": [self.frames]}
        return elements


def _missing(tag: str, taken: int) -> str:
    return f"{_TYPE_1[tag]} ({tag[:4]},{tag[4:]}) is missing; taken to be {taken}"


def _values(metadata: JSONDataset, tag: str) -> object:
    """What JSON has of an element; None of one that is not there, or has no value."""
    return next((value for name, value in metadata.get(tag, {}).items() if name != "vr"), None)


# PS3.3 C.7.6.24, C.7.6.25.
_FLOATING_BITS: Final = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_TEXT_NUMBERS: Final = frozenset({"IS", "DS"})
_WHOLE_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,16})(?:\.0*)?\s*", re.ASCII)
_TEXT_VRS: Final = frozenset(STR_VR)
_FLOATS: Final = frozenset({"FL", "FD"})


def describe_pixels(dataset: Dataset, pixels: PixelElement, max_frame_bytes: int = MAX_FRAME_BYTES) -> PixelDescription:
    """Read and check the Image Pixel module; a decoded frame may have `max_frame_bytes`.

    Raises:
        PixelDataError: naming the attribute that is missing, malformed or not supported.
    """
    floating = pixels.keyword != "PixelData"
    allocated = _integer(dataset, "BitsAllocated")
    width = _FLOATING_BITS.get(pixels.keyword, allocated)
    if allocated != width:
        raise PixelDataError(f"Bits Allocated is {allocated}, but {pixels.keyword} has samples of {width} bits")
    stored, high_bit = (allocated, allocated - 1) if floating else _read_bits(dataset, allocated)
    packed = allocated == 12 and not floating
    description = PixelDescription(
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        frames=_integer(dataset, "NumberOfFrames", default=0),
        samples=_integer(dataset, "SamplesPerPixel", default=1),
        photometric=raw_text(dataset, 0x00280004),
        planar=_integer(dataset, "PlanarConfiguration", default=0),
        bits_allocated=16 if packed else allocated,
        bits_stored=stored,
        high_bit=high_bit,
        pixel_representation=0 if floating else _integer(dataset, "PixelRepresentation", default=0),
        floating=floating,
        packed=packed,
    )
    description.check()
    if description.frame_bytes > max_frame_bytes:
        raise PixelDataError(f"a frame of {description.frame_bytes} bytes exceeds the limit of {max_frame_bytes}")
    return description


def _read_bits(dataset: Dataset, allocated: int) -> tuple[int, int]:
    """Bits Stored and High Bit. Where only one of them is there, it tells the other (PS3.5 8.1.1)."""
    unknown = -1
    high_bit = _integer(dataset, "HighBit", default=unknown)
    told = high_bit + 1 if 0 <= high_bit < allocated else allocated
    stored = _integer(dataset, "BitsStored", default=told)
    return stored, stored - 1 if high_bit == unknown else high_bit


_tag: Final = lru_cache(Tag)


def _integer(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """An attribute of the Image Pixel module.

    Raises:
        PixelDataError: if it is no whole number, or is missing and has no default.
    """
    number = read_integer(dataset, _tag(keyword), keyword)
    if number is not None:
        return number
    if default is None:
        raise PixelDataError(f"{keyword} is missing")
    return default


def read_integer(dataset: Dataset, tag: BaseTag, name: str) -> int | None:
    """A whole number, from the bytes in the file; None if it is missing or empty.

    pydicom's conversion would cost more than a header, and does not know what to do with VRs that are not the
    attribute's own. Other VRs of numbers or of text count. Where the VR tells nothing, the bytes are a value of the
    attribute's own, or else a number of 16 bits.

    Raises:
        PixelDataError: if it is none.
    """
    element = raw_element(dataset, tag)
    value: Any = None if element is None else element.value
    if element is None or value in (None, b"", ""):
        return None
    own = dictionary_vr(tag)
    vr = element.VR or own
    if not isinstance(element, RawDataElement) or vr in _TEXT_NUMBERS:
        return _integer_of_text(str(value) if not isinstance(value, bytes) else _unpadded(value), name)
    text = _unpadded(value)
    if vr in _TEXT_VRS or (own in _TEXT_NUMBERS and vr not in NUMBER_CODES):
        if not text or _WHOLE_NUMBER.fullmatch(text):
            return _integer_of_text(text, name)
        vr = "US"
    size = WORD_BYTES[vr] if vr in NUMBER_CODES else 2
    if len(value) != size:
        raise PixelDataError(f"{name} has {len(value)} bytes, expected {size}")
    if vr in _FLOATS:
        (number,) = unpack_numbers(value, vr, element.is_little_endian)
        return _integer_of_text(str(number), name)
    return int.from_bytes(value, "little" if element.is_little_endian else "big")


def _unpadded(value: bytes) -> str:
    return value.strip(b"\0 ").decode("latin-1")


def _integer_of_text(text: str, name: str) -> int | None:
    """A number that may have a fraction of 0 (1.0), as some writers have it in DS; None of padding alone (PS3.5 6.2).

    Raises:
        PixelDataError: if it is none.
    """
    if not text:
        return None
    if not (number := _WHOLE_NUMBER.fullmatch(text)):
        raise PixelDataError(f"{name} is not a number: {text[:40]!r}")
    return int(number[1])
