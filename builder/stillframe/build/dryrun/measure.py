"""One input goes through the real pipeline with some of its frames, or none, and its objects are counted: nowhere kept.

What a worker does in a dry run; everything that comes in and goes out can be pickled.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Final

from stillframe.archive.record import UNKNOWN, Record, with_record
from stillframe.build.content import Producer, no_frames
from stillframe.build.dryrun.estimate import Measured, MeasureTask, Objects, Sample, choose_frames
from stillframe.build.pictures import make_pictures
from stillframe.build.results import StageClock
from stillframe.build.review import is_as_published
from stillframe.build.sinks import SizeSink
from stillframe.dicom.assign_uids import assign_uids
from stillframe.dicom.json_model import SOP_CLASS_UID, first_value
from stillframe.dicom.read import read_instance
from stillframe.errors import InputError, StoreError, reason_of
from stillframe.layout import Kind, bulk_data_key, parse_key
from stillframe.source.inputs import CHANGED, Rejected
from stillframe.source.open import digest_of, load_input, open_input

# Threads of one process take turns: each needs a core and much memory.
_COMPUTING: Final = threading.Lock()


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
        return Rejected.of(task.source, reason_of(error), task.uids)


def _measure(task: MeasureTask) -> Measured:
    with load_input(task.source) if task.frames else open_input(task.source) as file:
        instance = read_instance(file, task.options.max_unpacked)
        try:
            if task.options.assign_uids:
                assign_uids(instance, partial(digest_of, file))
            if instance.uids != task.uids:
                raise InputError(CHANGED)
            sink = SizeSink()
            choose = choose_frames if task.frames else no_frames
            producer = Producer(task.uids, task.options, sink, StageClock(), choose)
            content = producer.produce(instance, file)
            pictures, notes = make_pictures(task.uids, task.options, content)
        finally:
            if instance.file is not file:
                instance.file.close()
    reader = producer.reader
    own, of_frames = Objects(), Objects()
    bulk = {bulk_data_key(task.uids, value.path) for value in content.bulk}
    for key, size in (sink.sizes | {key: len(data) for key, data in pictures.items()}).items():
        kind = parse_key(key).kind
        needs_frames = reader is not None and kind is not Kind.PART10 and key not in bulk
        (of_frames if needs_frames else own).add(kind, size)
    same = task.published is not None and is_as_published(content, instance.transfer_syntax, task.published)
    metadata = with_record(content.metadata, Record(UNKNOWN))  # another one follows, or there is no room for any
    measured = Measured(source=task.source, uids=task.uids, metadata=metadata, notes=notes, own=own, same=same)
    if reader is None:
        return measured
    weights = [reader.stored_bytes(index) for index in range(content.frames)]
    made = Sample(
        instances=1,
        frames=len(reader.indices),
        weight=sum(weights[index] for index in reader.indices),
        objects=of_frames,
        rows=content.rows,
    )
    stated = reader.stated
    kind_of_frames = (
        reader.syntax.uid,
        first_value(content.metadata, SOP_CLASS_UID),
        stated.samples,
        stated.photometric,
        stated.bits_allocated,
        stated.bits_stored,
        stated.pixel_representation,
    )
    return replace(
        measured,
        made=made,
        kind=kind_of_frames,
        shape=(stated.rows, stated.columns),
        frames=content.frames,
        weight=sum(weights),
    )
