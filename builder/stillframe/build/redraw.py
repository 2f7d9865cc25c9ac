"""A published instance gets other pictures, or none: its frames stay, and nothing is encoded anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from stillframe.archive.claims import CommitState, Lease
from stillframe.archive.holdings import (
    contents_of,
    digest_of_pictures,
    held_instance,
    held_objects,
    read_digests,
)
from stillframe.archive.record import (
    Holding,
    Record,
    describe_options,
    notes_of,
    promised_frames,
    record_of,
    with_record,
)
from stillframe.build.instance_pictures import NOT_DRAWN, redraw_pictures
from stillframe.build.sinks import StoreSink
from stillframe.build.tasks import InstanceTask
from stillframe.dicom.json_model import JSONDataset, dumps
from stillframe.errors import StoreError
from stillframe.layout import Kind, is_fixed, parse_key
from stillframe.options import Lossy, Rendered


@dataclass(frozen=True, slots=True)
class Redrawn:
    """An instance with its new pictures: its metadata, also as they are stored, the bytes that were written, keys that
    caches may hold.
    """

    metadata: JSONDataset
    document: bytes
    size: int
    changed: tuple[str, ...]


def redraw_instance(task: InstanceTask, state: CommitState, digest: str, choices: Collection[Lossy]) -> Redrawn | None:
    """Give a published instance the pictures that a task asks for, and the record of one that was built so.

    Args:
        task: what is asked for.
        state: the instance as it is published.
        digest: that of its input, which a record of an older version gets anew.
        choices: for lossy frames, by which it comes out the same, where its record does not tell.

    Returns:
        None if the instance has to be built anew: its objects are damaged, or its document is to come or to go.

    Raises:
        ClaimLost: if another job writes the instance.
        StoreError: if the store fails.
    """
    assert state.metadata is not None
    record = record_of(state.metadata)
    assert record is not None
    if not promised_frames(state.metadata) and record.has_document != (task.options.rendered is not Rendered.NEVER):
        return None
    plain = _without_pictures(task, record, digest)
    if plain is None:
        return None
    with Lease(task.store, task.uids, state, task.lease) as lease:
        before = _pictures_of(task, state.metadata)
        sink = StoreSink(task.store, lease, before, plain.algorithm)
        options = task.options
        try:
            pictures, notes = redraw_pictures(task.store, task.uids, options, state.metadata, plain.contents)
            for key, data in pictures.items():
                sink.put(key, data)
            sink.finish()
        except StoreError:
            sink.abandon()
            raise
        except Exception:
            sink.abandon()
            lease.give_up()
            raise
        lease.check()
        task.store.delete_many([key for key in before if key not in pictures])
        task.store.sync()
        redrawn = replace(
            plain,
            options=record.showing(describe_options(options), choices),
            pictures=Holding(len(pictures), sum(map(len, pictures.values()))),
            drawn=digest_of_pictures({key: sink.digests[key] for key in pictures}, plain.algorithm),
        )
        kept = [note for note in notes_of(state.metadata) if not note.startswith(NOT_DRAWN)]
        metadata = with_record(state.metadata, redrawn, [*kept, *notes])
        document = dumps([metadata])
        lease.commit(document)
    changed = tuple(key for key in before if is_fixed(key))
    return Redrawn(metadata, document, sum(map(len, pictures.values())) + len(document), changed)


def _without_pictures(task: InstanceTask, record: Record, digest: str) -> Record | None:
    """The record as it is without pictures; None if what is stored is not what an older one tells of.

    One of an older version counts pictures with the rest, so everything is read once.
    """
    if record.counts_apart:
        return record
    now = Record(digest, describe_options(task.options))
    before, digests = read_digests(task.store, task.uids, record.algorithm, now.algorithm)
    if contents_of(before, record).objects != record.contents:
        return None
    held = held_instance(task.store, task.uids)
    return replace(now, promised=held.counted(now), contents=contents_of(digests, now).objects)


def _pictures_of(task: InstanceTask, metadata: JSONDataset) -> list[str]:
    """The pictures of an instance that are stored, by their keys; a document or a video is none."""
    kinds = {Kind.THUMBNAIL, Kind.RENDERED} if promised_frames(metadata) else {Kind.THUMBNAIL}
    return [key for key in held_objects(task.store, task.uids) if parse_key(key).kind in kinds]
