"""Publishing a plan: tasks for the workers, what comes of them, lists as soon as all that they name is there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from stillframe.archive.claims import Watch
from stillframe.archive.draft_claims import discard_instance
from stillframe.archive.drawing import Drawer
from stillframe.archive.lists import listed_instances
from stillframe.archive.new_instances import NewInstances
from stillframe.archive.record import Record
from stillframe.archive.roots import Roots
from stillframe.build.catalogue import Catalogue
from stillframe.build.frame_count import arrange_count
from stillframe.build.list_writer import ListWriter
from stillframe.build.meeting import LARGE_SOURCE, arrange_meeting
from stillframe.build.offers import HelpOffers
from stillframe.build.plan import SeriesPlan
from stillframe.build.planning import iter_series
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Built, Outcome, StageClock
from stillframe.build.tasks import InstanceTask, Result
from stillframe.build.unchanged import UnchangedCheck
from stillframe.build.workers import build_instances, meeting_of
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import FailedJob, MachineError, WorkerDied, machine_blamed
from stillframe.execute import AHEAD, Batch, Onlooker, SerialExecutor, WorkersElsewhere, run_batches
from stillframe.parallel import map_ahead
from stillframe.progress import Progress
from stillframe.source.inputs import Header, Rejected
from stillframe.stopping import STOPPED, Stopped, finish, unstopped

# Instances of one task where a store or the sources are far away: their requests wait side by side.
_INSTANCE_BATCH: Final = 24
# Instances of one task that a disk takes together, and bytes of their inputs.
_SYNCED_TOGETHER: Final = 6
_SYNCED_BYTES: Final = 16 << 20
# Instances of one task of a machine elsewhere, and bytes of their inputs: that is half a second of work, and to hand it
# over takes 5 ms of CPU.
_MOST_ELSEWHERE: Final = 64
_BYTES_ELSEWHERE: Final = 32 << 20
# Into how many tasks each worker's share of what is left is cut, so that all have something to do to the end.
_SHARES: Final = 2
# Instances of a series that is compared with its inputs by the thread that reads its lists.
_FEW_INSTANCES: Final = 8
GRACE_SECONDS: Final = 20.0
"""How long a job that a store or a signal ends waits for what its workers have under way."""


@dataclass(slots=True, kw_only=True)
class _Series:
    """A series under way: the inputs still to be tried for each instance, and what has come of the others.

    `thumbnails` are the instances that had one before, `unchanged` those that are published from the inputs that the
    job has, once that is known. `seconds` of CPU were taken to find out.
    """

    plan: SeriesPlan
    listed: Mapping[str, Record | None] = field(default_factory=dict)
    unchanged: frozenset[str] | None = None
    seconds: float = 0.0
    thumbnails: frozenset[str] = frozenset()
    settled: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    built: NewInstances = field(default_factory=NewInstances)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One input of one instance, and the inputs with the same SOP Instance UID that come after it."""

    series: _Series
    uids: InstanceUIDs
    inputs: tuple[Header, ...]
    first: bool = True


def _candidates(series: _Series) -> list[_Candidate]:
    """The instances of a series with their inputs."""
    plan = series.plan
    return [
        _Candidate(series, InstanceUIDs(plan.study, plan.series, instance), inputs)
        for instance, inputs in plan.instances.items()
    ]


class _Ahead:
    """How many inputs are in no task yet that will be in one, as far as that is known.

    `to_do` are those of the series that were compared with what is published. Of the others, as large a part is taken
    to be new as of those before.
    """

    def __init__(self, inputs: int) -> None:
        self.to_do = 0
        self._compared = self._changed = 0
        self._inputs = inputs

    def open(self, series: _Series) -> None:
        """Count a series whose unchanged instances are known."""
        for instance, inputs in series.plan.instances.items():
            self._compared += len(inputs)
            if instance not in (series.unchanged or ()):
                self._changed += len(inputs)
                self.to_do += len(inputs)

    def estimate(self) -> int:
        """Of all inputs."""
        unknown = max(0, self._inputs - self._compared)
        return self.to_do + (unknown * self._changed // self._compared if self._compared else unknown)


class _Publisher:
    """Keeps the tasks going and has every list written as soon as all that it names is there."""

    def __init__(
        self,
        request: BuildRequest,
        catalogue: Catalogue,
        roots: Roots,
        progress: Progress,
        report: Report,
        draw: Drawer,
    ) -> None:
        self.request = request
        self.roots = roots
        self.progress = progress
        self.report = report
        self.catalogue = catalogue
        self.next_inputs: deque[_Candidate] = deque()
        self.held_up: deque[tuple[_Candidate, Watch]] = deque()
        self.open: dict[SeriesPlan, _Series] = {}  # planned, and not listed yet
        self.planned = ("", "")  # study and series of what was planned last
        self._ahead = _Ahead(catalogue.headers)
        self.lists = ListWriter(roots, request, report.stages, draw)
        self._check = UnchangedCheck(request, self.roots)
        self._grace_ends: float | None = None

    def tasks(self) -> Generator[tuple[_Candidate, InstanceTask]]:
        """First inputs in the order of the plan; a later input for an instance once the one before it is done.

        What is published and listed already is settled here: neither a worker nor its libraries are needed for that.
        """
        for series in self._open_series():
            if series.unchanged is None:
                with StageClock(self.report.stages, time.process_time)("check"):
                    series.unchanged, series.thumbnails = self._check.find(series.plan, series.listed)
            self.report.stages["check"] += series.seconds
            self._ahead.open(series)
            for candidate in _candidates(series):
                if candidate.uids.instance in series.unchanged:
                    source = candidate.inputs[0].source
                    self.settle(candidate, Built(source=source, uids=candidate.uids, outcome=Outcome.UNCHANGED))
                else:
                    self._ahead.to_do -= len(candidate.inputs)
                    yield self._task(candidate)
                yield from self.later_tasks()

    def _open_series(self) -> Iterator[_Series]:
        """The series of the job with what is listed of them; read ahead where the store is far away.

        Small ones are compared with their inputs there, too: many would be waited for one after the other.
        """
        parallel = self.roots.store.parallel

        def open_one(series: _Series) -> _Series:
            study = series.plan.study
            series.listed = listed_instances(self.lists.roots.of(study), study, series.plan.series)
            if parallel > 1 and len(series.plan.instances) <= _FEW_INSTANCES:
                began = time.thread_time()
                series.unchanged, series.thumbnails = self._check.find(series.plan, series.listed, at_once=1)
                series.seconds = time.thread_time() - began
            return series

        with closing(self._planned_series()) as planned, closing(map_ahead(open_one, planned, parallel)) as opened:
            yield from opened

    def _planned_series(self) -> Generator[_Series]:
        """The series of the job as they are planned; those that are listed are forgotten."""
        plans = iter_series(self.catalogue, self.roots, self.report, replace=self.request.replace)
        with closing(plans):
            for plan in plans:
                with unstopped():
                    for listed in self.lists.take_listed():
                        del self.open[listed]
                    self.planned = plan.study, plan.series
                    series = self.open[plan] = _Series(plan=plan)
                yield series

    def later_tasks(self) -> Iterator[tuple[_Candidate, InstanceTask]]:
        """Inputs whose turn came because another one for the same instance is done."""
        while self.next_inputs:
            yield self._task(self.next_inputs.popleft())

    def held_up_tasks(self) -> Iterator[tuple[_Candidate, InstanceTask]]:
        """Inputs whose instance another job was writing when their turn came: these attempts wait for it."""
        while self.held_up:
            yield self._task(*self.held_up.popleft())

    def _task(self, candidate: _Candidate, watched: Watch | None = None) -> tuple[_Candidate, InstanceTask]:
        request, uids, source = self.request, candidate.uids, candidate.inputs[0].source
        large_here = source.size >= LARGE_SOURCE and request.local_workers is None  # on other machines nobody meets
        task = InstanceTask(
            store=self.roots.of(uids.study),
            source=source,
            uids=uids,
            options=request.options,
            replace=request.replace,
            verify_stored=request.verify_stored,
            first=candidate.first,
            listed=candidate.series.listed.get(uids.instance),
            lease=request.lease,
            watched=watched,
            meeting=arrange_meeting() if large_here and request.workers > 1 else None,
            count=arrange_count() if large_here else None,
        )
        return candidate, task

    def run(self, executor: Executor, tasks: Iterable[tuple[_Candidate, InstanceTask]]) -> None:
        """Have the tasks done, several in a batch where that is worth it (`_in_batches`).

        Raises:
            FailedJob: if the store or the machine fails; what others brought is taken in before.
        """
        under_way: dict[Future[list[Result]], Batch[_Candidate, InstanceTask]] = {}
        window = self.request.workers * AHEAD
        offers = HelpOffers(executor, self.request.workers)

        def on_idle(batches: Iterable[Batch[_Candidate, InstanceTask]]) -> bool:
            meetings = [meeting_of(task for _, task in batch) for batch in batches]
            return offers.offer(len(meetings), filter(None, meetings))

        try:
            batches = self._in_batches(tasks)
            onlooker = Onlooker(on_idle, self._tell_frames)
            for results in run_batches(executor, build_instances, batches, window, under_way, onlooker):
                with unstopped():
                    self._take_in(results)
        except (FailedJob, Stopped):
            self.lists.hurry()
            for future in wait(under_way, self.grace()).done:
                if not future.exception():
                    candidates = [candidate for candidate, _ in under_way[future]]
                    with suppress(FailedJob):  # as the one before
                        self._take_in(zip(candidates, future.result(), strict=True))
            raise

    def _in_batches(
        self, tasks: Iterable[tuple[_Candidate, InstanceTask]]
    ) -> Iterator[Batch[_Candidate, InstanceTask]]:
        """Tasks that go together: several where the store or the sources are far away, a disk takes them together, or
        workers elsewhere do them; fewer if their inputs are large.
        """
        far = self.roots.store.parallel > 1 or self.request.far_sources
        elsewhere = self.request.local_workers is not None
        fewest = _INSTANCE_BATCH if far else _SYNCED_TOGETHER if self.roots.store.durable or elsewhere else 1
        limit = _BYTES_ELSEWHERE if elsewhere else _SYNCED_BYTES
        batch: list[tuple[_Candidate, InstanceTask]] = []
        size = total = 0
        for task in tasks:
            if not batch:
                share = self._ahead.estimate() // (self.request.workers * _SHARES)
                size = max(fewest, min(share, _MOST_ELSEWHERE)) if elsewhere else fewest
            batch.append(task)
            total += task[1].source.size
            if len(batch) >= size or (total >= limit and (len(batch) >= fewest or not far)):
                yield batch
                batch, total = [], 0
        if batch:
            yield batch

    def _tell_frames(self, batches: Iterable[Batch[_Candidate, InstanceTask]]) -> None:
        """Tell how far a large instance under way is."""
        for _, task in chain.from_iterable(batches):
            if task.count is not None and (told := task.count.read()):
                self.progress.inside(str(task.source), *told)
                return
        self.progress.inside("", 0, 0)

    def _take_in(self, results: Iterable[tuple[_Candidate, Result | WorkerDied]]) -> None:
        """Settle what came of a batch, what dead workers left is removed; then raise what ends the job."""
        failure: FailedJob | None = None
        for candidate, result in results:
            if isinstance(result, FailedJob):
                failure = failure or result
            elif isinstance(result, Watch):
                self.held_up.append((candidate, result))
            elif isinstance(result, WorkerDied):
                uids = candidate.uids
                discard_instance(self.roots.of(uids.study), uids)
                self.settle(candidate, Rejected.of(candidate.inputs[0].source, result, uids))
            else:
                self.settle(candidate, result)
        if failure is not None:
            raise failure

    def settle(self, candidate: _Candidate, result: Built | Rejected) -> None:
        """Report one result, send the next input for the instance on its way, write the lists that are complete."""
        uids, series = candidate.uids, candidate.series
        self.report.add(result)
        self.progress.step()
        if isinstance(result, Built):
            series.published.add(uids.instance)
            if result.line:
                series.built.add(uids.instance, result.line, None if result.rows_stay else result.rows)
        if len(candidate.inputs) > 1:
            first = candidate.first and not isinstance(result, Built)
            self.next_inputs.append(_Candidate(series, uids, candidate.inputs[1:], first))
            return
        series.settled.add(uids.instance)
        if len(series.settled) == len(series.plan.instances):
            self.lists.close_series(series.plan, series.built, series.thumbnails if series.listed else None)
            series.built = NewInstances()

    def grace(self) -> float:
        """Seconds that are left to what is under way, from when this was asked first: the job has failed."""
        if self._grace_ends is None:
            self._grace_ends = time.monotonic() + GRACE_SECONDS
        return max(0.0, self._grace_ends - time.monotonic())

    def tell_unfinished(self) -> None:
        """Tell the report what the job leaves undone where it ends now."""
        for listed in self.lists.take_listed():
            del self.open[listed]
        for plan, series in self.open.items():
            for uid, inputs in plan.instances.items():
                if uid not in series.settled:
                    self.report.add_missing(str(inputs[0].source))
            for uid in sorted(series.published):
                self.report.add_unlisted(InstanceUIDs(plan.study, plan.series, uid))
        for name in self.catalogue.first_inputs_behind(*self.planned):
            self.report.add_missing(name)


def publish_catalogue(
    request: BuildRequest, catalogue: Catalogue, roots: Roots, executor: Executor, progress: Progress, report: Report
) -> None:
    """Publish what is in a catalogue. The report is told of every result, and of what ended the job."""
    workers = 0 if isinstance(executor, SerialExecutor) else request.workers_here
    elsewhere = executor if isinstance(executor, WorkersElsewhere) else None
    with Drawer(workers, request.options.decoder_limits, elsewhere) as draw:
        _publish(_Publisher(request, catalogue, roots, progress, report, draw), executor)


def _publish(publisher: _Publisher, executor: Executor) -> None:
    report = publisher.report
    report.root_of = publisher.roots.name if publisher.roots.secret else None
    publisher.progress.stage("publishing", publisher.catalogue.headers)
    try:
        # Closed here: left to the garbage collector, its threads would end at any moment and in any thread.
        with machine_blamed(), closing(publisher.tasks()) as tasks:
            publisher.run(executor, tasks)
        with machine_blamed():
            while publisher.next_inputs or publisher.held_up:
                publisher.run(executor, chain(publisher.later_tasks(), publisher.held_up_tasks()))
            publisher.lists.finish()
        finish()
    except (FailedJob, Stopped) as error:
        finish()
        publisher.lists.stop(publisher.grace())
        report.failure = str(error) or STOPPED
        with suppress(MachineError):  # as the one before: no room for what is to be told
            publisher.tell_unfinished()
    report.stages["render"] += publisher.lists.draw.seconds
    report.bytes_written += publisher.lists.bytes_written
