"""The frames of one instance in their published form, put into a sink one by one.

Lossless sources become HTJ2K, each frame decoded again and compared before it counts; a frame that does not come back
exactly sends the whole instance to the native form. What becomes of lossy sources, `pixels/lossy` says. Those that
nothing here decodes keep their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stillframe.build.frame_pass import FramePass, PublishedFrames
from stillframe.build.multipart import wrap_part
from stillframe.build.results import StageClock
from stillframe.build.sink import LimitedSink
from stillframe.codec import codestream, htj2k
from stillframe.codec.codestream import FrameRow
from stillframe.codec.facts import FrameFacts
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.codec.probe import allows
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.syntaxes import EXPLICIT_LITTLE, HTJ2K_RPCL, Family
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CodecError, PixelDataError
from stillframe.layout import frame_key, reduced_key
from stillframe.options import BuildOptions, Lossy
from stillframe.pixels.codestreams import check_passed
from stillframe.pixels.colour import ColourOutcome, colour_note, kept_photometric, viewer_note
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.lossy import Treatment, choices_like, treat_lossy
from stillframe.pixels.native import Frame, frame_bits, native_bytes
from stillframe.pixels.reader import DamagedFrame, Form, FrameReader
from stillframe.pixels.samples import Contradiction, DecodedFrame
from stillframe.pixels.thumbnail import PublishedFrame

# The precision and the sign can each be found to be another than the data set says, once or a few times; and once
# frames that cannot be kept.
_ATTEMPTS: Final = 6


class _FoundLossy(Exception):
    """A frame that was compressed with loss, behind others that were not; `facts` are what it says of itself."""

    def __init__(self, facts: FrameFacts) -> None:
        self.facts = facts


class _CannotKeep(PixelDataError):
    """Frames that cannot be published as they are, or as the JPEG images that they were, but for what they show."""


def publish_frames(
    reader: FrameReader, uids: InstanceUIDs, options: BuildOptions, sink: LimitedSink, clock: StageClock
) -> PublishedFrames:
    """Put every wanted frame of an instance into `sink`.

    Where a frame shows that all of them are otherwise than the data set says, they are published anew as it says.

    Raises:
        PixelDataError: if a frame cannot be read or decoded.
        InputError: if they come to more than the sink takes.
    """
    publisher = _Publisher(reader, uids, options, sink, clock)
    with clock("read"):
        form = reader.form(skip_damaged=options.keep_damaged)
    for _ in range(_ATTEMPTS):
        try:
            return publisher.publish(form)
        except Contradiction as contradiction:
            reader.adopt(contradiction)
        except _FoundLossy as found:
            reader.adopt_syntax(found.facts)
            form = Form.LOSSY
        except _CannotKeep as reason:
            publisher.transcode_all(reason)
        sink.restart()
    raise PixelDataError("the frames contradict the data set and each other")


@dataclass
class _Publisher(FramePass):
    """The passes over the frames of one instance. `unkept` says why lossy ones that should be are not kept."""

    unkept: str = ""

    def publish(self, form: Form) -> PublishedFrames:
        """All frames, in the form that suits the one they are stored in."""
        reader = self.reader
        self.start(lossy=form is Form.LOSSY)
        plane = reader.description.rows * reader.description.columns // 8
        self.sink.expect(sum(len(overlay.frames) * plane for overlay in reader.overlays))
        if form is Form.OPAQUE:
            note = f"frames of {reader.syntax} are published as they are, neither decoded nor verified"
            return self.keep((note,), decode=False)
        if self.unkept:
            self.choices = frozenset({Lossy.AUTO})  # with a note, which others have not
        elif form is Form.LOSSY:
            assert reader.facts is not None
            signed = bool(reader.description.pixel_representation)
            self.choices = choices_like(self.options.lossy, reader.facts, signed=signed)
            match treat_lossy(self.options.lossy, reader.facts, signed=signed):
                case Treatment.KEEP:
                    return self.keep(())
                case Treatment.RESTORE:
                    return self.restore()
        notes = (f"{self.unkept}; all frames are published by what they decode to",) if self.unkept else ()
        if reader.syntax.family is Family.JPEG_XL and not reader.encodable:
            note = f"JPEG XL has no {_unlike_jpeg_xl(reader.description)}; the frames are kept as they are"
            return self.keep((*notes, note), show=False)  # what a decoder gives back is not the samples to show
        if not reader.encodable:
            return self.native(notes)
        try:
            return self.encode(notes)
        except CodecError as error:
            self.sink.restart()
            self.start(lossy=self.lossy)
            return self.native((*notes, f"published as native frames: {error}"))

    def transcode_all(self, reason: _CannotKeep) -> None:
        """Publish the frames by what they decode to from now on, if they need not be kept.

        Raises:
            PixelDataError: if they are to be kept.
        """
        if self.options.lossy is not Lossy.AUTO:
            raise PixelDataError(f"{reason}; --lossy auto transcodes them") from reason
        self.unkept = str(reason)
        self.reader.read_as_stored()

    def restore(self) -> PublishedFrames:
        """Every frame as the JPEG image that it was made of."""
        try:
            if not self.reader.restores:
                with self.clock("decode"):
                    self.reader.restore_jpeg()
            return self.keep(())
        except DamagedFrame as damage:
            raise _CannotKeep(str(damage)) from damage

    def keep(self, notes: tuple[str, ...], *, decode: bool = True, show: bool = True) -> PublishedFrames:
        """Every frame's bytes as they are, after a look that they decode where something decodes them."""
        reader, photometric = self.reader, ""
        for index in reader.indices:
            data = self.read(index)
            if decode:
                own = self._check_kept(index, data, show=show)
                if own and photometric and own != photometric:
                    raise _CannotKeep(f"frame {index + 1}: its colours are {own}, those of frames before {photometric}")
                photometric = photometric or own
            self.put(frame_key(self.uids, index + 1), wrap_part(data, reader.syntax.uid))
        changes = _colour(photometric) if photometric not in ("", reader.description.photometric) else {}
        return self.account(reader.syntax.uid, changes | reader.changes, (), notes)

    def _check_kept(self, index: int, data: bytes, *, show: bool) -> str:
        """The Photometric Interpretation of a frame that keeps its bytes, if it has colour and is not damaged."""
        try:
            with self.clock("decode"):
                decoded = self.reader.decode(index, data)
        except DamagedFrame as damage:
            if self.reader.restores:
                raise
            self.tolerate(index, damage, "the bytes of the frame are kept as they are")
            return ""
        assert decoded.facts is not None
        if show:
            self.show(index, decoded.array)
        stated, facts, colour = self.reader.description.photometric, decoded.facts, decoded.colour
        if not allows(self.reader.syntax, facts.syntax):
            raise _CannotKeep(f"frame {index + 1}: is of {facts.syntax}, while others are of {self.reader.syntax}")
        self.remarks.add(index, *decoded.remarks)
        if colour is None or facts.syntax.family is Family.JPEG_XL:
            return ""
        self.remarks.add(index, colour_note(colour, facts, stated, ColourOutcome.KEPT), viewer_note(facts, colour))
        return kept_photometric(facts, colour, stated)

    def native(self, notes: tuple[str, ...]) -> PublishedFrames:
        """Every frame as Explicit VR Little Endian stores it."""
        description = self.reader.published
        self.sink.expect(frame_bits(description) // 8 * description.frames)
        for index in self.reader.indices:
            frame = self._frame(index)
            payload = native_bytes(frame, description.bits_allocated)
            self.put(frame_key(self.uids, index + 1), wrap_part(payload, EXPLICIT_LITTLE))
        changes = _colour("RGB") if description.samples > 1 else {}
        return self.account(EXPLICIT_LITTLE, changes | self.describe_samples(), (), notes)

    def encode(self, notes: tuple[str, ...]) -> PublishedFrames:
        """Every frame as HTJ2K, with its reduced variants.

        Raises:
            CodecError: if a frame does not come back from its codestream as it went in.
        """
        rows = tuple(self._encode(index) for index in self.reader.indices)
        changes = _colour("YBR_RCT") if self.reader.description.samples > 1 else {}
        return self.account(HTJ2K_RPCL, changes | self.describe_samples(), rows, notes)

    def _encode(self, index: int) -> FrameRow:
        try:
            data, header, frame = self._codestream(index)
        except CodecError as error:
            raise CodecError(f"frame {index + 1}: {error}") from error
        with self.clock("index"):
            row = FrameRow(codestream.resolutions(header, len(data)), htj2k.frame_crc32(frame))
        self.put(frame_key(self.uids, index + 1), data)
        for level in self.options.reduced:
            if level <= header.levels:
                with self.clock("reduce"):
                    reduced = codestream.reduce_codestream(data, level, header)
                self.put(reduced_key(self.uids, level, index + 1), reduced)
        return row

    def _codestream(self, index: int) -> tuple[bytes, MainHeader, Frame]:
        """A verified codestream, its header and its pixels; the source's own if it already is what is published."""
        source = None if self.reader.native else self.read(index)
        if source is not None and self._is_published_form(index, source):
            with self.clock("verify"):
                header = parse_header(source)
                frame = check_passed(source, header, self.options.decoder_limits)
                frame = frame.astype(self.reader.published.dtype, copy=False)
            self.show(index, frame, source, header)
            return source, header, frame
        frame = self._frame(index, source)
        with self.clock("encode"):
            data = htj2k.encode_frame(frame, self.reader.published.bits_stored)
        with self.clock("verify"):
            header = parse_header(data)
            if not np.array_equal(htj2k.decode_lossless(data, header), frame):
                raise CodecError("it did not come back from its codestream as it went in")
        if self.middle is not None and self.middle.index == index:
            self.middle = PublishedFrame(index, frame, data, header)
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

    def _frame(self, index: int, data: bytes | None = None) -> Frame:
        """The pixels of a frame as they are published; where it is damaged and that is tolerated, zeros."""
        try:
            frame = self._decoded(index, data).astype(self.reader.published.dtype, copy=False)
        except DamagedFrame as damage:
            self.tolerate(index, damage, "all samples of the frame are 0")
            frame = np.zeros(self.reader.description.shape, self.reader.published.dtype)
            for overlay in self.reader.overlays:
                overlay.collect(index, frame.view(f"u{frame.itemsize}"))
        else:
            self.show(index, frame)
        return frame

    def _decoded(self, index: int, data: bytes | None = None) -> Frame:
        """The pixels of a frame; `data` are its compressed bytes, if it has any."""
        if data is None and not self.reader.native:
            data = self.read(index)
        with self.clock("read" if data is None else "decode"):
            decoded: DecodedFrame = self.reader.decode(index, data or b"")
        facts = decoded.facts
        if facts is not None and not facts.lossless and not self.lossy:
            raise _FoundLossy(facts)
        self.masked += decoded.masked
        self.signed += decoded.signed and facts is not None and facts.syntax.is_jpeg_2000
        self.remarks.add(index, *decoded.remarks)
        if decoded.colour is not None:
            outcome = ColourOutcome.CONVERTED if decoded.converted else ColourOutcome.TAKEN
            self.remarks.add(index, colour_note(decoded.colour, facts, self.reader.description.photometric, outcome))
        if decoded.cells is not None:
            for overlay in self.reader.overlays:
                overlay.collect(index, decoded.cells)
        return decoded.array


def _unlike_jpeg_xl(description: PixelDescription) -> str:
    """Which samples the data set promises that JPEG XL cannot hold, or HTJ2K as published here."""
    sign = "signed samples" if description.pixel_representation else "samples"
    return f"{sign} in {description.bits_allocated} bits"


def _colour(photometric: str) -> JSONDataset:
    """What the Image Pixel module says of interleaved colour frames."""
    return {"00280004": {"vr": "CS", "Value": [photometric]}, "00280006": {"vr": "US", "Value": [0]}}
