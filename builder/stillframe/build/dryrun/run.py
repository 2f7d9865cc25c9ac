"""A build that writes nothing: inputs planned and decided on as in earnest, and a sample of them made.

Every input that would be published goes through a worker without its frames. That tells what it is rejected for by
then, how many frames it has and which objects come of it. Of each series some instances are made, of long ones some
frames.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import Final

from stillframe.archive.holdings import Contents, HeldInstance, held_in_series, read_contents, read_metadata
from stillframe.archive.lists import listed_instances
from stillframe.archive.record import UNKNOWN, Record, describe_options, with_record
from stillframe.archive.roots import Roots
from stillframe.build.decide import LISTED, UNRECORDED, WRITTEN, Asked, Decision, decide, published_record
from stillframe.build.dryrun.estimate import (
    MOST_INSTANCES,
    Encode,
    Measured,
    MeasureTask,
    Pool,
    choose_sample,
    estimate_objects,
    estimate_pictures,
    find_sample,
    make_pool,
    spread,
)
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.dryrun.lists import Change, Listed, count_lists
from stillframe.build.dryrun.prices import Prices
from stillframe.build.pipeline import catalogue_inputs
from stillframe.build.plan import SeriesPlan
from stillframe.build.planning import iter_series
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.shares import Share
from stillframe.build.unchanged import MANY_SERIES
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.uids import InstanceUIDs
from stillframe.digests import ALGORITHM, algorithm_of
from stillframe.errors import WorkerDied
from stillframe.execute import AHEAD, run_batches
from stillframe.options import Rendered
from stillframe.parallel import map_ahead, side_by_side
from stillframe.progress import Progress
from stillframe.source.inputs import Header, InputRef, Rejected
from stillframe.source.open import source_digest
from stillframe.store.base import Store

# Kinds of instances in series of which samples are made, if there are no more; others are judged by these.
_MOST_SERIES: Final = 256
# Series that are looked up ahead in a store far away, and instances of one series side by side.
_FAR_SERIES: Final = 16
_FAR_INSTANCES: Final = 8
# Instances that one task looks at without frames.
_BATCH: Final = 8
# Decisions that follow from a look at more than records: a worker reads the input.
_MEASURED: Final = LISTED | {Decision.COMPARE, Decision.REVIEW}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a build would write: a store that is only read, how it holds a JSON document, and what it charges."""

    store: Store
    encode: Encode = bytes
    prices: Prices | None = None


def forecast_build(
    request: BuildRequest, destination: Destination, executor: Executor, progress: Progress
) -> tuple[Report, Forecast]:
    """What building everything below the sources would come to. The report counts nothing as published.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if the store fails.
    """
    report = Report(share=Share(request.shard), on_reject=progress.reject)
    started = time.monotonic()
    roots = Roots(destination.store, request.secret)
    catalogue = catalogue_inputs(request, executor, progress, report)
    progress.stage("estimating", catalogue.headers)
    run = _DryRun(request, roots, destination, executor, progress, report)
    with closing(iter_series(catalogue, roots, report, replace=request.replace)) as series:
        run.measure(series)
    forecast = run.forecast()
    report.seconds = time.monotonic() - started
    return report, forecast


@dataclass(slots=True, kw_only=True)
class _Instance:
    """An instance under way: the inputs still to be looked at, and what is `known` of `source`, which is published.

    `published` is what the store's metadata record, `listed` what its lists do. `decision` is that of the next input,
    `outcome` that of the first one that is not rejected, `digest` that of what is published when the next one comes.
    `metadata` are those in the store, if a review needs them.
    """

    uids: InstanceUIDs
    source: InputRef
    inputs: list[Header]
    held: HeldInstance
    listed: Record | None
    metadata: JSONDataset | None = None
    published: Record | None = None
    decision: Decision = Decision.PUBLISH
    outcome: Decision | None = None
    digest: str = ""
    known: Measured | None = None

    def change(self, options: str) -> Change:
        """What happens to it in the lists, where it is published with these options."""
        if self.listed is None:
            return Change.NEW
        if self.listed.digest != self.digest:
            return Change.REPLACED
        return Change.NONE if self.listed.fits(options) and self.listed.shows(options) else Change.OPTIONS

    def as_listed(self, options: str, known: Measured) -> Listed:
        """The instance as the lists would have it, published with these options."""
        change, metadata, record = self.change(options), known.metadata, self.listed
        rewritten = change >= Change.REPLACED or self.outcome in (Decision.REBUILD, Decision.REPLACE)
        if self.outcome is Decision.RESUME:
            rewritten, record = False, self.published
        if not rewritten and record is not None and record.counts_apart:
            metadata = with_record(metadata, replace(record, options=record.showing(options)))
        return Listed(change, known, metadata, rewritten)


@dataclass(slots=True)
class _DryRun:
    """A dry run under way: what is known of the instances, their inputs by what became of them, what was made."""

    request: BuildRequest
    roots: Roots
    destination: Destination
    executor: Executor
    progress: Progress
    report: Report
    instances: list[_Instance] = field(default_factory=list)
    inputs: Counter[Decision] = field(default_factory=Counter)
    sample: Counter[str] = field(default_factory=Counter)

    def measure(self, series: Iterable[SeriesPlan]) -> None:
        """Measure every instance that would be listed, some of them with frames, until these tell of all others.

        Raises:
            StoreError: if the store, or that of the inputs, fails.
        """
        self._advance(self._open_all(series))
        while True:
            while chosen := self._choose():
                self._make(chosen)
            waiting = [instance for instance in self.instances if instance.inputs]
            if not waiting:
                return
            side_by_side(
                max(self.request.workers_here, min(self.roots.store.parallel, _FAR_SERIES)), self._decide, waiting
            )
            self._advance(waiting)

    def _open_all(self, series: Iterable[SeriesPlan]) -> Iterator[_Instance]:
        """Every instance of the plan with the decision about its first input."""
        threads = max(self.request.workers_here, min(self.roots.store.parallel, _FAR_SERIES))
        with closing(map_ahead(self._open, series, threads)) as opened:
            for instances in opened:
                self.instances += instances
                yield from instances

    def _open(self, plan: SeriesPlan) -> list[_Instance]:
        store = self.roots.of(plan.study)
        listed = listed_instances(store, plan.study, plan.series)
        held = held_in_series(store, plan.study, plan.series)
        instances = [
            _Instance(
                uids=InstanceUIDs(plan.study, plan.series, uid),
                source=inputs[0].source,
                inputs=list(inputs),
                held=held.get(uid, HeldInstance()),
                listed=listed.get(uid),
            )
            for uid, inputs in plan.instances.items()
        ]
        side_by_side(min(store.parallel, _FAR_INSTANCES), self._decide, instances)
        return instances

    def _decide(self, instance: _Instance) -> None:
        """What becomes of an instance's next input, after those before it."""
        if instance.held.has_metadata and instance.published is None:
            instance.published = published_record(read_metadata(self.roots.of(instance.uids.study), instance.uids))
        first, published = instance.outcome is None, instance.published
        if instance.outcome in LISTED:
            published = Record(instance.digest or UNKNOWN)
        digest = ""
        if len(instance.inputs) > 1 or instance.listed or published not in (None, UNRECORDED):
            record = published if published not in (None, UNRECORDED) else instance.listed
            algorithm = algorithm_of(record.digest) if record else ALGORITHM
            digest = source_digest(instance.inputs[0].source, algorithm)
        if first:
            instance.digest = digest
        asked = Asked(digest, self.request.options, self.request.replace, first, self.request.verify_stored)

        def contents() -> Contents:
            return read_contents(self.roots.of(instance.uids.study), instance.uids, published or UNRECORDED)

        instance.decision = decide(asked, published, instance.listed, lambda: instance.held, contents)
        if instance.decision is Decision.REVIEW:
            instance.metadata = read_metadata(self.roots.of(instance.uids.study), instance.uids)

    def _advance(self, instances: Iterable[_Instance]) -> None:
        """Settle the next input of every instance."""

        def measured() -> Iterator[_Instance]:
            for instance in instances:
                if instance.decision in _MEASURED:
                    yield instance
                else:
                    self._settle(instance, None)

        for instance, result in self._run(measured(), frames=False):
            self._settle(instance, result)

    def _run(self, instances: Iterable[_Instance], *, frames: bool) -> Iterator[tuple[_Instance, Measured | Rejected]]:
        """Each instance with what its next input comes to, or with `frames` what its known one does, as they finish."""
        tasks = ((instance, self._task(instance, frames)) for instance in instances)
        batches = batched(tasks, 1 if frames else _BATCH)
        for results in run_batches(self.executor, _measure_instances, batches, self.request.workers * AHEAD):
            for instance, result in results:
                if isinstance(result, WorkerDied):
                    result = Rejected.of(self._task(instance, frames).source, result, instance.uids)
                if isinstance(result, Rejected):
                    self.report.add(result)
                yield instance, result

    def _task(self, instance: _Instance, frames: bool) -> MeasureTask:
        options = self.request.options
        options = replace(options, base_url=self.roots.base_url(instance.uids.study, options.base_url))
        source = instance.source if frames else instance.inputs[0].source
        return MeasureTask(
            source=source,
            uids=instance.uids,
            options=options,
            prefix=self.roots.of(instance.uids.study).key_prefix,
            encode=self.destination.encode,
            frames=frames,
            published=instance.metadata,
        )

    def _settle(self, instance: _Instance, result: Measured | Rejected | None) -> None:
        """Count what becomes of the next input of an instance."""
        source = instance.inputs.pop(0).source
        self.progress.step()
        if isinstance(result, Rejected):
            return
        if instance.decision is Decision.REVIEW and result is not None:
            instance.decision = self._review(instance) if result.same else Decision.REBUILD
        if instance.decision is Decision.REDRAW and result is not None and self._has_other_document(instance, result):
            instance.decision = Decision.REBUILD
        instance.metadata = None
        self.inputs[instance.decision] += 1
        if instance.outcome is None:
            instance.outcome, instance.source = instance.decision, source
            if result and instance.decision in LISTED:
                instance.known = replace(result, uids=instance.uids)  # without a copy from another process

    def _review(self, instance: _Instance) -> Decision:
        """What becomes of an instance of an older format that would be the same now."""
        shows = instance.published is not None and instance.published.shows(describe_options(self.request.options))
        return Decision.UNCHANGED if shows else Decision.REDRAW

    def _has_other_document(self, instance: _Instance, result: Measured) -> bool:
        """Whether an instance without frames is to get the document that it has not, or the reverse."""
        asked = self.request.options.rendered is not Rendered.NEVER
        return not result.frames and instance.published is not None and instance.published.has_document != asked

    def _choose(self) -> list[_Instance]:
        """The instances to make next: some of every series and kind that no sample tells of, of so many series."""
        pool = self._pool()
        unknown: defaultdict[tuple[str, str, str], list[_Instance]] = defaultdict(list)
        for instance in self.instances:
            known = instance.known
            if known and known.frames and find_sample(pool, known) is None:
                unknown[instance.uids.study, instance.uids.series, known.kind].append(instance)
        groups = list(unknown.values())
        chosen = [groups[index] for index in spread(len(groups), min(len(groups), _MOST_SERIES))]
        return [alike[index] for alike in chosen for index in choose_sample(len(alike), MOST_INSTANCES)]

    def _make(self, instances: Sequence[_Instance]) -> None:
        """Make instances with frames; one that is rejected leaves its place to the inputs after it."""
        for instance, result in self._run(instances, frames=True):
            self.sample["instances"] += 1
            if isinstance(result, Measured):
                self.sample["frames"] += result.made.frames if result.made else 0
                instance.known = result
            elif instance.outcome is not None:
                self.sample["rejected"] += 1
                self.inputs[instance.outcome] -= 1
                instance.known = instance.outcome = None

    def _pool(self) -> Pool:
        """The samples to judge instances by."""
        return make_pool(instance.known for instance in self.instances if instance.known)

    def forecast(self) -> Forecast:
        """What follows from the instances that were measured.

        Raises:
            StoreError: if the store fails.
        """
        pool, options = self._pool(), self.request.options
        shape = describe_options(options)
        changes: defaultdict[str, defaultdict[str, list[Listed]]] = defaultdict(lambda: defaultdict(list))
        for instance in self.instances:
            if instance.listed or instance.known:
                series = changes[instance.uids.study][instance.uids.series]
                if instance.known:
                    series.append(instance.as_listed(shape, instance.known))
        kept = [instance for instance in self.instances if instance.outcome]
        written = [
            (instance.source, instance.known) for instance in kept if instance.known and instance.outcome in WRITTEN
        ]
        redrawn = [instance.known for instance in kept if instance.known and instance.outcome is Decision.REDRAW]
        objects = count_lists(self.roots, options.base_url, self.destination.encode, changes, pool)
        objects = sum((estimate_objects(known, pool) for _, known in written), objects)
        objects = sum((estimate_pictures(known, pool) for known in redrawn), objects)
        same = _same_series(kept)
        return Forecast(
            inputs=+self.inputs,
            objects=objects,
            sample=self.sample,
            studies=len({instance.uids.study for instance in kept}),
            series=len({(instance.uids.study, instance.uids.series) for instance in kept}),
            same_series=same.total(),
            listed_together=sum(count - 1 for count in same.values() if count >= MANY_SERIES),
            frames=sum(known.frames for _, known in written),
            bytes_read=sum(source.size for source, _ in written),
            examined=sum(instance.held.others.objects for instance in kept if instance.outcome in _MEASURED),
            prices=self.destination.prices,
        )


def _same_series(instances: Iterable[_Instance]) -> Counter[str]:
    """How many series each study has whose inputs are all unchanged."""
    same: dict[tuple[str, str], bool] = {}
    for instance in instances:
        series = instance.uids.study, instance.uids.series
        same[series] = same.get(series, True) and instance.outcome is Decision.UNCHANGED
    return Counter(study for (study, _), unchanged in same.items() if unchanged)


def _measure_instances(tasks: Sequence[MeasureTask]) -> list[Measured | Rejected]:
    """What a worker does. The libraries are imported where it runs."""
    from stillframe.build.dryrun.measure import measure_instance

    return [measure_instance(task) for task in tasks]
