"""Pixel data of any transfer syntax, one frame at a time.

Decoding is pydicom's, with one permissively licensed plugin pinned for each transfer syntax, since plugins disagree.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID, ExplicitVRBigEndian, JPEGExtended12Bit, JPEGLSTransferSyntaxes

from builder import codec
from builder.dataset import NATIVE_SYNTAXES, Instance
from builder.description import PixelDescription
from builder.encapsulated import Fragment, group_frames, read_frame
from builder.errors import CodecError, PixelDataError
from builder.probe import JPEG_2000_FAMILY, RLE, FrameFacts, jp2_codestream, probe_frame
from builder.source import LoadedInput

type Frame = npt.NDArray[Any]

_PLUGINS: Final = {
    "1.2.840.10008.1.2.4.50": "gdcm",
    "1.2.840.10008.1.2.4.51": "gdcm",
    "1.2.840.10008.1.2.4.57": "gdcm",
    "1.2.840.10008.1.2.4.70": "gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    "1.2.840.10008.1.2.5": "pylibjpeg",
}
# Of these only JPEG 2000 knows the transform, or the sub-sampling (PS3.5 8.2).
_OF_JPEG_2000: Final = frozenset({"YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"})
_PLANAR = frozenset({RLE, *JPEGLSTransferSyntaxes})
# Codestreams that carry their own precision; there, values beyond Bits Stored are a contradiction, not padding.
_SELF_DESCRIBING = JPEG_2000_FAMILY | {JPEGExtended12Bit, *JPEGLSTransferSyntaxes}


class Form(StrEnum):
    """How the frames of an instance are stored."""

    NATIVE = "native"
    LOSSLESS = "lossless"
    LOSSY = "lossy"


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame as pixels: `array` as `PixelDescription.shape` and `.dtype` say, colour as RGB.

    `masked` tells that bits above Bits Stored were set and are not part of the samples (PS3.5 8.1.1); `converted`
    that YBR samples became RGB by PS3.3 C.7.6.3.1.2, with its rounding.
    """

    array: Frame
    masked: bool = False
    converted: bool = False


class FrameReader:
    """The frames of one instance, read from its file one by one.

    Raises:
        PixelDataError: on creation if the pixel data cannot hold the frames the data set promises.
    """

    def __init__(self, instance: Instance, description: PixelDescription) -> None:
        assert instance.pixels is not None
        self.description = description
        self.syntax = instance.transfer_syntax
        self._file: BinaryIO = instance.file
        self._pixels = instance.pixels
        self._groups: list[tuple[Fragment, ...]] = []
        self.notes: tuple[str, ...] = ()
        if description.photometric in _OF_JPEG_2000 and self.syntax not in JPEG_2000_FAMILY:
            raise PixelDataError(f"{description.photometric} is not defined for transfer syntax {self.syntax}")
        if self._pixels.length is None:
            self._open_encapsulated(instance)
        else:
            self._check_native(self._pixels.length)

    def _open_encapsulated(self, instance: Instance) -> None:
        if self.syntax in NATIVE_SYNTAXES:
            raise PixelDataError(f"encapsulated pixel data under the native transfer syntax {self.syntax}")
        if self.syntax not in _PLUGINS:
            raise PixelDataError(f"transfer syntax {self.syntax} ({UID(self.syntax).name}) is not supported")
        assert instance.fragments is not None
        offsets = _extended_offsets(instance.dataset)
        self._groups = group_frames(instance.fragments, self.description.frames, offsets, self._file)

    def _check_native(self, length: int) -> None:
        if self.syntax not in NATIVE_SYNTAXES:
            raise PixelDataError(f"transfer syntax {self.syntax} asks for encapsulated pixel data, these are native")
        frame_bits = self._native_frame_bits()
        promised = (frame_bits * self.description.frames + 7) // 8
        if length < promised:
            raise PixelDataError(
                f"{self.description.frames} frames need {promised} bytes, the pixel data have {length}"
            )
        if frame_bits and (length - promised) * 8 >= max(frame_bits, 16):
            held = length * 8 // frame_bits
            raise PixelDataError(f"Number of Frames is {self.description.frames}, the pixel data hold {held}")
        if length > promised + promised % 2:
            self.notes = (f"{length - promised} bytes behind the last frame are not published",)

    def _native_frame_bits(self) -> int:
        d = self.description
        if d.photometric == "YBR_FULL_422":
            return d.rows * d.columns * 2 * d.bits_allocated
        return d.rows * d.columns * d.samples * d.bits_allocated

    @property
    def native(self) -> bool:
        """Whether the frames are stored without compression."""
        return not self._groups

    def form(self) -> Form:
        """How the frames are stored, as the first of them shows.

        Raises:
            PixelDataError: if the first frame is not what the data set says.
        """
        if self.native:
            return Form.NATIVE
        return Form.LOSSLESS if self.probe(self.encoded(0)).lossless else Form.LOSSY

    def encoded(self, frame_index: int) -> bytes:
        """The compressed bytes of a frame; `frame_index` counts from 0."""
        return read_frame(self._file, self._groups[frame_index])

    def probe(self, data: bytes) -> FrameFacts:
        """Facts of a compressed frame, checked against the data set."""
        d = self.description
        return probe_frame(data, self.syntax, FrameFacts(d.columns, d.rows, d.samples, d.bits_allocated, True))

    def decoded(self, frame_index: int) -> DecodedFrame:
        """The pixels of a frame; `frame_index` counts from 0.

        Raises:
            PixelDataError: if the frame cannot be decoded, or does not fit Bits Stored.
        """
        if self.native:
            return self._mask(self._read_native(frame_index))
        return self.decode(self.encoded(frame_index))

    def decode(self, data: bytes) -> DecodedFrame:
        """The pixels of one compressed frame of this instance."""
        facts = self.probe(data)
        d = self.description
        if self.syntax == JPEGExtended12Bit and facts.precision > 8 and d.samples == 1:
            array, photometric = _decode_jpeg(data), d.photometric
        else:
            array, photometric = self._decode_by_plugin(data)
        if array.shape != d.shape:
            raise PixelDataError(f"a frame decodes to {array.shape}, the data set says {d.shape}")
        converted = d.photometric.startswith("YBR_FULL") and photometric == "RGB"
        return replace(self._mask(array.astype(d.dtype, copy=False)), converted=converted)

    def _decode_by_plugin(self, data: bytes) -> tuple[Frame, str]:
        """One frame through the pinned pydicom plugin, and the photometric interpretation it ended with."""
        d = self.description
        options: dict[str, Any] = {
            "rows": d.rows,
            "columns": d.columns,
            "number_of_frames": 1,
            "samples_per_pixel": d.samples,
            "photometric_interpretation": d.photometric,
            "bits_allocated": d.bits_allocated,
            "bits_stored": d.bits_stored,
            "pixel_representation": d.pixel_representation,
            "pixel_keyword": "PixelData",
        }
        if d.samples > 1:
            # Only RLE and JPEG-LS keep planes apart; the other decoders interleave whatever the data set says
            # (PS3.5 8.2.1, 8.2.4: the attribute has no meaning there).
            options["planar_configuration"] = d.planar if self.syntax in _PLANAR else 0
        if self.syntax not in _SELF_DESCRIBING:
            options["correct_unused_bits"] = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array, found = get_decoder(UID(self.syntax)).as_array(
                    encapsulate([jp2_codestream(data)], has_bot=False),
                    decoding_plugin=_PLUGINS[self.syntax],
                    **options,
                )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # each plugin has exceptions of its own, pylibjpeg-rle a Rust panic among them
            raise PixelDataError(f"a frame cannot be decoded: {' '.join(str(error).split())[:200]}") from error
        return np.asarray(array), str(found.get("photometric_interpretation"))

    def _read_native(self, frame_index: int) -> Frame:
        d = self.description
        if d.bits_allocated == 1:
            return self._read_bits(frame_index)
        length = self._native_frame_bits() // 8
        data = self._read_bytes(frame_index * length, length)
        if d.photometric == "YBR_FULL_422":
            return _expand_422(data, d)
        stored = d.dtype.newbyteorder(">" if self.syntax == ExplicitVRBigEndian else "<")
        samples = np.frombuffer(data, stored).astype(d.dtype, copy=False)
        if d.samples > 1 and d.planar == 1:
            return samples.reshape(d.samples, d.rows, d.columns).transpose(1, 2, 0)
        return samples.reshape(d.shape)

    def _read_bytes(self, start: int, length: int) -> bytearray | memoryview:
        """Part of the native pixel data; 8-bit samples in big endian OW words are brought back into order."""
        swapped = (
            self.syntax == ExplicitVRBigEndian and self._pixels.vr == "OW" and self.description.bits_allocated <= 8
        )
        if isinstance(self._file, LoadedInput) and not swapped:
            place = self._pixels.offset + start
            return self._file.getbuffer()[place : place + length]
        margin = start % 2 if swapped else 0
        wanted = length + margin
        data = bytearray(wanted + wanted % 2 if swapped else wanted)
        self._file.seek(self._pixels.offset + start - margin)
        read = self._file.readinto(data)  # type: ignore[attr-defined]  # every binary file here has it
        if read < wanted:
            raise PixelDataError("the file became shorter while it was read")
        if swapped:
            data = bytearray(np.frombuffer(data, "u2").byteswap().tobytes())[margin : margin + length]
        return data

    def _read_bits(self, frame_index: int) -> Frame:
        """Samples of one bit, packed little end first; a frame need not begin on a byte (PS3.5 8.1.1)."""
        d = self.description
        count = d.rows * d.columns * d.samples
        first = frame_index * count
        data = self._read_bytes(first // 8, (first + count + 7) // 8 - first // 8)
        bits = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")
        return bits[first % 8 : first % 8 + count].reshape(d.shape)

    def _mask(self, frame: Frame) -> DecodedFrame:
        """Bring samples into Bits Stored: unused bits cleared, or filled with the sign (PS3.5 8.1.1)."""
        d = self.description
        if d.photometric in ("YBR_FULL", "YBR_FULL_422") and self.native:
            return DecodedFrame(np.asarray(convert_color_space(frame.copy(), "YBR_FULL", "RGB")), converted=True)
        unused = d.dtype.itemsize * 8 - d.bits_stored
        if not unused or d.floating or d.bits_allocated == 1:
            return DecodedFrame(frame)
        least, most = (
            (-(1 << d.bits_stored - 1), (1 << d.bits_stored - 1) - 1)
            if d.pixel_representation
            else (
                0,
                (1 << d.bits_stored) - 1,
            )
        )
        if frame.max() <= most and frame.min() >= least:
            return DecodedFrame(frame)
        if self.syntax in _SELF_DESCRIBING:
            raise PixelDataError(f"a frame decodes to values beyond Bits Stored {d.bits_stored}")
        return DecodedFrame((frame << unused) >> unused, masked=True)


def _decode_jpeg(data: bytes) -> Frame:
    try:
        return codec.decode_jpeg(data)
    except CodecError as error:
        raise PixelDataError(f"a frame cannot be decoded: {error}") from error


def _expand_422(data: bytearray | memoryview, d: PixelDescription) -> Frame:
    """Native YBR_FULL_422 (PS3.3 C.7.6.3.1.2): two luminance samples share a pair of chrominance samples."""
    if d.bits_allocated != 8 or d.columns % 2:
        raise PixelDataError("native YBR_FULL_422 needs 8 bits and an even number of columns")
    quads = np.frombuffer(data, "u1").reshape(-1, 4)
    pixels = np.empty((quads.shape[0], 2, 3), "u1")
    pixels[:, :, 0] = quads[:, :2]
    pixels[:, :, 1] = quads[:, 2:3]
    pixels[:, :, 2] = quads[:, 3:4]
    return pixels.reshape(d.shape)


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    """The Extended Offset Table (7FE0,0001): one 64-bit item offset a frame (PS3.3 C.7.6.3.1.8)."""
    value = dataset.get("ExtendedOffsetTable")
    if not isinstance(value, bytes):
        return ()
    count = len(value) // 8
    return struct.unpack(f"<{count}Q", value[: count * 8])


def native_bytes(frame: Frame, bits_allocated: int) -> bytes:
    """A frame as Explicit VR Little Endian stores it (PS3.5 8.2): interleaved, little endian, 1-bit samples packed."""
    if bits_allocated == 1:
        return np.packbits(frame.reshape(-1), bitorder="little").tobytes()
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
