"""One input becomes the objects of one instance: what a worker does.

Everything that comes in and goes out can be pickled. Whatever is wrong with the input ends as a `Rejected`; only a
store or a machine that fails raises.
"""

from __future__ import annotations

import gc
import io
import threading
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from stillframe.archive.claims import ClaimHeld, CommitState, Lease, Watch, settled_state
from stillframe.archive.draft_claims import DraftLease, claim_instance
from stillframe.archive.entries import line_of
from stillframe.archive.frame_rows import read_rows
from stillframe.archive.holdings import (
    Contents,
    HeldInstance,
    digest_of_pictures,
    held_instance,
    held_objects,
    read_contents,
)
from stillframe.archive.record import (
    Holding,
    Record,
    contents_digest,
    describe_options,
    digest_of_metadata,
    notes_of,
    promised_frames,
    with_record,
)
from stillframe.build.comparison import notes_on_duplicate
from stillframe.build.content import Content, Producer, no_frames
from stillframe.build.decide import Asked, Decision, decide, published_record
from stillframe.build.instance_pictures import make_pictures, take_document
from stillframe.build.redraw import redraw_instance
from stillframe.build.results import Built, Outcome, StageClock
from stillframe.build.review import is_as_published
from stillframe.build.sharing import MakeFrames, make_alone
from stillframe.build.sink import Sink
from stillframe.build.sinks import CompareSink, DraftSink, SizeSink, StoreSink
from stillframe.build.tasks import InstanceTask
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.assign_uids import assign_uids
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.json_model import JSONDataset, dumps
from stillframe.dicom.read import Instance, read_instance
from stillframe.digests import ALGORITHM, SHA256, algorithm_of
from stillframe.errors import ClaimLost, CodecError, CodestreamError, FailedJob, InputError, StoreError
from stillframe.layout import instance_key, is_fixed, metadata_key
from stillframe.options import Lossy, Rendered, Thumbnails
from stillframe.source.changes import has_changed, reason_of_input, state_of_open, was_written
from stillframe.source.inputs import CHANGED, FileState, Rejected
from stillframe.source.open import InputDigest, digest_of, load_input
from stillframe.source.zip_inputs import SPOOL_BYTES

# Times that other jobs may come in between, each with an instance of the same UID but other content.
_ATTEMPTS: Final = 10
# Threads of one process wait for the store side by side, but take turns in what needs a core and much memory.
_COMPUTING: Final = threading.Lock()


type Steps = Generator[None, float, Built | Rejected | Watch]
"""The work on one instance. It stops where what it wrote has to be on the disk, goes on once that is so (`Store.sync`),
and is told how many CPU seconds that took."""


def build_instance(task: InstanceTask, make: MakeFrames = make_alone) -> Built | Rejected | Watch:
    """Publish one input into the task's store, or say why not; `make` is who makes its frames.

    Where another job writes the instance, that is all that comes of it at first: a second attempt waits.

    Raises:
        FailedJob: if the store or the machine fails; the job cannot go on then.
        MemoryError: if there is not enough for it.
    """
    steps = instance_steps(task, make)
    try:
        next(steps)
        while True:
            began = time.thread_time()
            try:
                task.store.sync()
            except StoreError as error:
                steps.throw(error)
            else:
                steps.send(time.thread_time() - began)
    except StopIteration as end:
        result: Built | Rejected | Watch = end.value
        return result


def instance_steps(task: InstanceTask, make: MakeFrames = make_alone) -> Steps:
    """What `build_instance` does, for whoever has other things to do while the disk is busy."""
    try:
        return (yield from _Worker(task, make).run())
    except (FailedJob, MemoryError):  # the executor tells whose fault the latter is
        raise
    except ClaimHeld as held:
        return held.watch
    except Exception as error:
        rejected = Rejected.of(task.source, reason_of_input(task.source, error), task.uids)
    gc.collect(1)  # what the error referred to may be large, and part of a cycle
    return rejected


type _Sink = StoreSink | DraftSink


@dataclass(frozen=True, slots=True)
class _Source:
    """An open input: its state before it was read, its digest, and its size in bytes."""

    file: ReadableFile
    state: FileState | None
    digest: InputDigest
    size: int


@dataclass(frozen=True, slots=True)
class _Written:
    """An instance of which all but the metadata is written: its `document`. The context of `claim` ends the claim."""

    claim: ExitStack
    lease: Lease | DraftLease
    sink: _Sink
    document: bytes
    built: Built


class _Worker:
    """One task under way."""

    def __init__(self, task: InstanceTask, make: MakeFrames) -> None:
        self.task = task
        self.make = make
        self.clock = StageClock()
        self.state = CommitState(None, None)
        self.remarks: tuple[str, ...] = ()

    def run(self) -> Generator[None, float, Built | Rejected]:
        """Decide what the input is to the store, and act on it; again if another job comes in between.

        Raises:
            InputError: if the input cannot be published; nothing of it is left then.
            StoreError: if the store fails, or others keep coming in between.
        """
        # What no list knows is taken for new where it seems so: the claim tells if it is not.
        task = self.task
        new = task.first and task.listed is None and task.store.seems_new(instance_key(task.uids))
        for attempt in range(_ATTEMPTS):
            with suppress(ClaimLost):
                result = self._act(new=new and not attempt)
                return (yield from self._commit(result)) if isinstance(result, _Written) else result
        raise StoreError(f"{instance_key(self.task.uids)} was taken over by other jobs {_ATTEMPTS} times")

    def _act(self, *, new: bool) -> Built | Rejected | _Written:
        task = self.task
        with self.clock("read"):
            opened = load_input(task.source)
        with opened as file:
            with self.clock("read"):
                # Where others help with frames, they would wait for its digest.
                beside = task.meeting is not None and task.source.size > SPOOL_BYTES
                state, digest = state_of_open(file), InputDigest(file, beside=beside)
                source = _Source(file, state, digest, file.seek(0, io.SEEK_END))
            self.state = CommitState(None, None) if new else self._settled_state()
            decision = self._decide(source)
            if decision in (Decision.DUPLICATE, Decision.UNCHANGED):
                return self._built(Outcome(decision))
            if decision is Decision.RESUME and (resumed := self._resume()):
                return resumed
            if decision is Decision.REDRAW and (redrawn := self._redraw(source)):
                return redrawn
            with _COMPUTING, self.clock("read"):
                file.seek(0)
                instance = read_instance(file, task.options.max_unpacked)
            try:
                if task.options.assign_uids:
                    assign_uids(instance, partial(digest_of, file, SHA256))
                if instance.uids != task.uids:
                    raise InputError(CHANGED)
                if decision is Decision.COMPARE:
                    return self._compare(instance, source)
                if decision is Decision.REVIEW and (reviewed := self._review(instance, source)):
                    return reviewed
                return self._publish(instance, source, replaces=decision is Decision.REPLACE)
            finally:
                if instance.file is not file:
                    instance.file.close()

    def _decide(self, source: _Source) -> Decision:
        task = self.task
        if self.published is None:
            return Decision.PUBLISH  # whatever it is: it need not be read to its end yet
        record = published_record(self.published)
        assert record is not None
        digest = source.digest.wait()
        if record.digest and algorithm_of(record.digest) != ALGORITHM:
            with self.clock("read"):
                digest = digest_of(source.file, algorithm_of(record.digest))
        asked = Asked(digest, task.options, task.replace, task.first, task.verify_stored)
        return decide(asked, record, task.listed, self._held, self._contents)

    @property
    def published(self) -> JSONDataset | None:
        """The metadata that were published before."""
        return self.state.metadata

    def _settled_state(self) -> CommitState:
        task = self.task
        return settled_state(task.store, task.uids, task.lease, task.watched, patient=task.watched is not None)

    def _held(self) -> HeldInstance:
        return held_instance(self.task.store, self.task.uids)

    def _contents(self) -> Contents:
        """The digests of what is stored; that it differs from what was published is told in the report."""
        record = published_record(self.published)
        assert record is not None
        with self.clock("check"):
            found = read_contents(self.task.store, self.task.uids, record)
        if record.contents not in ("", found.objects):
            self.remarks = ("what is stored differs from what was published; it was built anew",)
        elif record.drawn != found.pictures:
            self.remarks = ("the pictures that are stored differ from those that were published; they were drawn anew",)
        return found

    def _resume(self) -> Built | None:
        """The instance as an attempt that was cut off left it; None if its frames turn out to be damaged."""
        assert self.published is not None
        try:
            rows = read_rows(self.task.store, self.task.uids, self.published, self.task.options.decoder_limits)
        except (CodecError, CodestreamError):
            return None
        built = self._built(Outcome.RESUMED, notes_of(self.published))
        return replace(
            built,
            line=self._line(dumps([self.published])),
            rows=rows,
            frames=promised_frames(self.published),
        )

    def _built(self, outcome: Outcome, notes: tuple[str, ...] = ()) -> Built:
        """The result, as far as it is the same whether something was written or not."""
        task = self.task
        return Built(
            source=task.source,
            uids=task.uids,
            outcome=outcome,
            bytes_read=task.source.size,
            notes=notes,
            times=dict(self.clock.times),
        )

    def _line(self, document: bytes) -> bytes:
        """The metadata as the document of the series has them, from the instance's own document."""
        return line_of(document, f"instances/{self.task.uids.instance}/")

    def _review(self, instance: Instance, source: _Source) -> Built | None:
        """The instance if it would be the same now, with other pictures perhaps; None if it would not."""
        record = published_record(self.published)
        assert self.published is not None
        assert record is not None
        with _COMPUTING:
            content = self._produce(instance, source.file, SizeSink(), frames=False)
        if not is_as_published(content, instance.transfer_syntax, self.published):
            return None
        if record.shows(describe_options(self.task.options)):
            return self._built(Outcome.UNCHANGED)
        return self._redraw(source, content.choices)

    def _redraw(self, source: _Source, choices: Collection[Lossy] = ()) -> Built | None:
        """The instance with the pictures that are asked for; None if it has to be built anew for them.

        `choices` are those for lossy frames by which it comes out the same, where its record does not tell.
        """
        task = self.task
        draws = task.options.thumbnails is Thumbnails.INSTANCES or task.options.rendered is Rendered.ALWAYS
        with _COMPUTING if draws else nullcontext(), self.clock("render"):
            redrawn = redraw_instance(task, self.state, source.digest.wait(), choices)
        if redrawn is None:
            return None
        rows: tuple[FrameRow, ...] = ()
        rows_stay = published_record(self.published) == task.listed
        if not rows_stay:
            try:
                rows = read_rows(task.store, task.uids, redrawn.metadata, task.options.decoder_limits)
            except (CodecError, CodestreamError):
                self.state = self._settled_state()
                return None
        return replace(
            self._built(Outcome.REDRAWN, self.remarks),
            line=self._line(redrawn.document),
            rows=rows,
            rows_stay=rows_stay,
            bytes_written=redrawn.size,
            changed=redrawn.changed,
        )

    def _check_unchanged(self, source: _Source) -> None:
        """Refuse an input that somebody wrote to, or that another one took the place of, since it was found.

        Raises:
            InputError: saying so.
        """
        source.digest.wait()  # until then it is being read
        self.clock.add({"read": source.digest.seconds_beside()})
        if was_written(source.file, source.state) or has_changed(self.task.source):
            raise InputError(CHANGED)

    def _compare(self, instance: Instance, source: _Source) -> Built:
        """Same UID, other bytes: a duplicate if it holds the same pixels, else a conflict (one UID, one object)."""
        sink = CompareSink(self.task.store, self.task.options.decoder_limits)
        with _COMPUTING:
            content = self._produce(instance, source.file, sink)
        self._check_unchanged(source)
        if self._settled_state().etag != self.state.etag:
            raise ClaimLost("another job wrote the instance while it was compared")
        assert self.published is not None
        return self._built(Outcome.DUPLICATE, notes_on_duplicate(content, sink, self.published))

    def _publish(self, instance: Instance, source: _Source, *, replaces: bool) -> _Written:
        """Write the instance's objects, and remove those that are no longer part of it. Its metadata are missing yet.

        Neither the input nor its pixels are kept meanwhile: memory that is used again at once is in the caches still.
        """
        task = self.task
        if self.published is not None:
            with _COMPUTING:
                self._produce(instance, source.file, SizeSink())
        # From here on its objects are neither the old ones nor the new: a job that is killed leaves it to the next.
        with ExitStack() as claim:
            lease = claim_instance(task.store, task.uids, self.state, task.lease)
            claim.push(lease)
            before: list[str] = []
            if self.published is not None or self.state.abandoned:
                before = list(held_objects(task.store, task.uids))
            sink = (
                DraftSink(lease.draft)
                if isinstance(lease, DraftLease)
                else StoreSink(task.store, lease, frozenset(before))
            )
            with self._withdrawn_on_error(lease, sink):
                content, document = self._write(instance, source, sink)
                with self.clock("write"):
                    sink.finish()
                    lease.check()
                    task.store.delete_many([key for key in before if key not in sink.sizes])
            outcome = Outcome.PUBLISHED if self.published is None else Outcome.REPLACED if replaces else Outcome.REBUILT
            built = replace(
                self._built(outcome, (*content.notes, *self.remarks)),
                line=self._line(document),
                rows=content.rows,
                frames=content.frames,
                bytes_read=source.size,
                bytes_written=sum(sink.sizes.values()) + len(document),
                changed=tuple(key for key in before if is_fixed(key)),
            )
            return _Written(claim.pop_all(), lease, sink, document, built)

    def _commit(self, written: _Written) -> Generator[None, float, Built]:
        """Put the metadata beside the objects, once these are on the disk: they must not speak of what is not there."""
        with written.claim, self._withdrawn_on_error(written.lease, written.sink):
            self.clock.add({"write": (yield)})
            with self.clock("write"):
                written.lease.commit(written.document)
        return replace(written.built, times=dict(self.clock.times))

    @contextmanager
    def _withdrawn_on_error(self, lease: Lease | DraftLease, sink: _Sink) -> Iterator[None]:
        """Take back what was written where the block fails, unless the store does."""
        try:
            yield
        except StoreError:
            sink.abandon()
            raise
        except Exception:
            self._withdraw(lease, sink)
            raise

    def _write(self, instance: Instance, source: _Source, sink: _Sink) -> tuple[Content, bytes]:
        """Put all but the metadata on its way; what that was, and the document of the metadata."""
        task = self.task
        with _COMPUTING:
            content = self._produce(instance, source.file, sink)
            documents, document_notes = take_document(task.uids, task.options, content)
            with self.clock("write"):
                for key, data in documents.items():
                    sink.put(key, data)
            with self.clock("JSON"):
                uids = task.uids
                own = {metadata_key(uids.study, uids.series, uids.instance): digest_of_metadata(content.metadata)}
                contents = contents_digest(sink.digests | own)
            written = Holding(len(sink.sizes), sum(sink.sizes.values()))
            with self.clock("render"):
                pictures, picture_notes = make_pictures(task.uids, task.options, content, contents)
            with self.clock("write"):
                for key, data in pictures.items():
                    sink.put(key, data)
            self._check_unchanged(source)
            with self.clock("JSON"):
                record = Record(
                    source.digest.wait(),
                    describe_options(task.options, content.choices),
                    written,
                    contents,
                    Holding(len(pictures), sum(map(len, pictures.values()))),
                    digest_of_pictures({key: sink.digests[key] for key in pictures}),
                )
                notes = (*content.notes, *document_notes, *picture_notes)
                metadata = with_record(content.metadata, record, notes)
                return replace(content, metadata=metadata, notes=notes), dumps([metadata])

    def _withdraw(self, lease: Lease | DraftLease, sink: _Sink) -> None:
        """Take back the objects of an instance that was not published before and will not be now."""
        sink.abandon()
        if isinstance(lease, DraftLease):
            return  # it goes with its draft; what has its place by now is another job's
        lease.check()
        if self.published is None:
            self.task.store.delete_many(list(held_objects(self.task.store, self.task.uids)))
            lease.remove()
        else:
            lease.give_up()

    def _produce(self, instance: Instance, file: ReadableFile, sink: Sink, *, frames: bool = True) -> Content:
        choose = range if frames else no_frames
        prefix = self.task.store.key_prefix
        producer = Producer(self.task.uids, self.task.options, sink, self.clock, prefix, choose, self.make)
        return producer.produce(instance, file)
