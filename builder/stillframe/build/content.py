"""The objects of one instance beside its metadata and pictures: frames or video, bulk data, the whole original."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from stillframe.archive.record import without_record
from stillframe.build.budget import BoundedSink, Budget
from stillframe.build.frames import publish_frames
from stillframe.build.results import StageClock
from stillframe.build.sharing import MakeFrames, make_alone
from stillframe.build.sink import Sink
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.assign_uids import notes_on_uids
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import (
    NUMBER_OF_FRAMES,
    SERIES_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_UID,
    SYNTAX,
    BulkValue,
    JSONDataset,
    first_value,
    in_other_vr,
)
from stillframe.dicom.lenient import raw_text, written_vr
from stillframe.dicom.part10 import open_part10
from stillframe.dicom.read import Instance
from stillframe.dicom.sop_classes import FETCHED_WHOLE
from stillframe.dicom.uids import InstanceUIDs, is_uid
from stillframe.dicom.video import is_video, open_video
from stillframe.dicom.viewer_values import in_viewer_form
from stillframe.errors import InputError, LayoutError
from stillframe.layout import (
    HEAD_BYTES,
    Kind,
    bulk_data_key,
    check_key_length,
    instance_key,
    media_type,
    rendered_key,
)
from stillframe.options import BuildOptions, Lossy, Part10, Rendered
from stillframe.pixels.actual_syntax import settle_syntax
from stillframe.pixels.description import describe_pixels
from stillframe.pixels.lossy import with_history
from stillframe.pixels.presence import find_pixels
from stillframe.pixels.reader import FrameReader
from stillframe.pixels.thumbnail import PublishedFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one pass over an input made of it; `middle` is the frame that stands for all, if it has any.

    `choices` are those for lossy frames by which it comes out the same.
    """

    metadata: JSONDataset
    bulk: tuple[BulkValue, ...]
    notes: tuple[str, ...]
    rows: tuple[FrameRow, ...] = ()
    frames: int = 0
    middle: PublishedFrame | None = None
    video: bool = False
    choices: frozenset[Lossy] = frozenset(Lossy)


def no_frames(_count: int) -> Sequence[int]:
    """Chooses none of so many frames: the metadata are made without a look at them."""
    return ()


@dataclass(slots=True)
class Producer:
    """One pass over an input, its objects put into `sink`.

    `prefix` is what stands before the keys. `choose` names the indices of the frames that are wanted of so many,
    ascending; all are without it. `make` is who makes the frames. `reader` is theirs, once there are any.
    """

    uids: InstanceUIDs
    options: BuildOptions
    sink: Sink
    clock: StageClock
    prefix: str = ""
    choose: Callable[[int], Sequence[int]] = range
    make: MakeFrames = make_alone
    reader: FrameReader | None = field(default=None, init=False)
    _bounded: BoundedSink = field(init=False)

    def produce(self, instance: Instance, file: ReadableFile) -> Content:
        """Put everything but the metadata and the pictures into the sink; `file` is what the instance was read from.

        Raises:
            InputError: if the input cannot be published, or exceeds its budget.
        """
        budget = Budget(instance.size, self.options.max_unpacked, self.clock.spent)
        self._bounded = BoundedSink(self.sink, budget, self.prefix)
        instance = settle_syntax(instance)
        with self.clock("JSON"):
            converted = convert(instance.dataset)
            shown = in_viewer_form(without_record(converted.dataset), converted.bulk)
        for value in shown.bulk:
            check_key_length(bulk_data_key(self.uids, value.path), self.prefix)
        has_pixels, notes = find_pixels(instance)
        if converted.damaged and not has_pixels:  # half a report or plan is none
            raise InputError(f"holds a damaged sequence: {converted.damaged[0]}")
        identity = _identity(instance, self.uids)
        odd = [tag for tag, own in identity.items() if shown.dataset.get(tag, own) != own]
        told = [in_other_vr(tag, written_vr(instance.dataset, int(tag, 16)), identity[tag]) for tag in odd]
        values = _without_those_on(odd, converted.notes)
        content = Content(
            metadata=_own(shown.dataset, identity),
            bulk=shown.bulk,
            notes=(*instance.notes, *notes_on_uids(instance), *values, *shown.notes, *told, *notes),
        )
        if has_pixels and is_video(instance):
            content = self._produce_video(instance, content)
        elif has_pixels:
            content = self._produce_frames(instance, content)
        with self.clock("write"):
            for value in content.bulk:
                self._bounded.put(bulk_data_key(self.uids, value.path), value.data)
            if self._wants_part10(content):
                self._bounded.put(instance_key(self.uids), open_part10(self.uids, instance, file))
        return content

    def _produce_frames(self, instance: Instance, content: Content) -> Content:
        assert instance.pixels is not None
        with self.clock("read"):
            description = describe_pixels(instance.dataset, instance.pixels, self.options.max_frame_bytes)
            reader = FrameReader(instance, description, self.options.decoder_limits)
            reader.indices = self.choose(reader.description.frames)
            reader.on_read = self._bounded.budget.check_time
            self.reader = reader
            self._bounded.budget.justify(reader.published.frame_bytes * reader.published.frames)
        published = publish_frames(reader, self.uids, self.options, self._bounded, self.clock, self.make)
        frames = reader.description.frames
        read = None if reader.named.is_passed_through else reader.description
        restated, told = description.restated(content.metadata, instance.dataset, read)
        changes = restated | with_history(published.changes, content.metadata)
        if first_value(content.metadata | restated, NUMBER_OF_FRAMES) == 0:  # some writers mean that there is but one
            changes = changes | {NUMBER_OF_FRAMES: {"vr": "IS", "Value": [frames]}}
        return replace(
            content,
            metadata=_merged(content.metadata, changes),
            notes=(*_without_those_on(restated, content.notes), *told, *published.notes),
            rows=published.rows,
            frames=frames,
            middle=published.middle,
            choices=published.choices,
        )

    def _produce_video(self, instance: Instance, content: Content) -> Content:
        """The stream as it is, unless nothing in it tells what it is."""
        notes = content.notes
        with self.clock("read"):
            head = open_video(instance).read(HEAD_BYTES)
        try:
            media_type(Kind.RENDERED, head)
            if self.options.rendered is not Rendered.NEVER:
                with self.clock("write"):
                    self._bounded.put(rendered_key(self.uids), open_video(instance))
        except LayoutError as error:
            notes = (*notes, f"no video under rendered: {error}")
        metadata = _merged(content.metadata, {SYNTAX: {"vr": "UI", "Value": [instance.transfer_syntax]}})
        return replace(content, metadata=metadata, notes=notes, video=True)

    def _wants_part10(self, content: Content) -> bool:
        """Whether the whole object is published: with `auto` of what has no frames, or is fetched whole regardless."""
        choice = self.options.part10
        fetched_whole = not content.frames or first_value(content.metadata, SOP_CLASS_UID) in FETCHED_WHOLE
        return choice is Part10.ALWAYS or (choice is Part10.AUTO and fetched_whole)


def _merged(metadata: JSONDataset, changes: JSONDataset) -> JSONDataset:
    return dict(sorted((metadata | changes).items()))


def _identity(instance: Instance, uids: InstanceUIDs) -> JSONDataset:
    """The UIDs as the keys have them, and the class as the reader has it."""
    values = {SOP_INSTANCE_UID: uids.instance, STUDY_UID: uids.study, SERIES_UID: uids.series}
    sop_class = raw_text(instance.dataset, int(SOP_CLASS_UID, 16))
    if is_uid(sop_class):
        values[SOP_CLASS_UID] = sop_class
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in values.items()}


def _without_those_on(tags: Collection[str], notes: Iterable[str]) -> tuple[str, ...]:
    """The notes but for those of the conversion on elements that are published otherwise after all."""
    return tuple(note for note in notes if note.partition(": ")[0] not in tags)


def _own(metadata: JSONDataset, identity: JSONDataset) -> JSONDataset:
    """The metadata with the UIDs as the keys have them, whatever VR a file gives them, and no word of frames yet."""
    return {tag: element for tag, element in (metadata | identity).items() if tag != SYNTAX}
