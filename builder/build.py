"""The pipeline: find inputs, read their headers, plan, publish instances, then lists from the inside out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import batched, islice
from pathlib import Path
from typing import Final, Protocol

from builder.claims import LEASE_SECONDS
from builder.dicomdir import with_missing_told
from builder.errors import StoreError, UsageError, WorkerDied
from builder.layout import InstanceUIDs
from builder.lists import ListWriter
from builder.model import BuildOptions, Built, Header, InputRef, Outcome, Rejected, Skipped
from builder.plan import Plan, SeriesPlan, make_plan
from builder.provenance import Provenance
from builder.publish import begin_lists, listed_instances, published_patient
from builder.published import Holding, discard_instance, held_in_series, is_unchanged
from builder.report import Report, Unfinished
from builder.roots import Roots
from builder.s3_client import PARALLEL, SCHEME, S3Settings, parse_location
from builder.scan import Scanned, scan_heads
from builder.source import Found, check_sources, iter_inputs
from builder.store import Store
from builder.tasks import InstanceTask, Result, ScanTask, build_instances, scan_inputs

# Headers read by one task; a header takes a fraction of what handing a task to a process does.
_SCAN_BATCH: Final = 32
# Instances of one task where a store or the sources are far away: their requests wait side by side.
_INSTANCE_BATCH: Final = 24
# How long a job that a store ends waits for what its workers have under way.
_GRACE_SECONDS: Final = 20.0
AHEAD: Final = 3
"""Tasks under way at once for every worker: enough to keep it busy, few enough to keep results in memory few."""
_NO_SETTINGS: Final = S3Settings()


class Progress(Protocol):
    """Who is told how far a build is."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def step(self, count: int = 1) -> None:
        """Some steps of the stage are done."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build and how. `workers` says how many tasks the executor runs at once.

    Nothing is read in `destination`, the store's folder, wherever links among the sources lead. With a `secret` every
    study is published under a root of its own (`roots`). `s3` says how `s3://` sources are reached. `lease` is how many
    seconds another job's claim to an instance stands that is not renewed: the same for all jobs of a store.
    """

    sources: tuple[str, ...]
    options: BuildOptions
    workers: int = 1
    replace: bool = False
    destination: str = ""
    secret: bytes = b""
    s3: S3Settings = field(default_factory=S3Settings)
    lease: float = LEASE_SECONDS

    @property
    def far_sources(self) -> bool:
        """Whether reading inputs is waiting for a network."""
        return any(source.startswith(SCHEME) for source in self.sources)


def build(request: BuildRequest, store: Store, executor: Executor, progress: Progress) -> Report:
    """Publish everything below the sources into `store`.

    A store that fails for good ends the job early, as the report then tells. What is published stays, and building
    again completes it.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if the store, or one of sources, fails before anything is published.
    """
    report = Report()
    started = time.monotonic()
    roots = Roots(store, request.secret)
    plan = plan_build(request, roots, executor, progress, report)
    _publish(request, plan, roots, executor, progress, report)
    report.seconds = time.monotonic() - started
    return report


def plan_build(request: BuildRequest, roots: Roots, executor: Executor, progress: Progress, report: Report) -> Plan:
    """Find the inputs, read their headers and plan; the report is told of those that have no part in it.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if the store fails.
    """
    progress.stage("finding files", 0)
    found = list(iter_inputs(request.sources, request.destination, request.options.max_unpacked, request.s3))
    headers = list(_scan(request, found, executor, progress, report))
    replaced = {header.uids for header in headers} if request.replace else frozenset()
    plan = make_plan(headers, _published_patients(roots, {header.uids.study for header in headers}, replaced).get)
    for rejected in plan.rejected:
        report.add(rejected)
    return plan


def _published_patients(
    roots: Roots, studies: Iterable[str], replaced: Container[InstanceUIDs]
) -> dict[str, tuple[str, str] | None]:
    """Patient ID and name of the studies that are published already, and will not be replaced as a whole."""
    ordered = sorted(studies)
    with ThreadPoolExecutor(roots.store.parallel) as threads:
        found = threads.map(lambda study: published_patient(roots.of(study), study, replaced), ordered)
        return dict(zip(ordered, found, strict=True))


def check_destination(
    sources: Iterable[str], destination: str, s3: S3Settings = _NO_SETTINGS, *, apart: bool = False
) -> None:
    """Refuse a destination inside a source, or the reverse: a build would read what it wrote.

    `s3` says how `s3://` sources are reached; `apart` that this is another store than the destination's, where the same
    names stand for other buckets.

    Raises:
        UsageError: naming the two, or a source that does not exist.
        StoreError: if a store of sources does not tell.
    """
    if not destination:
        raise UsageError("the destination is empty")
    if destination.startswith(SCHEME):
        _check_remote([] if apart else sources, destination)
        check_sources(sources, s3)
        return
    check_sources(sources, s3)
    target = Path(destination).resolve()
    for source in sources:
        path = Path(source).resolve()
        if not source.startswith(SCHEME) and (target == path or path in target.parents or target in path.parents):
            raise UsageError(f"source and destination overlap: {source} and {destination}")
    if target.exists() and not target.is_dir():
        raise UsageError(f"the destination is not a folder: {destination}")


def _check_remote(sources: Iterable[str], destination: str) -> None:
    bucket, prefix = parse_location(destination)
    for source in sources:
        if source.startswith(SCHEME):
            other, path = parse_location(source)
            one, two = sorted((f"{prefix}/".lstrip("/"), f"{path}/".lstrip("/")), key=len)
            if bucket == other and two.startswith(one):
                raise UsageError(f"source and destination overlap: {source} and {destination}")


def _scan(
    request: BuildRequest, found: list[Found], executor: Executor, progress: Progress, report: Report
) -> Iterator[Header]:
    """Headers of all inputs that have one, in the order of the inputs; the report is told of the others."""
    inputs = [source for source in found if isinstance(source, InputRef)]
    progress.stage("reading headers", len(inputs))
    with _clocked(report, "scan"):
        scanned: dict[InputRef, Scanned] = {}
        left = []
        for source, header in zip(inputs, scan_heads(inputs), strict=True):
            if header is None:
                left.append(source)
            else:
                scanned[source] = header
                progress.step()
        limit = request.options.max_unpacked
        batches = ((batch, ScanTask(batch, limit)) for batch in batched(left, _SCAN_BATCH))
        for batch, future in run_tasks(executor, scan_inputs, batches, request.workers * AHEAD):
            scanned.update(zip(batch, _scan_result(executor, ScanTask(batch, limit), future), strict=True))
            progress.step(len(batch))
    present = _paths_beside_dicomdirs(found, scanned)
    for item in found:
        header = scanned[item] if isinstance(item, InputRef) else item
        if isinstance(header, Skipped):
            header = with_missing_told(header, present)
        if isinstance(header, Header):
            yield header
        elif isinstance(header, Rejected):
            report.add(header)
        elif isinstance(item, InputRef) and str(item) in request.sources:  # whoever names a file means it
            report.add(Rejected(header.path, header.reason))
        else:
            report.skipped.append(header)


def _paths_beside_dicomdirs(found: list[Found], scanned: Mapping[InputRef, Scanned]) -> frozenset[str]:
    """The paths of all inputs in lower case, where a DICOMDIR wants to know."""
    if not any(isinstance(header, Skipped) and header.files for header in scanned.values()):
        return frozenset()
    return frozenset((str(item) if isinstance(item, InputRef) else item.path).lower() for item in found)


def _scan_result(executor: Executor, task: ScanTask, future: Future[list[Scanned]]) -> list[Scanned]:
    """A batch's headers; if its process died, each input is tried by itself so that one does not cost the others."""
    try:
        return future.result()
    except WorkerDied as error:
        if len(task.sources) == 1:
            return [Rejected(str(task.sources[0]), str(error))]
        alone = [ScanTask((source,), task.max_unpacked) for source in task.sources]
        under_way = [(one, executor.submit(scan_inputs, one)) for one in alone]
        return [header for one, done in under_way for header in _scan_result(executor, one, done)]


@contextmanager
def _clocked(report: Report, stage: str) -> Iterator[None]:
    """Count this process's CPU time in the block as a stage's."""
    start = time.process_time()
    try:
        yield
    finally:
        report.stages[stage] += time.process_time() - start


def run_tasks[K, A, T](
    executor: Executor,
    work: Callable[[A], T],
    tasks: Iterable[tuple[K, A]],
    window: int,
    pending: dict[Future[T], K] | None = None,
) -> Iterator[tuple[K, Future[T]]]:
    """Run tasks with at most `window` of them under way; each one's tag and finished future, as they finish.

    Those under way stand in `pending`, which is left to whoever gives up.
    """
    pending = {} if pending is None else pending
    for tag, argument in tasks:
        pending[executor.submit(work, argument)] = tag
        while len(pending) >= window:
            yield from _take_finished(pending)
    while pending:
        yield from _take_finished(pending)


def _take_finished[K, T](pending: dict[Future[T], K]) -> Iterator[tuple[K, Future[T]]]:
    done = [future for future in pending if future.done()]
    for future in done or wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future


@dataclass(slots=True)
class _Series:
    """A series under way: the inputs still to be tried for each instance, and what has come of the others."""

    plan: SeriesPlan
    listed: Mapping[str, Provenance | None]
    settled: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    built: list[Built] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One input of one instance, and the inputs with the same SOP Instance UID that come after it."""

    series: _Series
    uids: InstanceUIDs
    inputs: tuple[Header, ...]
    first: bool = True


type _Batch = tuple[tuple[_Candidate, InstanceTask], ...]


class _Publisher:
    """Keeps the tasks going and has every list written as soon as all that it names is there."""

    def __init__(self, request: BuildRequest, plan: Plan, roots: Roots, progress: Progress, report: Report) -> None:
        self.request = request
        self.roots = roots
        self.progress = progress
        self.report = report
        self.plan = plan
        self.next_inputs: deque[_Candidate] = deque()
        self.begun: dict[SeriesPlan, _Series] = {}
        self.lists = ListWriter(roots, plan, request.options.base_url, report.stages)

    def tasks(self) -> Generator[tuple[_Candidate, InstanceTask]]:
        """First inputs in the order of the plan; a later input for an instance once the one before it is done.

        What is published and listed already is settled here: neither a worker nor its libraries are needed for that.
        """
        for series in self._open_series():
            plan, store = series.plan, self.roots.of(series.plan.study)
            candidates = [
                _Candidate(series, InstanceUIDs(plan.study, plan.series, instance), inputs)
                for instance, inputs in plan.instances.items()
            ]
            unchanged = self._unchanged(store, series, candidates)
            for candidate in candidates:
                if candidate.uids.instance in unchanged:
                    source = candidate.inputs[0].source
                    self.settle(candidate, Built(source, candidate.uids, Outcome.UNCHANGED, {}))
                else:
                    yield self._task(candidate)
                yield from self.later_tasks()

    def _open_series(self) -> Iterator[_Series]:
        """The series of the plan with what is listed of them; read ahead where the store is far away."""

        def open_one(plan: SeriesPlan) -> _Series:
            store = self.roots.of(plan.study)
            if store.lists_first:
                begin_lists(store, plan.study, plan.series)
            return _Series(plan, listed_instances(store, plan.study, plan.series))

        waiting = iter(self.plan.series)
        ahead = self.roots.store.parallel
        with ThreadPoolExecutor(ahead) as threads:
            opened = deque(threads.submit(open_one, plan) for plan in islice(waiting, ahead))
            while opened:
                series = opened.popleft().result()
                opened.extend(threads.submit(open_one, plan) for plan in islice(waiting, 1))
                self.begun[series.plan] = series
                yield series

    def _unchanged(self, store: Store, series: _Series, candidates: Iterable[_Candidate]) -> frozenset[str]:
        """The listed instances of a series whose first input is what they were published from."""
        listed = [
            (candidate, record) for candidate in candidates if (record := series.listed.get(candidate.uids.instance))
        ]
        if not listed:
            return frozenset()
        held = held_in_series(store, series.plan.study, series.plan.series)

        def check(item: tuple[_Candidate, Provenance]) -> bool:
            candidate, record = item
            source, uids = candidate.inputs[0].source, candidate.uids
            holding = held.get(uids.instance, Holding())
            return is_unchanged(store, uids, source, self.request.options, record, holding)

        count = max(self.request.workers, store.parallel, PARALLEL if self.request.far_sources else 1)
        with _clocked(self.report, "check"), ThreadPoolExecutor(count) as threads:
            results = threads.map(check, listed)
            return frozenset(item[0].uids.instance for item, same in zip(listed, results, strict=True) if same)

    def later_tasks(self) -> Iterator[tuple[_Candidate, InstanceTask]]:
        """Inputs whose turn came because another one for the same instance is done."""
        while self.next_inputs:
            yield self._task(self.next_inputs.popleft())

    def _task(self, candidate: _Candidate) -> tuple[_Candidate, InstanceTask]:
        listed = candidate.series.listed.get(candidate.uids.instance)
        source = candidate.inputs[0].source
        request = self.request
        store = self.roots.of(candidate.uids.study)
        task = InstanceTask(
            store, source, candidate.uids, request.options, request.replace, candidate.first, listed, request.lease
        )
        return candidate, task

    def run(self, executor: Executor, tasks: Iterable[tuple[_Candidate, InstanceTask]]) -> None:
        """Have the tasks done, several in a batch where the store or the sources are far away.

        Raises:
            StoreError: if the store fails; what others brought is taken in before.
        """
        far = self.roots.store.parallel > 1 or self.request.far_sources
        size = _INSTANCE_BATCH if far else 1
        batches = ((batch, [task for _, task in batch]) for batch in batched(tasks, size))
        under_way: dict[Future[list[Result]], _Batch] = {}
        try:
            for batch, future in run_tasks(executor, build_instances, batches, self.request.workers * AHEAD, under_way):
                self._finish(executor, batch, future)
        except StoreError:
            for future in wait(under_way, _GRACE_SECONDS).done:
                if not future.exception():
                    with suppress(StoreError):  # as the one before
                        self._take_in(under_way[future], future.result())
            raise

    def _finish(self, executor: Executor, batch: _Batch, future: Future[list[Result]]) -> None:
        """Take a worker's results in; if its process died, each task is tried by itself."""
        try:
            results = future.result()
        except WorkerDied as error:
            if len(batch) > 1:
                alone = [((one,), executor.submit(build_instances, [one[1]])) for one in batch]
                for one, done in alone:
                    self._finish(executor, one, done)
                return
            uids = batch[0][0].uids
            discard_instance(self.roots.of(uids.study), uids)
            source = str(batch[0][0].inputs[0].source)
            results = [Rejected(source, str(error), uids.study, uids.series, uids.instance)]
        self._take_in(batch, results)

    def _take_in(self, batch: _Batch, results: list[Result]) -> None:
        for (candidate, _), result in zip(batch, results, strict=True):
            if not isinstance(result, StoreError):
                self.settle(candidate, result)
        for result in results:
            if isinstance(result, StoreError):
                raise result

    def settle(self, candidate: _Candidate, result: Built | Rejected) -> None:
        """Report one result, send the next input for the instance on its way, write the lists that are complete."""
        uids, series = candidate.uids, candidate.series
        self.report.add(result)
        self.progress.step()
        if isinstance(result, Built):
            series.published.add(uids.instance)
            if result.metadata:
                series.built.append(result)
        if len(candidate.inputs) > 1:
            published = isinstance(result, Built)
            first = candidate.first and not published
            self.next_inputs.append(_Candidate(series, uids, candidate.inputs[1:], first))
            return
        series.settled.add(uids.instance)
        if len(series.settled) == len(series.plan.instances):
            self.lists.close_series(series.plan, series.built, bool(series.listed))
            series.built = []

    def unfinished(self) -> Unfinished:
        """What the job leaves undone where it ends now."""
        written, missing = [], []
        for plan in self.plan.series:
            series = self.begun.get(plan) or _Series(plan, {})
            missing += [str(inputs[0].source) for uid, inputs in plan.instances.items() if uid not in series.settled]
            if plan not in self.lists.listed:
                written += [InstanceUIDs(plan.study, plan.series, uid) for uid in sorted(series.published)]
        return Unfinished(tuple(sorted(missing)), tuple(written))


def _publish(
    request: BuildRequest, plan: Plan, roots: Roots, executor: Executor, progress: Progress, report: Report
) -> None:
    publisher = _Publisher(request, plan, roots, progress, report)
    total = sum(len(inputs) for series in plan.series for inputs in series.instances.values())
    progress.stage("publishing", total)
    try:
        # Closed here: left to the garbage collector, it would wait for its threads at any moment and in any thread.
        with closing(publisher.tasks()) as tasks:
            publisher.run(executor, tasks)
        while publisher.next_inputs:
            publisher.run(executor, publisher.later_tasks())
        publisher.lists.finish()
    except StoreError as error:
        publisher.lists.stop()
        report.fail(str(error), publisher.unfinished())
    report.roots = {study: roots.name(study) for study in report.studies} if request.secret else {}
