"""One pass over the frames of an instance: what is put into the sink and shown, and the account of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stillframe.build.frame_work import FrameWork, MadeFrame, Way
from stillframe.build.remarks import Remarks
from stillframe.build.results import StageClock
from stillframe.build.sharing import MakeFrames, make_alone
from stillframe.build.sink import LimitedSink
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import bulk_data_key
from stillframe.options import BuildOptions, Lossy
from stillframe.pixels.lossy import loss_method, lossy_changes
from stillframe.pixels.reader import DamagedFrame, FrameReader
from stillframe.pixels.thumbnail import PublishedFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFrames:
    """How the frames were published: their transfer syntax, what that changes in the metadata, rows, notes.

    `middle` is the frame that stands for all, `choices` are those for lossy frames by which they come out the same.
    """

    syntax: str
    changes: JSONDataset
    rows: tuple[FrameRow, ...]
    notes: tuple[str, ...]
    middle: PublishedFrame | None
    choices: frozenset[Lossy] = frozenset(Lossy)


@dataclass
class FramePass:
    """One pass over the frames of one instance, begun anew by `start`. What they were like is counted on the way.

    `make` is who makes the frames. `lossy` says that they were compressed with loss; `choices` are then those by which
    they come out the same. `middle` is the frame that stands for all.
    """

    reader: FrameReader
    uids: InstanceUIDs
    options: BuildOptions
    sink: LimitedSink
    clock: StageClock
    make: MakeFrames = make_alone
    choices: frozenset[Lossy] = frozenset(Lossy)

    def start(self, *, lossy: bool) -> None:
        """Forget what was found in a pass before."""
        self.lossy = lossy
        self.middle: PublishedFrame | None = None
        self.masked = self.signed = self.encoded_bytes = 0
        self.damaged = 0
        self.remarks = Remarks()
        for overlay in self.reader.overlays:
            overlay.restart()

    def made(self, way: Way) -> Iterator[MadeFrame]:
        """What the wanted frames become, in their order."""
        work = FrameWork(
            reader=self.reader, uids=self.uids, options=self.options, clock=self.clock, way=way, lossy=self.lossy
        )
        return self.make(work, self.reader.indices)

    def take(self, made: MadeFrame) -> None:
        """Count a frame, and put its objects into the sink.

        Raises:
            DamagedFrame: if all frames are damaged.
        """
        self.damaged += bool(made.damage)
        if self.damaged == self.reader.description.frames:
            raise DamagedFrame(made.index, made.damage)
        self.encoded_bytes += made.encoded_bytes
        self.masked += made.masked
        self.signed += made.signed
        self.remarks.add(made.index, *made.remarks)
        for overlay, plane in zip(self.reader.overlays, made.planes, strict=False):
            overlay.collect(plane)
        if self.middle is None:
            self.middle = made.shown
        for key, data in made.objects:
            self.put(key, data)

    def put(self, key: str, data: bytes) -> None:
        """Put an object of the instance into the sink."""
        with self.clock("write"):
            self.sink.put(key, data)

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.masked:
            frames = "1 frame" if self.masked == 1 else f"{self.masked} frames"
            notes.append(f"bits above Bits Stored were set in {frames}; they are not published")
        if self.signed:
            notes.append("the codestreams say unsigned; their samples are signed, as Pixel Representation says")
        notes += self.remarks.notes(len(self.reader.indices))
        notes += [overlay.note for overlay in self.reader.overlays if overlay.collected]
        return tuple(notes)

    def account(
        self, syntax: str, changes: JSONDataset, rows: tuple[FrameRow, ...], notes: tuple[str, ...]
    ) -> PublishedFrames:
        """The account of a pass, with what the metadata must say whatever the form is."""
        reader, description = self.reader, self.reader.description
        changes = changes | {"00083002": {"vr": "UI", "Value": [syntax]}}
        if self.lossy:
            decoded_bytes = len(reader.indices) * description.frame_bytes
            assert reader.facts is not None
            changes |= lossy_changes(loss_method(reader.facts), decoded_bytes, self.encoded_bytes)
        return PublishedFrames(
            syntax=syntax,
            changes=changes,
            rows=rows,
            notes=(*notes, *reader.notes, *self._notes()),
            middle=self.middle,
            choices=self.choices if self.lossy else frozenset(Lossy),
        )

    def describe_samples(self) -> JSONDataset:
        """What the metadata say of frames that are published as samples; overlays from among these go into the sink."""
        return self.reader.published_changes | self._overlays()

    def _overlays(self) -> JSONDataset:
        """The overlays that were taken out of the pixels: large ones into the sink, and what the metadata say."""
        changes: JSONDataset = {}
        for overlay in self.reader.overlays:
            elements, bulk = overlay.publish(self.reader.description.frames)
            changes |= elements
            if bulk is not None:
                self.put(bulk_data_key(self.uids, bulk.path), bulk.data)
        return changes
