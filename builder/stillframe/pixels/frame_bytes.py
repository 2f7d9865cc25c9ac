"""Where the bytes of each frame are: native, or in fragments; and how many frames there are."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from stillframe.codec.probe import family_of
from stillframe.dicom.encapsulated import Fragment, Fragments, group_frames, read_frame
from stillframe.dicom.files import LoadedInput
from stillframe.dicom.lenient import raw_element, raw_text
from stillframe.dicom.read import Instance
from stillframe.dicom.sop_classes import SINGLE_FRAME
from stillframe.dicom.syntaxes import EXPLICIT_BIG, Family, TransferSyntax
from stillframe.dicom.uids import check_uid
from stillframe.errors import PixelDataError
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, frame_bits, unpack_frame

# A frame of these ends with FF D9 (ISO/IEC 10918-1, 14495-1 and 15444-1).
_END_MARKER: Final = frozenset({Family.JPEG, Family.JPEG_LS, Family.JPEG_2000, Family.HTJ2K})
_HEAD_BYTES: Final = 64
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002


class FrameBytes:
    """The bytes of the frames of one instance, in its file.

    `frames` is their number, `family` how they are compressed, as the first one shows or else the transfer syntax;
    `native` says that they are not. `notes` are what the owner of the image should know.

    What is pickled knows what the bytes mean, but neither the file nor where in it they are, unless they are native:
    `open` gives it a file then.

    Raises:
        PixelDataError: on creation if the pixel data cannot hold the frames the data set promises.
    """

    def __init__(self, instance: Instance, syntax: TransferSyntax, description: PixelDescription) -> None:
        assert instance.pixels is not None
        self.file = instance.file
        self.native = instance.pixels.length is not None
        self._pixels = instance.pixels
        self._big = syntax.uid == EXPLICIT_BIG
        self._groups: list[tuple[Fragment, ...]] = []
        self._lengths: tuple[int, ...] = ()
        self.frames = description.frames
        self.family = syntax.family
        self.notes: list[str] = []
        if self._pixels.length is None:
            self._open_encapsulated(instance, syntax)
        else:
            self._open_native(self._pixels.length, syntax, description)

    def _open_encapsulated(self, instance: Instance, syntax: TransferSyntax) -> None:
        check_uid(syntax.uid, "TransferSyntaxUID")
        assert instance.fragments is not None
        self.family = self._find_family(instance.fragments, syntax)
        offsets = _extended_table(instance.dataset, _EXTENDED_OFFSETS)
        self._groups = group_frames(
            instance.fragments,
            self.frames,
            offsets,
            self.file,
            family=self.family,
            single=raw_text(instance.dataset, 0x00080016) in SINGLE_FRAME,
        )
        lengths = _extended_table(instance.dataset, _EXTENDED_LENGTHS)
        self._lengths = lengths if len(lengths) == len(self._groups) else ()
        self._count_frames(len(self._groups))

    def _find_family(self, fragments: Fragments, syntax: TransferSyntax) -> Family:
        """How the frames are compressed, as the first fragment shows, or else the transfer syntax."""
        if syntax.is_passed_through or syntax.family is Family.ITEMS:
            return syntax.family
        head = [replace(first, length=min(first.length, _HEAD_BYTES)) for first in fragments.items[:1]]
        found = family_of(read_frame(self.file, head, end_marker=False))
        if syntax.is_native and found is None:
            raise PixelDataError(f"encapsulated pixel data under the native transfer syntax {syntax.uid}")
        return found or syntax.family

    def _open_native(self, length: int, syntax: TransferSyntax, description: PixelDescription) -> None:
        if not syntax.is_native:
            raise PixelDataError(f"{syntax} asks for encapsulated pixel data, these are native")
        bits = frame_bits(description)
        if not self.frames:
            frames = _frames_in(length, bits)
            if frames > 1 and description.packed:
                raise PixelDataError(
                    "Number of Frames is missing, and Bits Allocated is 12: their length tells nothing"
                )
            self._count_frames(frames)
        frames = self.frames
        promised = (bits * frames + 7) // 8
        if length < promised:
            raise PixelDataError(f"{frames} frames need {promised} bytes, the pixel data have {length}")
        if (length - promised) * 8 >= max(bits, 16):
            raise PixelDataError(f"Number of Frames is {frames}, the pixel data hold {length * 8 // bits}")
        # What is 422 or packed in name only is longer, and would come out as noise.
        if (length - promised) * 8 >= 16 and (description.packed or description.photometric == "YBR_FULL_422"):
            what = "Bits Allocated 12" if description.packed else "YBR_FULL_422"
            raise PixelDataError(f"{frames} frames of {what} need {promised} bytes, the pixel data have {length}")
        if length > promised + promised % 2:
            self.notes.append(f"{length - promised} bytes behind the last frame are not published")

    def _count_frames(self, frames: int) -> None:
        """Take over the number of frames found where the data set does not say it."""
        if not self.frames:
            self.frames = frames
            if frames > 1:
                self.notes.append(f"Number of Frames is missing; the pixel data hold {frames}")

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("file", "_groups", "_lengths")}

    def stored(self, frame_index: int, description: PixelDescription) -> bytes | bytearray | memoryview:
        """The bytes of a frame as they are in the file; `frame_index` counts from 0.

        Raises:
            PixelDataError: if the file became shorter.
        """
        if self.native:
            start, end = _native_range(frame_index, description)
            return self._read_bytes(start, end - start, description)
        length = self._lengths[frame_index] if self._lengths else None
        return read_frame(self.file, self._groups[frame_index], length, end_marker=self.family in _END_MARKER)

    def encoded_size(self, frame_index: int) -> int:
        """The bytes that a compressed frame has in the file, from its place there; it is not read."""
        stored = sum(part.length for part in self._groups[frame_index])
        return min(self._lengths[frame_index], stored) if self._lengths else stored

    def unpack(self, frame_index: int, data: bytes | bytearray | memoryview, description: PixelDescription) -> Frame:
        """The samples of a native frame, with their unused bits; `data` is what is `stored` of it."""
        first_bit = frame_index * frame_bits(description) % 8
        return unpack_frame(data, description, first_bit=first_bit, order=">" if self._big else "<")

    def _read_bytes(self, start: int, length: int, description: PixelDescription) -> bytearray | memoryview:
        """Part of the native pixel data; cells up to 12 bits in big endian OW words are brought back into order."""
        swapped = self._big and self._pixels.vr == "OW" and (description.bits_allocated <= 8 or description.packed)
        if isinstance(self.file, LoadedInput) and not swapped:
            offset = self._pixels.offset + start
            return self.file.getbuffer()[offset : offset + length]
        margin = start % 2 if swapped else 0
        wanted = length + margin
        data = bytearray(wanted + wanted % 2 if swapped else wanted)
        self.file.seek(self._pixels.offset + start - margin)
        read = self.file.readinto(data)
        if read < wanted:
            raise PixelDataError("the file became shorter while it was read")
        if swapped:
            data = bytearray(np.frombuffer(data, "u2").byteswap().tobytes())[margin : margin + length]
        return data


def _native_range(frame_index: int, description: PixelDescription) -> tuple[int, int]:
    """Where in the pixel data the bytes begin and end that hold a native frame."""
    bits = frame_bits(description)
    start = frame_index * bits
    return start // 8, (start + bits + 7) // 8


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


def _extended_table(dataset: Dataset, tag: int) -> tuple[int, ...]:
    """The Extended Offset Table or its lengths (7FE0,0001), (7FE0,0002): 64 bits a frame (PS3.3 C.7.6.3.1.8).

    Whatever VR a file gives it, its bytes count.
    """
    value = getattr(raw_element(dataset, tag), "value", None)
    if not isinstance(value, bytes):
        return ()
    count = len(value) // 8
    return struct.unpack(f"<{count}Q", value[: count * 8])
