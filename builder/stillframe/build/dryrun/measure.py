"""One input goes through the real pipeline with some of its frames, or none, and its objects are counted: nowhere kept.

What a worker does in a dry run; everything that comes in and goes out can be pickled.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from stillframe.archive.qido import instance_list
from stillframe.archive.record import Holding, Record, describe_options, with_record
from stillframe.archive.representative import decisive_metadata
from stillframe.build.content import Producer, no_frames
from stillframe.build.dryrun.estimate import (
    MOST_FRAMES,
    ListEntry,
    Measured,
    MeasureTask,
    Objects,
    Sample,
    choose_sample,
)
from stillframe.build.instance_pictures import make_pictures, measure_thumbnail, take_document
from stillframe.build.results import StageClock
from stillframe.build.review import is_as_published
from stillframe.build.sinks import SizeSink
from stillframe.dicom.assign_uids import assign_uids
from stillframe.dicom.json_model import SOP_CLASS_UID, dumps, first_value
from stillframe.dicom.read import read_instance
from stillframe.digests import ALGORITHM, DIGITS, SHA256, digest_bytes, named
from stillframe.errors import FailedJob, InputError
from stillframe.layout import Kind, bulk_data_key, parse_key
from stillframe.options import Thumbnails
from stillframe.pixels.reader import FrameReader
from stillframe.source.changes import has_changed, reason_of_input
from stillframe.source.inputs import CHANGED, Rejected
from stillframe.source.open import digest_of, load_input, open_input

# Threads of one process take turns: each needs a core and much memory.
_COMPUTING: Final = threading.Lock()
_UNMADE: Final = "0" * DIGITS
"""As long as the digest of objects that are not all made."""


def measure_instance(task: MeasureTask) -> Measured | Rejected:
    """Count the objects of one input, or say why it would be rejected.

    Raises:
        FailedJob: if the store of the input or the machine fails.
        MemoryError: if there is not enough for it.
    """
    try:
        with _COMPUTING:
            return _measure(task)
    except (FailedJob, MemoryError):
        raise
    except Exception as error:
        return Rejected.of(task.source, reason_of_input(task.source, error), task.uids)


def _measure(task: MeasureTask) -> Measured:
    with load_input(task.source) if task.frames else open_input(task.source) as file:
        instance = read_instance(file, task.options.max_unpacked)
        try:
            if task.options.assign_uids:
                assign_uids(instance, partial(digest_of, file, SHA256))
            if instance.uids != task.uids:
                raise InputError(CHANGED)
            sink = SizeSink()
            choose = partial(choose_sample, most=MOST_FRAMES) if task.frames else no_frames
            producer = Producer(task.uids, task.options, sink, StageClock(), task.prefix, choose)
            content = producer.produce(instance, file)
            documents, document_notes = take_document(task.uids, task.options, content)
            pictures, picture_notes = make_pictures(task.uids, task.options, content, f"{ALGORITHM}={_UNMADE}")
            thumbnail = 0 if task.options.thumbnails is Thumbnails.NONE else measure_thumbnail(content)
        finally:
            if instance.file is not file:
                instance.file.close()
    if has_changed(task.source):
        raise InputError(CHANGED)
    reader, own, of_frames = producer.reader, [], Objects()
    bulk = {bulk_data_key(task.uids, value.path) for value in content.bulk}
    sizes = sink.sizes | {key: len(data) for key, data in documents.items()}
    drawn = {key: len(data) for key, data in pictures.items()}
    for key, size in (sizes | drawn).items():
        kind = parse_key(key).kind
        if reader is None or kind is Kind.PART10 or key in bulk:
            own.append((kind, size))
        else:
            of_frames.add(kind, size)
    holding = Holding(len(sizes), sum(sizes.values()))
    record = Record(
        named(ALGORITHM, digest_bytes(task.uids.instance.encode()).hex()),  # as hard to compress as that of the input
        describe_options(task.options, content.choices),
        holding,
        f"{ALGORITHM}={_UNMADE}",
        Holding(len(drawn), sum(drawn.values())),
        _UNMADE if drawn else "",
    )
    metadata = with_record(content.metadata, record, (*content.notes, *document_notes, *picture_notes))
    own.append((Kind.METADATA, len(task.encode(dumps([metadata])))))
    (entry,) = instance_list([metadata], task.options.base_url)
    weights = [reader.stored_bytes(index) for index in range(content.frames)] if reader else []
    chosen = reader.indices if reader else ()
    made = Sample(
        instances=1,
        frames=len(chosen),
        weight=sum(weights[index] for index in chosen),
        objects=of_frames,
        entries=(ListEntry(task.uids.instance, dumps(metadata), dumps(entry), content.rows, thumbnail),),
    )
    return Measured(
        uids=task.uids,
        own=tuple(own),
        made=made if reader is None or chosen else None,
        kind=f"{first_value(metadata, SOP_CLASS_UID)} {_describe_frames(reader) if reader else ''}",
        frames=len(weights),
        weight=sum(weights),
        same=task.published is not None and is_as_published(content, instance.transfer_syntax, task.published),
        metadata=decisive_metadata(metadata),
    )


def _describe_frames(reader: FrameReader) -> str:
    """What frames have in common that compress alike."""
    stated = reader.stated
    bits = f"{stated.bits_allocated} {stated.bits_stored} {stated.pixel_representation}"
    return f"{reader.syntax.uid} {stated.samples} {stated.photometric} {bits}"
