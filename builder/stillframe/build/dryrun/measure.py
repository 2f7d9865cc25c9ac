"""One input goes through the real pipeline with some of its frames, or none, and its objects are counted: nowhere kept.

What a worker does in a dry run; everything that comes in and goes out can be pickled.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from stillframe.archive.record import UNKNOWN, Record, with_record
from stillframe.build.content import Content, Producer
from stillframe.build.dryrun.estimate import Measured, MeasureTask, Tallies, Tally, choose_frames, no_frames
from stillframe.build.frames import StageClock
from stillframe.build.pictures import make_pictures
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.json_model import SOP_CLASS_UID, first_value
from stillframe.dicom.read import read_instance
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import InputError, StoreError, reason_of
from stillframe.layout import Kind, bulk_data_key, parse_key
from stillframe.pixels.reader import FrameReader
from stillframe.source.inputs import CHANGED, Rejected
from stillframe.source.open import load_input, open_input

_OF_FRAMES: Final = frozenset({Kind.FRAME, Kind.REDUCED_FRAME})
# Threads of one process take turns: each needs a core and much memory.
_COMPUTING: Final = threading.Lock()


class CountSink:
    """Counts objects by kind."""

    def __init__(self) -> None:
        self.tallies: dict[Kind, Tally] = {}

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `frames.Sink`; of a file only the length is asked."""
        size = len(data) if isinstance(data, bytes) else data.seek(0, io.SEEK_END)
        kind = parse_key(key).kind
        self.tallies[kind] = self.tallies.get(kind, Tally()) + Tally(1, size)

    def restart(self) -> None:
        """See `frames.Sink`."""
        self.tallies.clear()


def measure_instance(task: MeasureTask) -> Measured | Rejected:
    """Count the objects of one input, or say why it would be rejected.

    Raises:
        StoreError: if the store of the input fails.
    """
    try:
        with _COMPUTING:
            return _measure(task)
    except StoreError:
        raise
    except Exception as error:
        uids = task.uids
        return Rejected.of(task.source, reason_of(error), uids)


def _measure(task: MeasureTask) -> Measured:
    choose = choose_frames if task.frames else no_frames
    with load_input(task.source) if task.frames else open_input(task.source) as file:
        instance = read_instance(file, task.options.max_unpacked)
        try:
            if instance.uids != task.uids:
                raise InputError(CHANGED)
            sink = CountSink()
            producer = Producer(task.uids, task.options, sink, StageClock(), choose)
            content = producer.produce(instance, file)
            pictures, notes = make_pictures(task.uids, task.options, content)
        finally:
            if instance.file is not file:
                instance.file.close()
    own, of_frames, of_image = _divided(sink.tallies, _bulk(task.uids, content), _count(pictures), producer.reader)
    metadata = with_record(content.metadata, Record(UNKNOWN))  # another one follows, or there is no room for any
    known = Measured(source=task.source, uids=task.uids, metadata=metadata, own=own, notes=notes)
    reader = producer.reader
    if reader is None:
        return known
    weights = [reader.stored_bytes(index) for index in range(content.frames)]
    stated, sop_class = reader.stated, first_value(content.metadata, SOP_CLASS_UID)
    samples = (
        stated.samples,
        stated.photometric,
        stated.bits_allocated,
        stated.bits_stored,
        stated.pixel_representation,
    )
    kind = (reader.syntax.uid, sop_class, *samples)
    return replace(
        known, kind=kind, shape=(stated.rows, stated.columns), frames=content.frames, made=len(reader.indices),
        weight=sum(weights), made_weight=sum(weights[index] for index in reader.indices),
        of_frames=of_frames, of_image=of_image, rows=content.rows,
    )  # fmt: skip


def _count(objects: Mapping[str, bytes]) -> Tallies:
    sink = CountSink()
    for key, data in objects.items():
        sink.put(key, data)
    return sink.tallies


def _bulk(uids: InstanceUIDs, content: Content) -> Tally:
    """The bulk data of the data set itself, without what comes of its pixels."""
    return _count({bulk_data_key(uids, value.path): value.data for value in content.bulk}).get(Kind.BULK_DATA, Tally())


def _divided(
    put: Tallies, bulk: Tally, pictures: Tallies, reader: FrameReader | None
) -> tuple[Tallies, Tallies, Tallies]:
    """What was put as an instance's own objects, those of its frames, and those that come with its image."""
    own = {kind: tally for kind, tally in put.items() if kind not in (*_OF_FRAMES, Kind.BULK_DATA)}
    if bulk.objects:
        own[Kind.BULK_DATA] = bulk
    if reader is None:
        return own | dict(pictures), {}, {}
    of_frames = {kind: tally for kind, tally in put.items() if kind in _OF_FRAMES}
    planes = put.get(Kind.BULK_DATA, Tally()) + bulk.times(-1)
    return own, of_frames, dict(pictures) | ({Kind.BULK_DATA: planes} if planes.objects else {})
