"""Pixel data of any transfer syntax, one frame at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import convert_color_space

from stillframe.codec.facts import FrameFacts
from stillframe.codec.probe import probe_frame
from stillframe.dicom.encapsulated import Fragment, group_frames, read_frame
from stillframe.dicom.files import LoadedInput, ReadableFile
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.read import Instance
from stillframe.dicom.syntaxes import EXPLICIT_BIG, Family, TransferSyntax, transfer_syntax
from stillframe.dicom.uids import check_uid
from stillframe.errors import PixelDataError
from stillframe.pixels.decoders import decode_compressed
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, frame_bits, unpack_frame
from stillframe.pixels.overlays import EmbeddedOverlay, embedded_overlays
from stillframe.pixels.samples import Contradiction, DecodedFrame, mask_samples, reconcile_samples

# Of these only JPEG 2000 knows the transform, or the sub-sampling (PS3.5 8.2).
_OF_JPEG_2000: Final = frozenset({"YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"})
# Colour that decoders of JPEG XL give back as it was put in, without a transform of their own.
_PLAIN_COLOUR: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"})


class Form(StrEnum):
    """How the frames of an instance are stored."""

    NATIVE = "native"
    LOSSLESS = "lossless"
    LOSSY = "lossy"
    OPAQUE = "opaque"  # nothing here decodes them


def check_still_frames(syntax: TransferSyntax) -> None:
    """Refuse a transfer syntax whose data sets hold no still frames.

    Raises:
        PixelDataError: naming it.
    """
    if syntax.family is Family.JPIP:
        raise PixelDataError(f"{syntax} refers to a JPIP provider; there are no pixel data to publish")
    if not syntax.has_frames:
        raise PixelDataError(f"{syntax} is not supported")


class FrameReader:
    """The frames of one instance, read from its file one by one.

    `stated` is what the data set says, `description` what the frames are: the same, or what `adopt` was told. `notes`
    are what the owner of the image should know of the difference, `overlays` the planes in unused bits of the pixels.
    `indices` are the frames that are wanted, ascending: all of them, unless somebody asks for fewer.

    Raises:
        PixelDataError: on creation if the pixel data cannot hold the frames the data set promises.
    """

    def __init__(self, instance: Instance, description: PixelDescription) -> None:
        assert instance.pixels is not None
        self.syntax = transfer_syntax(instance.transfer_syntax)
        check_still_frames(self.syntax)
        self.description = self.stated = description
        self.notes: list[str] = []
        self._adopted: list[str] = []
        self._file: ReadableFile = instance.file
        self._pixels = instance.pixels
        self._groups: list[tuple[Fragment, ...]] = []
        self._lengths: tuple[int, ...] = ()
        if not _defines(self.syntax, description.photometric):
            raise PixelDataError(f"{description.photometric} is not defined for {self.syntax}")
        if self._pixels.length is None:
            self._open_encapsulated(instance)
        else:
            self._open_native(self._pixels.length)
        self.indices: Sequence[int] = range(self.description.frames)
        self.overlays: tuple[EmbeddedOverlay, ...] = embedded_overlays(instance.dataset, self.description)
        if description.packed:
            self.notes.append("Bits Allocated was 12; the samples are published in 16 bits")

    def _open_encapsulated(self, instance: Instance) -> None:
        if self.syntax.is_native:
            raise PixelDataError(f"encapsulated pixel data under the native transfer syntax {self.syntax.uid}")
        check_uid(self.syntax.uid, "TransferSyntaxUID")
        assert instance.fragments is not None
        offsets = _extended_table(instance.dataset, "ExtendedOffsetTable")
        self._groups = group_frames(
            instance.fragments, self.description.frames, offsets, self._file, one_each=self.syntax.has_one_fragment
        )
        lengths = _extended_table(instance.dataset, "ExtendedOffsetTableLengths")
        self._lengths = lengths if len(lengths) == len(self._groups) else ()
        self._count_frames(len(self._groups))

    def _open_native(self, length: int) -> None:
        if not self.syntax.is_native:
            raise PixelDataError(f"{self.syntax} asks for encapsulated pixel data, these are native")
        bits = frame_bits(self.description)
        if not self.description.frames:
            frames = _frames_in(length, bits)
            if frames > 1 and self.description.packed:
                raise PixelDataError(
                    "Number of Frames is missing, and Bits Allocated is 12: their length tells nothing"
                )
            self._count_frames(frames)
        frames = self.description.frames
        promised = (bits * frames + 7) // 8
        if length < promised:
            raise PixelDataError(f"{frames} frames need {promised} bytes, the pixel data have {length}")
        if (length - promised) * 8 >= max(bits, 16):
            raise PixelDataError(f"Number of Frames is {frames}, the pixel data hold {length * 8 // bits}")
        # What is 422 or packed in name only is longer, and would come out as noise.
        if (length - promised) * 8 >= 16 and (
            self.description.packed or self.description.photometric == "YBR_FULL_422"
        ):
            what = "Bits Allocated 12" if self.description.packed else "YBR_FULL_422"
            raise PixelDataError(f"{frames} frames of {what} need {promised} bytes, the pixel data have {length}")
        if length > promised + promised % 2:
            self.notes.append(f"{length - promised} bytes behind the last frame are not published")

    def _count_frames(self, frames: int) -> None:
        """Take over the number of frames found where the data set does not say it."""
        if not self.description.frames:
            self.description = replace(self.description, frames=frames)
            if frames > 1:
                self.notes.append(f"Number of Frames is missing; the pixel data hold {frames}")

    @property
    def native(self) -> bool:
        """Whether the frames are stored without compression."""
        return not self._groups

    @property
    def changes(self) -> JSONDataset:
        """What the metadata have to say otherwise than the data set, in JSON."""
        now, stated = self.description, self.stated
        changes: JSONDataset = {}
        if now.frames != stated.frames and now.frames > 1:
            changes["00280008"] = {"vr": "IS", "Value": [now.frames]}
        if stated.packed or now.bits_allocated != stated.bits_allocated:
            changes["00280100"] = _us(now.bits_allocated)
        if now.bits_stored != stated.bits_stored:
            changes |= {"00280101": _us(now.bits_stored), "00280102": _us(now.bits_stored - 1)}
        if now.pixel_representation != stated.pixel_representation:
            changes["00280103"] = _us(now.pixel_representation)
        return changes

    def adopt(self, contradiction: Contradiction) -> None:
        """Read all frames as the codestream that caused the contradiction says."""
        self.description = contradiction.description
        stated = self.stated
        self.notes = [note for note in self.notes if note not in self._adopted]
        self._adopted = [
            f"{contradiction}, not {stated.bits_stored} bits with Pixel Representation {stated.pixel_representation};"
            " they are published as they are"
        ]
        self.notes += self._adopted

    def form(self) -> Form:
        """How the frames are stored, as the first of them shows.

        Raises:
            PixelDataError: if the first frame is not what the data set says.
        """
        if self.native:
            return Form.NATIVE
        if self.syntax.is_passed_through:
            return Form.OPAQUE
        facts = self.probe(self.encoded(0))
        if not facts.decodable:
            return Form.OPAQUE
        return Form.LOSSLESS if facts.lossless else Form.LOSSY

    @property
    def encodable(self) -> bool:
        """Whether the samples can become HTJ2K: 8 or 16 bit integers, and of JPEG XL only what needs no guessing."""
        description = self.description
        plain = self.syntax.family is not Family.JPEG_XL or (
            description.photometric in _PLAIN_COLOUR and not description.pixel_representation
        )
        return description.encodable and plain

    def encoded(self, frame_index: int) -> bytes:
        """The compressed bytes of a frame; `frame_index` counts from 0."""
        length = self._lengths[frame_index] if self._lengths else None
        return read_frame(self._file, self._groups[frame_index], length, end_marker=self.syntax.has_end_marker)

    def stored_bytes(self, frame_index: int) -> int:
        """The bytes that a frame has in the file, from its place there; it is not read."""
        if self.native:
            return frame_bits(self.description) // 8 or 1
        return self._lengths[frame_index] if self._lengths else sum(part.length for part in self._groups[frame_index])

    def probe(self, data: bytes) -> FrameFacts:
        """Facts of a compressed frame, checked against the data set."""
        description = self.description
        return probe_frame(
            data,
            self.syntax,
            FrameFacts(
                width=description.columns,
                height=description.rows,
                samples=description.samples,
                precision=description.bits_allocated,
                lossless=True,
            ),
        )

    def decoded(self, frame_index: int) -> DecodedFrame:
        """The pixels of a frame; `frame_index` counts from 0.

        Raises:
            PixelDataError: if the frame cannot be decoded; a `Contradiction` if it does not fit the data set.
        """
        if self.native:
            return self._finish_native(self._read_native(frame_index))
        return self.decode(self.encoded(frame_index))

    def decode(self, data: bytes) -> DecodedFrame:
        """The pixels of one compressed frame of this instance."""
        description = self.description
        if self.syntax.is_passed_through:
            raise PixelDataError(f"{self.syntax} is not decoded here")
        facts = self.probe(data)
        if not facts.decodable:
            raise PixelDataError("this form of JPEG XL is not decoded here")
        array, photometric = decode_compressed(data, self.syntax, description, facts)
        if array.shape != description.shape:
            raise PixelDataError(f"a frame decodes to {array.shape}, the data set says {description.shape}")
        if self.syntax.family is Family.ITEMS:
            return self._finish_native(array)
        # The precision of lossless JPEG is often that of the cells, whose unused bits were compressed with the rest.
        unused_bits = (
            not self.syntax.is_self_describing
            and description.bits_stored < facts.precision <= description.bits_allocated
        )
        if self.overlays or unused_bits or not facts.precision:
            decoded = mask_samples(array.astype(description.dtype, copy=False), description, self.overlays)
        else:
            decoded = reconcile_samples(array, description, facts)
        converted = description.photometric.startswith("YBR_FULL") and photometric == "RGB"
        return replace(decoded, converted=converted, lossless=facts.lossless)

    def _finish_native(self, frame: Frame) -> DecodedFrame:
        description = self.description
        if description.photometric in ("YBR_FULL", "YBR_FULL_422"):
            return DecodedFrame(array=np.asarray(convert_color_space(frame.copy(), "YBR_FULL", "RGB")), converted=True)
        return mask_samples(frame, description, self.overlays)

    def _read_native(self, frame_index: int) -> Frame:
        description = self.description
        bits = frame_bits(description)
        start = frame_index * bits
        data = self._read_bytes(start // 8, (start + bits + 7) // 8 - start // 8)
        return unpack_frame(
            data, description, first_bit=start % 8, order=">" if self.syntax.uid == EXPLICIT_BIG else "<"
        )

    def _read_bytes(self, start: int, length: int) -> bytearray | memoryview:
        """Part of the native pixel data; cells up to 12 bits in big endian OW words are brought back into order."""
        description = self.description
        swapped = (
            self.syntax.uid == EXPLICIT_BIG
            and self._pixels.vr == "OW"
            and (description.bits_allocated <= 8 or description.packed)
        )
        if isinstance(self._file, LoadedInput) and not swapped:
            offset = self._pixels.offset + start
            return self._file.getbuffer()[offset : offset + length]
        margin = start % 2 if swapped else 0
        wanted = length + margin
        data = bytearray(wanted + wanted % 2 if swapped else wanted)
        self._file.seek(self._pixels.offset + start - margin)
        read = self._file.readinto(data)
        if read < wanted:
            raise PixelDataError("the file became shorter while it was read")
        if swapped:
            data = bytearray(np.frombuffer(data, "u2").byteswap().tobytes())[margin : margin + length]
        return data


def _defines(syntax: TransferSyntax, photometric: str) -> bool:
    """Whether a colour space is defined for a transfer syntax (PS3.5 8.2); for what is not decoded here, any may be."""
    if syntax.is_passed_through or syntax.family is Family.JPEG_XL:
        return True
    return photometric != "XYB" and (syntax.is_jpeg_2000 or photometric not in _OF_JPEG_2000)


def _frames_in(length: int, bits: int) -> int:
    """How many native frames of so many bits there are where nothing says it; the value is padded to even length.

    Raises:
        PixelDataError: if the length allows no number of frames, or several but not one.
    """
    most = length * 8 // bits
    possible = [
        frames for frames in range(max(1, (length * 8 - 16) // bits), most + 1) if length * 8 - frames * bits < 16
    ]
    if most <= 1 or 1 in possible:
        return 1
    if len(possible) == 1:
        return possible[0]
    raise PixelDataError(f"Number of Frames is missing, and {length} bytes of pixel data do not tell it")


def _extended_table(dataset: Dataset, keyword: str) -> tuple[int, ...]:
    """The Extended Offset Table or its lengths (7FE0,0001), (7FE0,0002): 64 bits a frame (PS3.3 C.7.6.3.1.8)."""
    value = dataset.get(keyword)
    if not isinstance(value, bytes):
        return ()
    count = len(value) // 8
    return struct.unpack(f"<{count}Q", value[: count * 8])


def _us(value: int) -> dict[str, object]:
    return {"vr": "US", "Value": [value]}
