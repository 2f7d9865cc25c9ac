"""Pixel data of any transfer syntax, one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from stillframe.codec.colour import NO_MARKERS, Colour, decide_colour
from stillframe.codec.facts import FrameFacts
from stillframe.codec.jpegxl_header import is_jpeg_xl
from stillframe.codec.probe import probe_frame
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.lenient import raw_text
from stillframe.dicom.read import Instance
from stillframe.dicom.syntaxes import Family, TransferSyntax, transfer_syntax
from stillframe.errors import PixelDataError
from stillframe.options import DecoderLimits
from stillframe.pixels.colour import as_unsigned, convert_to_rgb
from stillframe.pixels.decoders import LimitReached, Samples, decode_compressed, read_recompressed
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.frame_bytes import FrameBytes
from stillframe.pixels.high_bit import Alignment, UnknownAlignment, align_samples
from stillframe.pixels.native import Frame, frame_bits
from stillframe.pixels.overlays import EmbeddedOverlay, embedded_overlays
from stillframe.pixels.samples import Contradiction, DecodedFrame, mask_samples, reconcile_samples
from stillframe.pixels.viewer_samples import published_description

# Of these only JPEG 2000 knows the transform, or the sub-sampling (PS3.5 8.2).
_OF_JPEG_2000: Final = frozenset({"YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"})
# Here markers may say what the data set cannot.
_MARKED: Final = frozenset({Family.JPEG, Family.JPEG_LS})
_DEFAULT_LIMITS: Final = DecoderLimits()


type StoredFrame = bytes | bytearray | memoryview


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


def _no_check() -> None:
    """Nobody asks before a frame is read."""


class DamagedFrame(PixelDataError):
    """One frame cannot be read or decoded, for a `reason` that does not name it."""

    def __init__(self, frame_index: int, reason: str) -> None:
        super().__init__(f"frame {frame_index + 1}: {reason}")
        self.reason = reason


class FrameReader:
    """The frames of one instance, read from its file one by one.

    `stated` is what the data set says, `description` what the frames are: the same, or what `adopt` was told; likewise
    `named` is the transfer syntax that the file names, `syntax` what the frames turn out to be, `facts` those of the
    frame that told; with `restores` recompressed JPEG images are read as what they were. `published` describes the
    frames in the form that viewers show, unless they keep their bytes. `notes` are what the
    owner of the image should know of the difference, `overlays` the planes in unused bits of the pixels.
    `indices` are the frames that are wanted, ascending: all of them, unless somebody asks for fewer. `on_read` is
    called before each frame is read. `limits` are what a decoder may take.

    It can be pickled, but without its file: another process is given that (`file`) or the stored frames (`read_by`).

    Raises:
        PixelDataError: on creation if the pixel data cannot hold the frames the data set promises.
    """

    def __init__(
        self, instance: Instance, description: PixelDescription, limits: DecoderLimits = _DEFAULT_LIMITS
    ) -> None:
        self._limits = limits
        self.named = self.syntax = transfer_syntax(instance.transfer_syntax)
        check_still_frames(self.named)
        self.description = self.stated = description
        self.notes: list[str] = []
        if description.samples > 1 and description.pixel_representation:
            self.description = replace(description, pixel_representation=0)
            self.notes.append("Pixel Representation is 1; colour samples are unsigned (PS3.3 C.7.6.3.1.2), and read so")
        elif description.bits_allocated == 1 and description.pixel_representation:
            self.description = replace(description, pixel_representation=0)
            self.notes.append("Pixel Representation is 1; samples of 1 bit are unsigned (PS3.3 A.8.2.4), and read so")
        self._sop_class = raw_text(instance.dataset, 0x00080016)
        self.facts: FrameFacts | None = None
        self.restores = False
        self._adopted: list[str] = []
        self._renamed: list[str] = []
        self._bytes = FrameBytes(instance, self.named, self.description)
        self.notes += self._bytes.notes
        self.description = replace(self.description, frames=self._bytes.frames)
        if self._bytes.family not in _MARKED and not _defines(self._bytes.family, description.photometric):
            raise PixelDataError(f"{description.photometric} is not defined for {self.named}")
        self.on_read: Callable[[], None] = _no_check
        self._read_stored: Callable[[int], StoredFrame] | None = None
        self.indices: Sequence[int] = range(self.description.frames)
        self.overlays: tuple[EmbeddedOverlay, ...] = embedded_overlays(instance.dataset, self.description)
        if description.packed:
            self.notes.append("Bits Allocated was 12; the samples are published in 16 bits")

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"on_read": _no_check, "_read_stored": None}

    def read_by(self, read: Callable[[int], StoredFrame]) -> None:
        """Have a function read stored frames from now on, by their indices."""
        self._read_stored = read

    @property
    def file(self) -> ReadableFile:
        """What the frames are read from. Native ones may be read from it where it was opened once more."""
        return self._bytes.file

    @file.setter
    def file(self, file: ReadableFile) -> None:
        self._bytes.file = file

    @property
    def native(self) -> bool:
        """Whether the frames are stored without compression."""
        return self._bytes.native

    @property
    def published(self) -> PixelDescription:
        """What describes the frames when they are published as samples."""
        return published_description(self.description, self._sop_class)

    @property
    def changes(self) -> JSONDataset:
        """What the metadata of frames that keep their bytes have to say otherwise than the data set, in JSON."""
        return self._changes(self.description)

    @property
    def published_changes(self) -> JSONDataset:
        """What the metadata of frames that are published as samples have to say otherwise than the data set."""
        return self._changes(self.published)

    def _changes(self, now: PixelDescription) -> JSONDataset:
        stated = self.stated
        changes: JSONDataset = {}
        if now.frames != stated.frames and now.frames > 1:
            changes["00280008"] = {"vr": "IS", "Value": [now.frames]}
        if stated.packed or now.bits_allocated != stated.bits_allocated:
            changes["00280100"] = _us(now.bits_allocated)
        if now.bits_stored != stated.bits_stored:
            changes["00280101"] = _us(now.bits_stored)
        if now.bits_stored != stated.bits_stored or stated.high_bit != now.bits_stored - 1:
            changes["00280102"] = _us(now.bits_stored - 1)
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

    def form(self, *, skip_damaged: bool = False) -> Form:
        """How the frames are stored, as the first of them shows, or the first that is not damaged.

        Raises:
            PixelDataError: if that frame is not what the data set says.
        """
        if self.native:
            return Form.NATIVE
        if self.named.is_passed_through:
            return Form.OPAQUE
        facts = self._first_facts(skip_damaged=skip_damaged)
        self.adopt_syntax(facts)
        if not facts.decodable:
            return Form.OPAQUE
        return Form.LOSSLESS if facts.lossless else Form.LOSSY

    def _first_facts(self, *, skip_damaged: bool) -> FrameFacts:
        for index in range(self.description.frames if skip_damaged else 1):
            try:
                return self.probe(index, self.encoded(index))
            except DamagedFrame:
                if not skip_damaged:
                    raise
        return self.probe(0, self.encoded(0))  # all are damaged

    def adopt_syntax(self, facts: FrameFacts) -> None:
        """Take the frames for what one of them is, where the transfer syntax that the file names does not allow it."""
        self.notes = [note for note in self.notes if note not in self._renamed]
        self.syntax, self.facts, self._renamed = facts.syntax, facts, []
        if facts.syntax.uid != self.named.uid:
            # What a JPEG XL image lost, it does not tell.
            untold = facts.lossless or facts.syntax.family is Family.JPEG_XL
            loss = "" if untold else ", compressed with loss"
            self._renamed.append(
                f"the file names {self.named}, but its frames are of {facts.syntax}{loss}; they are taken for that"
            )
        if facts.process:
            self._renamed.append(f"the frames are {facts.process}, which {self.syntax} does not allow")
        self.notes += self._renamed

    def restore_jpeg(self) -> None:
        """From now on, read JPEG XL frames as the JPEG images that they were made of.

        Raises:
            PixelDataError: if the first frame does not give its image back.
        """
        self.restores = True
        first = self.probe(0, self.encoded(0))
        self.syntax = first.syntax
        if first.process:
            self._renamed.append(f"the frames are {first.process}, which {self.syntax} does not allow")
            self.notes.append(self._renamed[-1])

    def read_as_stored(self) -> None:
        """Take back `restore_jpeg`."""
        assert self.facts is not None
        self.restores = False
        self.adopt_syntax(self.facts)

    @property
    def encodable(self) -> bool:
        """Whether the samples can become HTJ2K: integers of up to 16 bits; JPEG XL cannot say that they are signed."""
        unsigned = self.syntax.family is not Family.JPEG_XL or not self.description.pixel_representation
        return self.published.encodable and unsigned

    def stored(self, frame_index: int) -> StoredFrame:
        """The bytes of a frame as they are in the file; `frame_index` counts from 0.

        Raises:
            DamagedFrame: if the file became shorter.
        """
        self.on_read()
        if self._read_stored is not None:
            return self._read_stored(frame_index)
        with _naming(frame_index):
            return self._bytes.stored(frame_index, self.description)

    def encoded(self, frame_index: int) -> bytes:
        """The compressed bytes of a frame; `frame_index` counts from 0."""
        data = bytes(self.stored(frame_index))
        if not self.restores or not is_jpeg_xl(data):
            return data
        with _naming(frame_index):
            return read_recompressed(data, self.description, self._limits)

    def stored_bytes(self, frame_index: int) -> int:
        """The bytes that a frame has in the file, from its place there; it is not read."""
        return frame_bits(self.description) // 8 or 1 if self.native else self._bytes.encoded_size(frame_index)

    def probe(self, frame_index: int, data: bytes) -> FrameFacts:
        """Facts of a compressed frame, checked against the data set.

        Raises:
            PixelDataError: naming the frame.
        """
        description = self.description
        expected = FrameFacts(
            width=description.columns,
            height=description.rows,
            samples=description.samples,
            precision=description.bits_allocated,
            lossless=True,
        )
        with _naming(frame_index):
            return probe_frame(data, self.named, expected)

    def decoded(self, frame_index: int) -> DecodedFrame:
        """The pixels of a frame; `frame_index` counts from 0.

        Raises:
            PixelDataError: if the frame cannot be decoded, naming it; a `Contradiction` if it does not fit the data
                set.
        """
        if not self.native:
            return self.decode(frame_index, self.encoded(frame_index))
        data = self.stored(frame_index)
        with _naming(frame_index):
            return self._finish_native(self._bytes.unpack(frame_index, data, self.description), None)

    def decode(self, frame_index: int, data: bytes) -> DecodedFrame:
        """The pixels of one frame that is compressed; `data` are its bytes."""
        if self.named.is_passed_through:
            raise PixelDataError(f"{self.named} is not decoded here")
        facts = self.probe(frame_index, data)
        with _naming(frame_index):
            if not facts.decodable:
                raise PixelDataError("this form of JPEG XL is not decoded here")
            samples = decode_compressed(data, facts, self.description, self._limits)
            return self._with_facts(self._finish_compressed(samples.array, facts), samples, facts)

    def _finish_compressed(self, array: Frame, facts: FrameFacts) -> DecodedFrame:
        """Decoded samples as the data set says; colour as RGB."""
        description = self.description
        if not facts.precision:
            return self._finish_native(array.astype(description.dtype, copy=False), facts)
        colour = self._colour(facts)
        if facts.signed and self._is_unsigned:
            array, facts = as_unsigned(array, facts.precision), replace(facts, signed=False)
        # The precision of lossless JPEG is often that of the cells, whose unused bits were compressed with the rest.
        unused_bits = facts.syntax.compresses_cells and (
            description.bits_stored < facts.precision <= description.bits_allocated
        )
        if self.overlays or unused_bits:
            return self._finish_native(array.astype(description.dtype, copy=False), facts)
        if colour is not None:
            array = convert_to_rgb(array, colour.space, facts.precision)
        remarks = (f"{self._high_bit()}; the codestreams say which bits are theirs",) if self.misaligned else ()
        return replace(reconcile_samples(array, description, facts), colour=colour, remarks=remarks)

    def _finish_native(self, frame: Frame, facts: FrameFacts | None) -> DecodedFrame:
        """Samples in cells, as they are without compression."""
        description, colour = self.description, self._colour(facts)
        alignment = self.alignment
        decoded = mask_samples(frame, description, self.overlays, alignment.shift)
        decoded = replace(decoded, remarks=(alignment.note,) if alignment.note else ())
        if colour is None:
            return decoded
        return replace(
            decoded, array=convert_to_rgb(decoded.array, colour.space, description.bits_stored), colour=colour
        )

    def _with_facts(self, decoded: DecodedFrame, samples: Samples, facts: FrameFacts) -> DecodedFrame:
        """What was done with the samples of a codestream that the data set does not let expect."""
        remarks = decoded.remarks
        if facts.signed and self._is_unsigned:
            remarks += ("colour that the codestreams mark as signed is read as unsigned (PS3.3 C.7.6.3.1.2)",)
        if samples.followed:
            remarks += ("bytes that are no part of the image stand behind it",)
        if samples.head:
            remarks += (f"the deflated frames have a {samples.head} head; they were read through it",)
        if samples.decoder:
            remarks += (f"{samples.refused} could not decode what {samples.decoder} could",)
        return replace(decoded, facts=facts, remarks=remarks)

    def _colour(self, facts: FrameFacts | None) -> Colour | None:
        """What the components of a frame are; None if it has one, or was a JPEG image that its decoder gives as RGB."""
        if self.description.samples == 1 or (facts is not None and facts.recompressed):
            return None
        photometric = self.description.photometric
        colour = decide_colour(NO_MARKERS if facts is None else facts.markers, photometric)
        if facts is not None and not colour.marker and not _defines(facts.syntax.family, photometric):
            raise PixelDataError(f"{photometric} is not defined for {facts.syntax}")
        return colour

    @property
    def _is_unsigned(self) -> bool:
        """Whether samples have no sign whatever a codestream says: colour, and a palette's indices if not stated so."""
        description = self.description
        palette = description.photometric == "PALETTE COLOR" and not self.stated.pixel_representation
        return description.samples > 1 or palette

    @cached_property
    def alignment(self) -> Alignment:
        """Where the samples are in their cells; what all frames tell, where High Bit is not Bits Stored - 1."""
        if not self.misaligned:
            return Alignment(0, "")
        if self.stated.bits_stored == self.stated.cell_bits:
            return Alignment(0, f"{self._high_bit()} of {self.stated.cell_bits} allocated: samples fill their cells")
        return align_samples(map(self._read_cells, range(self.description.frames)), self.description)

    @property
    def misaligned(self) -> bool:
        """Whether High Bit is not Bits Stored - 1 (PS3.5 8.1.1)."""
        return self.stated.high_bit != self.stated.bits_stored - 1

    def _high_bit(self) -> str:
        return f"High Bit is {self.stated.high_bit}, Bits Stored {self.stated.bits_stored}"

    def _read_cells(self, frame_index: int) -> Frame:
        """The samples of a frame with their unused bits."""
        with _naming(frame_index):
            if self.native:
                return self._bytes.unpack(frame_index, self.stored(frame_index), self.description)
            data = self.encoded(frame_index)
            facts = self.probe(frame_index, data)
            samples = decode_compressed(data, facts, self.description, self._limits)
            return samples.array.astype(self.description.dtype, copy=False)


@contextmanager
def _naming(frame_index: int) -> Iterator[None]:
    """Name the frame in what is wrong with it."""
    try:
        yield
    except (Contradiction, UnknownAlignment, DamagedFrame):  # of all frames, or named already
        raise
    except LimitReached as error:
        raise LimitReached(f"frame {frame_index + 1}: {error}") from error
    except PixelDataError as error:
        raise DamagedFrame(frame_index, str(error)) from error


def _defines(family: Family, photometric: str) -> bool:
    """Whether a colour space is defined for a family (PS3.5 8.2); for what is not decoded here, any may be."""
    if family in (Family.UNKNOWN, Family.JPEG_XL):
        return True
    of_jpeg_2000 = family in (Family.JPEG_2000, Family.HTJ2K)
    return photometric != "XYB" and (of_jpeg_2000 or photometric not in _OF_JPEG_2000)


def _us(value: int) -> dict[str, object]:
    return {"vr": "US", "Value": [value]}
