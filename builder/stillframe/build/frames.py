"""The frames of one instance in their published form, put into a sink one by one.

Lossless sources become HTJ2K (`frame_work`); a frame that does not come back exactly sends the whole instance to the
native form. What becomes of lossy sources, `pixels/lossy` says. Those that nothing here decodes keep their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stillframe.build.frame_pass import FramePass, PublishedFrames
from stillframe.build.frame_work import CannotKeep, FoundLossy, Way
from stillframe.build.results import StageClock
from stillframe.build.sharing import MakeFrames, make_alone
from stillframe.build.sink import LimitedSink
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.syntaxes import EXPLICIT_LITTLE, HTJ2K_RPCL, Family
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CodecError, PixelDataError
from stillframe.options import BuildOptions, Lossy
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.lossy import Treatment, choices_like, treat_lossy
from stillframe.pixels.native import frame_bits
from stillframe.pixels.reader import DamagedFrame, Form, FrameReader
from stillframe.pixels.samples import Contradiction

# The precision and the sign can each be found to be another than the data set says, once or a few times; and once
# frames that cannot be kept.
_ATTEMPTS: Final = 6


def publish_frames(
    reader: FrameReader,
    uids: InstanceUIDs,
    options: BuildOptions,
    sink: LimitedSink,
    clock: StageClock,
    make: MakeFrames = make_alone,
) -> PublishedFrames:
    """Put every wanted frame of an instance into `sink`; `make` is who makes what they become.

    Where a frame shows that all of them are otherwise than the data set says, they are published anew as it says.

    Raises:
        PixelDataError: if a frame cannot be read or decoded.
        InputError: if they come to more than the sink takes.
    """
    publisher = _Publisher(reader, uids, options, sink, clock, make)
    with clock("read"):
        form = reader.form(skip_damaged=options.keep_damaged)
    for _ in range(_ATTEMPTS):
        try:
            return publisher.publish(form)
        except Contradiction as contradiction:
            reader.adopt(contradiction)
        except FoundLossy as found:
            reader.adopt_syntax(found.facts)
            form = Form.LOSSY
        except CannotKeep as reason:
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
            return self.keep((note,), Way.UNSEEN)
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
            return self.keep((*notes, note), Way.KEEP_HIDDEN)
        if not reader.encodable:
            return self.native(notes)
        try:
            return self.encode(notes)
        except CodecError as error:
            self.sink.restart()
            self.start(lossy=self.lossy)
            return self.native((*notes, f"published as native frames: {error}"))

    def transcode_all(self, reason: CannotKeep) -> None:
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
            raise CannotKeep(str(damage)) from damage

    def keep(self, notes: tuple[str, ...], way: Way = Way.KEEP) -> PublishedFrames:
        """Every frame's bytes as they are."""
        reader, photometric = self.reader, ""
        for made in self.made(way):
            own = made.photometric
            if own and photometric and own != photometric:
                number = made.index + 1
                raise CannotKeep(f"frame {number}: its colours are {own}, those of frames before {photometric}")
            photometric = photometric or own
            self.take(made)
        return self.account(reader.syntax.uid, self._kept_colour(photometric) | reader.changes, (), notes)

    def _kept_colour(self, photometric: str) -> JSONDataset:
        """What the metadata of colour that keeps its bytes have to say otherwise; `photometric` where its frames tell.

        Image formats have their own order of components, so Planar Configuration is 0 (PS3.5 8.2). Viewers that believe
        in another one show wrong colours.
        """
        stated = self.reader.description
        planes = stated.samples > 1 and stated.planar and self.reader.syntax.family is not Family.UNKNOWN
        if planes or photometric not in ("", stated.photometric):
            return _colour(photometric or stated.photometric)
        return {}

    def native(self, notes: tuple[str, ...]) -> PublishedFrames:
        """Every frame as Explicit VR Little Endian stores it."""
        description = self.reader.published
        self.sink.expect(frame_bits(description) // 8 * description.frames)
        for made in self.made(Way.NATIVE):
            self.take(made)
        changes = _colour("RGB") if description.samples > 1 else {}
        return self.account(EXPLICIT_LITTLE, changes | self.describe_samples(), (), notes)

    def encode(self, notes: tuple[str, ...]) -> PublishedFrames:
        """Every frame as HTJ2K, with its reduced variants.

        Raises:
            CodecError: if a frame does not come back from its codestream as it went in.
        """
        rows = []
        for made in self.made(Way.ENCODE):
            self.take(made)
            assert made.row is not None
            rows.append(made.row)
        changes = _colour("YBR_RCT") if self.reader.description.samples > 1 else {}
        return self.account(HTJ2K_RPCL, changes | self.describe_samples(), tuple(rows), notes)


def _unlike_jpeg_xl(description: PixelDescription) -> str:
    """Which samples the data set promises that JPEG XL cannot hold, or HTJ2K as published here."""
    sign = "signed samples" if description.pixel_representation else "samples"
    return f"{sign} in {description.bits_allocated} bits"


def _colour(photometric: str) -> JSONDataset:
    """What the Image Pixel module says of interleaved colour frames."""
    return {"00280004": {"vr": "CS", "Value": [photometric]}, "00280006": {"vr": "US", "Value": [0]}}
