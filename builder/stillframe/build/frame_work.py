"""What becomes of one frame: its objects, checked, and what is to be told of it. Nothing is put anywhere here.

Lossless sources become HTJ2K, each frame decoded again and compared before it counts. No frame depends on another, so
that several processes can work on those of one instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stillframe.build.results import StageClock
from stillframe.codec import codestream, htj2k
from stillframe.codec.codestream import FrameRow
from stillframe.codec.facts import FrameFacts
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.codec.multipart import wrap_part
from stillframe.codec.probe import allows
from stillframe.dicom.syntaxes import EXPLICIT_LITTLE, Family
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CodecError, PixelDataError
from stillframe.layout import frame_key, reduced_key
from stillframe.options import BuildOptions
from stillframe.pixels.colour import ColourOutcome, colour_note, kept_photometric, viewer_note
from stillframe.pixels.foreign_codestreams import check_passed
from stillframe.pixels.native import Frame, native_bytes, same_samples
from stillframe.pixels.reader import DamagedFrame, FrameReader
from stillframe.pixels.samples import DecodedFrame
from stillframe.pixels.thumbnail import PublishedFrame


class FoundLossy(Exception):
    """A frame that was compressed with loss, behind others that were not; `facts` are what it says of itself."""

    def __init__(self, facts: FrameFacts) -> None:
        super().__init__(facts)
        self.facts = facts


class CannotKeep(PixelDataError):
    """Frames that cannot be published as they are, or as the JPEG images that they were, but for what they show."""


class Way(StrEnum):
    """How the frames of a pass are published."""

    ENCODE = "as HTJ2K"
    NATIVE = "without compression"
    KEEP = "as they are, once they were decoded"
    KEEP_HIDDEN = "likewise, but what they decode to is not what they show"
    UNSEEN = "as they are, without a look at them"


@dataclass(slots=True, kw_only=True)
class MadeFrame:
    """What one frame became. `index` counts from 0.

    `objects` are keys and bytes, `row` is that of the frame index, of HTJ2K. `encoded_bytes` is the length of the
    source frame, where it is compressed. `damage` says why the frame cannot be read, where that is tolerated. `remarks`
    are what the owner of the image should know, `planes` those of overlays, a bit a pixel. `photometric` is that of a
    frame that keeps its bytes, where it has colour. `shown` is the frame as one that may stand for all.
    """

    index: int
    objects: tuple[tuple[str, bytes], ...] = ()
    row: FrameRow | None = None
    encoded_bytes: int = 0
    masked: bool = False
    signed: bool = False
    damage: str = ""
    remarks: tuple[str, ...] = ()
    planes: tuple[bytes, ...] = ()
    photometric: str = ""
    shown: PublishedFrame | None = None


@dataclass(kw_only=True)
class FrameWork:
    """The work on the frames of one pass. `lossy` says that they were compressed with loss."""

    reader: FrameReader
    uids: InstanceUIDs
    options: BuildOptions
    clock: StageClock
    way: Way
    lossy: bool

    def __post_init__(self) -> None:
        self._first_shown = self.reader.description.frames

    @property
    def computes(self) -> bool:
        """Whether making a frame takes more than copying it."""
        return self.way is not Way.UNSEEN and not (self.way is Way.NATIVE and self.reader.native)

    def make(self, index: int) -> MadeFrame:
        """Make what one frame becomes; `index` counts from 0.

        Raises:
            PixelDataError: if the frame cannot be read or decoded; a `Contradiction`, or a `CannotKeep`, if all frames
                have to be published otherwise.
            FoundLossy: likewise.
            CodecError: if a frame does not come back from its codestream as it went in.
        """
        made = MadeFrame(index=index)
        match self.way:
            case Way.ENCODE:
                try:
                    self._encode(made)
                except CodecError as error:
                    raise CodecError(f"frame {index + 1}: {error}") from error
            case Way.NATIVE:
                payload = native_bytes(self._frame(made), self.reader.published.bits_allocated)
                made.objects = ((frame_key(self.uids, index + 1), wrap_part(payload, EXPLICIT_LITTLE)),)
            case _:
                data = self._read(made)
                if self.way is not Way.UNSEEN:
                    self._check_kept(made, data)
                made.objects = ((frame_key(self.uids, index + 1), wrap_part(data, self.reader.syntax.uid)),)
        return made

    def _read(self, made: MadeFrame) -> bytes:
        """The compressed bytes of a frame."""
        with self.clock("decode" if self.reader.restores else "read"):
            data = self.reader.encoded(made.index)
        made.encoded_bytes = len(data)
        return data

    def _tolerate(self, made: MadeFrame, damage: DamagedFrame, outcome: str) -> None:
        """Take down that a frame is damaged.

        Raises:
            DamagedFrame: if that is not tolerated.
        """
        if not self.options.keep_damaged:
            raise damage
        made.damage = damage.reason
        made.remarks += (f"damaged: {damage.reason}; {outcome}",)

    def _show(
        self, made: MadeFrame, pixels: Frame, codestream: bytes | None = None, header: MainHeader | None = None
    ) -> None:
        """Let a frame stand for all: the middle one, or the first one behind it that is not damaged.

        Who makes only some of the frames shows the first of his that may be it. What is stored does not tell a frame
        that was damaged from one without a sample that is not 0.
        """
        if self.options.keep_damaged and not pixels.any():
            return
        if self.reader.description.frames // 2 <= made.index < self._first_shown:
            self._first_shown = made.index
            foreign = None if codestream is None else self.options.decoder_limits
            made.shown = PublishedFrame(made.index, pixels, codestream, header, foreign)

    def _check_kept(self, made: MadeFrame, data: bytes) -> None:
        """See what a frame that keeps its bytes decodes to, and what its colours are."""
        try:
            with self.clock("decode"):
                decoded = self.reader.decode(made.index, data)
        except DamagedFrame as damage:
            if self.reader.restores:
                raise
            self._tolerate(made, damage, "the bytes of the frame are kept as they are")
            return
        assert decoded.facts is not None
        if self.way is not Way.KEEP_HIDDEN:
            self._show(made, decoded.array)
        stated, facts, colour = self.reader.description.photometric, decoded.facts, decoded.colour
        if not allows(self.reader.syntax, facts.syntax):
            raise CannotKeep(f"frame {made.index + 1}: is of {facts.syntax}, while others are of {self.reader.syntax}")
        made.remarks += decoded.remarks
        if colour is None or facts.syntax.family is Family.JPEG_XL:
            return
        made.remarks += (colour_note(colour, facts, stated, ColourOutcome.KEPT), viewer_note(facts, colour))
        made.photometric = kept_photometric(facts, colour, stated)

    def _encode(self, made: MadeFrame) -> None:
        """A frame as HTJ2K, with its reduced variants."""
        data, header, frame = self._codestream(made)
        with self.clock("index"):
            made.row = FrameRow(codestream.resolutions(header, len(data)), htj2k.frame_crc32(frame))
        objects = [(frame_key(self.uids, made.index + 1), data)]
        for level in self.options.reduced:
            if level <= header.levels:
                with self.clock("reduce"):
                    reduced = codestream.reduce_codestream(data, level, header)
                objects.append((reduced_key(self.uids, level, made.index + 1), reduced))
        made.objects = tuple(objects)

    def _codestream(self, made: MadeFrame) -> tuple[bytes, MainHeader, Frame]:
        """A verified codestream, its header and its pixels; the source's own if it already is what is published."""
        source = None if self.reader.native else self._read(made)
        if source is not None and self._is_published_form(made.index, source):
            with self.clock("verify"):
                header = parse_header(source)
                frame = check_passed(source, header, self.options.decoder_limits)
                frame = frame.astype(self.reader.published.dtype, copy=False)
            self._show(made, frame, source, header)
            return source, header, frame
        frame = self._frame(made, source)
        with self.clock("encode"):
            data = htj2k.encode_frame(frame, self.reader.published.bits_stored)
        with self.clock("verify"):
            header = parse_header(data)
            if not same_samples(htj2k.decode_lossless(data, header), frame):
                raise CodecError("it did not come back from its codestream as it went in")
        if made.shown is not None:
            made.shown = PublishedFrame(made.index, frame, data, header)
        return data, header, frame

    def _is_published_form(self, index: int, data: bytes) -> bool:
        """Whether a source frame already is a codestream as published here, and agrees with its data set."""
        description = self.reader.description
        if self.reader.syntax.family is not Family.HTJ2K or self.reader.overlays or codestream.nonconformities(data):
            return False
        if self.reader.misaligned or self.reader.published.bits_stored != description.bits_stored:
            return False
        try:
            self.reader.probe(index, data)
        except DamagedFrame:
            return False
        component = parse_header(data).components[0]
        return (component.precision, component.signed) == (
            description.bits_stored,
            description.pixel_representation == 1,
        ) and (description.samples == 1 or description.photometric in ("RGB", "YBR_RCT"))

    def _frame(self, made: MadeFrame, data: bytes | None = None) -> Frame:
        """The pixels of a frame as they are published; where it is damaged and that is tolerated, zeros."""
        try:
            frame = self._decoded(made, data).astype(self.reader.published.dtype, copy=False)
        except DamagedFrame as damage:
            self._tolerate(made, damage, "all samples of the frame are 0")
            frame = np.zeros(self.reader.description.shape, self.reader.published.dtype)
            self._take_planes(made, frame.view(f"u{frame.itemsize}"))
        else:
            self._show(made, frame)
        return frame

    def _decoded(self, made: MadeFrame, data: bytes | None = None) -> Frame:
        """The pixels of a frame; `data` are its compressed bytes, if it has any and they were read."""
        if self.reader.native:
            with self.clock("read"):
                decoded: DecodedFrame = self.reader.decoded(made.index)
        else:
            data = self._read(made) if data is None else data
            with self.clock("decode"):
                decoded = self.reader.decode(made.index, data)
        facts = decoded.facts
        if facts is not None and not facts.lossless and not self.lossy:
            raise FoundLossy(facts)
        made.masked = decoded.masked
        made.signed = decoded.signed and facts is not None and facts.syntax.is_jpeg_2000
        made.remarks += decoded.remarks
        if decoded.colour is not None:
            outcome = ColourOutcome.CONVERTED if decoded.converted else ColourOutcome.TAKEN
            stated = self.reader.description.photometric
            made.remarks += (colour_note(decoded.colour, facts, stated, outcome),)
        if decoded.cells is not None:
            self._take_planes(made, decoded.cells)
        return decoded.array

    def _take_planes(self, made: MadeFrame, cells: Frame) -> None:
        made.planes = tuple(overlay.plane(made.index, cells) for overlay in self.reader.overlays)
