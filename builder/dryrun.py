"""A build that writes nothing: inputs planned and judged as in earnest, a sample of them made, lists rehearsed.

Every input that would be published goes through a worker without its frames: what it is rejected for by then, how many
frames it has and which objects come of it is known. Of each series some instances are made, of long ones some frames.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import batched
from typing import Final

from builder.build import plan_build
from builder.errors import WorkerDied
from builder.estimate import Group, Measured, Pool, Tally, add_tallies, choose_instances, spread, sum_tallies
from builder.execute import AHEAD, run_batches
from builder.forecast import Forecast
from builder.inputs import Header, Rejected
from builder.job import BuildRequest
from builder.jsonmodel import dumps
from builder.layout import Kind, metadata_key, thumbnail_key
from builder.lists import ListWriter
from builder.parallel import map_ahead
from builder.plan import Plan, SeriesPlan
from builder.prices import Prices, Requests
from builder.progress import Progress
from builder.prospect import LISTED, WRITTEN, Judgement, Prospect, requests_of_instance
from builder.publish import PublishedInstance
from builder.record import Holding, Record, describe_options, with_record
from builder.rehearsal import Encode, Journal, RehearsalStore
from builder.report import Report
from builder.results import Built, Outcome
from builder.roots import Roots
from builder.series_state import SeriesOpener, SeriesState
from builder.store import Store
from builder.tasks import MeasureTask
from builder.uids import InstanceUIDs
from builder.workers import measure_instances

# Series of which instances are made; more are judged by these.
_MOST_SERIES: Final = 256
# Instances without frames that one task looks at.
_BATCH: Final = 8


def forecast_build(
    request: BuildRequest, store: Store, executor: Executor, progress: Progress, encode: Encode, prices: Prices | None
) -> Report:
    """What building everything below the sources into `store` would come to; `store` is only read.

    Args:
        request: as for a build.
        store: the destination.
        executor: runs the tasks.
        progress: is told how far it is.
        encode: the bytes of a JSON document as the store would hold it.
        prices: of the store, None if it costs nothing.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if the store fails.
    """
    report = Report()
    started = time.monotonic()
    journal = Journal(encode)
    roots, reads = Roots(RehearsalStore(store, journal), request.secret), Roots(store, request.secret)
    plan = plan_build(request, roots, executor, progress, report)
    dry_run = _DryRun(request, plan, roots, reads, journal, progress, report)
    dry_run.run(executor)
    report.forecast = dry_run.finish(prices)
    report.seconds = time.monotonic() - started
    return report


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One input of an instance, those with the same UID after it, and whether frames of it are made.

    One that is `compared` has no part in its series: all that is asked is whether it can be read.
    """

    series: SeriesState
    uids: InstanceUIDs
    inputs: tuple[Header, ...]
    frames: bool = False
    compared: bool = False


type _Batch = tuple[_Candidate, ...]


class _DryRun:
    """Keeps workers measuring and rehearses the lists of every series as soon as it is known."""

    def __init__(
        self, request: BuildRequest, plan: Plan, roots: Roots, reads: Roots, journal: Journal, progress: Progress,
        report: Report,
    ) -> None:  # fmt: skip
        self.request = request
        self.plan = plan
        self.roots = roots
        self.journal = journal
        self.progress = progress
        self.report = report
        self.forecast = Forecast()
        self.lists = ListWriter(roots, plan, request.options.base_url, report.stages)
        self.open = Counter(series.study for series in plan.series)
        self.ready: deque[_Batch] = deque()
        self.samples: dict[SeriesPlan, list[Measured]] = {}
        self.pool = Pool()
        self.published: set[tuple[str, str]] = set()
        self.opener = SeriesOpener(request, roots, reads, journal)

    def run(self, executor: Executor) -> None:
        """Measure what has to be: first the series of which instances are made, then those judged by them."""
        series = self.plan.series
        chosen = set(spread(len(series), min(len(series), _MOST_SERIES))) if series else set()
        sampled = [plan for index, plan in enumerate(series) if index in chosen]
        others = [plan for index, plan in enumerate(series) if index not in chosen]
        total = sum(len(inputs) for plan in series for inputs in plan.instances.values())
        self.progress.stage("estimating", total)
        self._run(executor, self._tasks(sampled, sampled=True))
        for plan in sampled:
            for sample in self.samples.pop(plan, ()):
                self.pool.add(sample)
        self._run(executor, self._tasks(others, sampled=False))

    def _run(self, executor: Executor, batches: Iterator[_Batch]) -> None:
        while True:
            tasks = ([(candidate, self._task(candidate)) for candidate in batch] for batch in batches)
            for results in run_batches(executor, measure_instances, tasks, self.request.workers * AHEAD):
                for candidate, result in results:
                    self._take(candidate, _rejected(candidate, result) if isinstance(result, WorkerDied) else result)
            if not self.ready:
                return
            batches = self._take_ready()

    def _task(self, candidate: _Candidate) -> MeasureTask:
        return MeasureTask(candidate.inputs[0].source, candidate.uids, self.request.options, candidate.frames)

    def _take_ready(self) -> Iterator[_Batch]:
        while self.ready:
            yield self.ready.popleft()

    def _tasks(self, plans: list[SeriesPlan], *, sampled: bool) -> Iterator[_Batch]:
        for series in self._open_series(plans, sampled=sampled):
            plan = series.plan
            candidates = [
                _Candidate(series, InstanceUIDs(plan.study, plan.series, uid), inputs)
                for uid, inputs in plan.instances.items()
            ]
            unknown = [one for one in candidates if series.judged[one.uids.instance].prospect in LISTED]
            series.waiting = len(unknown)
            for candidate in candidates:
                if series.judged[candidate.uids.instance].prospect not in LISTED:
                    self._settle(candidate)
            if not unknown:
                self._advance(series)
            yield from self._take_ready()
            for batch in batched(unknown, _BATCH):
                yield batch
                yield from self._take_ready()

    def _open_series(self, plans: list[SeriesPlan], *, sampled: bool) -> Iterator[SeriesState]:
        """The series with what the store has of them, read ahead."""
        with closing(map_ahead(partial(self.opener.open, sampled=sampled), plans, self.opener.parallel)) as opened:
            yield from opened

    def _take(self, candidate: _Candidate, result: Measured | Rejected) -> None:
        series, uid = candidate.series, candidate.uids.instance
        if candidate.compared:
            if isinstance(result, Rejected):
                self.report.add(result)
            else:
                self.forecast.prospects[Prospect.COMPARE] += 1
            self.progress.step()
            return
        if candidate.frames:
            self.forecast.sample.instances += 1
        if isinstance(result, Rejected):
            self.report.add(result)
            self.progress.step()
            self.forecast.sample.rejected += candidate.frames
            series.surveyed.pop(uid, None)
            if self._try_next(candidate):
                return
        elif candidate.frames:
            self.forecast.sample.frames += result.made
            series.samples[uid] = result
        else:
            series.surveyed[uid] = result
        series.waiting -= 1
        if not series.waiting:
            self._advance(series)

    def _try_next(self, candidate: _Candidate) -> bool:
        """Have the next input for an instance looked at in place of one that is rejected, if there is one."""
        series, uids, inputs = candidate.series, candidate.uids, candidate.inputs[1:]
        if not inputs:
            return False
        if uids.instance in series.digests:
            series.digests = {**series.digests, uids.instance: series.digests[uids.instance][1:]}
        if series.judged[uids.instance] != Judgement(Prospect.PUBLISH):
            series.judged[uids.instance] = self.opener.judge(series, uids, inputs[0])
        following = _Candidate(series, uids, inputs)
        if series.judged[uids.instance].prospect in LISTED:
            self.ready.append((following,))
            return True
        self._settle(following)
        return False

    def _settle(self, candidate: _Candidate) -> None:
        """Say what would become of an instance's inputs from one on that is not rejected."""
        series, uid = candidate.series, candidate.uids.instance
        judgement = series.judged[uid]
        self.published.add((candidate.uids.study, candidate.uids.series))
        digests = series.digests.get(uid, ("",))[-len(candidate.inputs) :]
        for place, digest in enumerate(digests):
            found = judgement
            if place:
                same = digest and digest == (judgement.digest or digests[0])
                found = replace(judgement, prospect=Prospect.DUPLICATE if same else Prospect.COMPARE)
            if found.prospect not in WRITTEN:
                self.journal.count(requests_of_instance(found, 0))
            if found.prospect is Prospect.COMPARE:
                inputs = candidate.inputs[place : place + 1]
                self.ready.append((_Candidate(series, candidate.uids, inputs, compared=True),))
            else:
                self.forecast.prospects[found.prospect] += 1
                self.progress.step()

    def _advance(self, series: SeriesState) -> None:
        """Make what tells of the series what is not known yet, or rehearse its lists if nothing is left to be."""
        wanted = self._wanted(series)
        series.waiting = len(wanted)
        for item in wanted:
            inputs = series.plan.instances[item.uids.instance]
            place = next(place for place, header in enumerate(inputs) if header.source == item.source)
            self.ready.append((_Candidate(series, item.uids, inputs[place:], frames=True),))
        if not wanted:
            self._close(series)

    def _wanted(self, series: SeriesState) -> list[Measured]:
        surveyed = series.in_order(series.surveyed)
        pool = series.pool()
        if series.sampled:
            chosen = [item for item in choose_instances(surveyed) if item.uids.instance not in series.samples]
            if chosen and not series.samples:
                return chosen
        unknown = [item for item in surveyed if item.frames and self._group(series, pool, item) is None]
        return list({item.kind: item for item in reversed(unknown)}.values())

    def _group(self, series: SeriesState, pool: Pool, item: Measured) -> Group | None:
        """The samples to judge an instance by: of its series, or of those before where it has none of its own."""
        return pool.find(item) or (None if series.sampled else self.pool.find(item))

    def _close(self, series: SeriesState) -> None:
        plan, store, pool = series.plan, self.roots.of(series.plan.study), series.pool()
        built = []
        for surveyed in series.in_order(series.surveyed):
            uid = surveyed.uids.instance
            item = series.samples.get(uid, surveyed)
            group = self._group(series, pool, item)
            if item.frames and group is not None:
                item = group.complete(item)
            inputs = plan.instances[uid]
            left = next(place for place, header in enumerate(inputs) if header.source == item.source)
            self._settle(_Candidate(series, item.uids, inputs[left:]))
            result = self._built(item, series.judged[uid])
            # Whoever lists an instance sees that it is there still.
            _as_rehearsal(store).provide(metadata_key(plan.study, plan.series, uid), dumps([]))
            if item.thumbnail and item.of_image.get(Kind.THUMBNAIL, Tally()).objects >= 0.5:
                _as_rehearsal(store).provide(thumbnail_key(plan.study, plan.series, uid), item.thumbnail)
            built.append(result)
        if series.sampled:
            self.samples[plan] = series.in_order(series.samples)
        listed = {item.uids.instance: PublishedInstance(item.metadata, item.rows) for item in built}
        self.lists.close_series(plan, listed, bool(series.listed))
        self.open[plan.study] -= 1
        if not self.open[plan.study]:
            _as_rehearsal(store).forget(f"studies/{plan.study}", f"studies/{plan.study}/metadata")

    def _built(self, item: Measured, judgement: Judgement) -> Built:
        """What the lists need of an instance; its objects are counted if they would be written."""
        objects = sum_tallies((item.own, item.of_frames, item.of_image))
        total = sum(objects.values(), Tally())
        digest = hashlib.sha256(item.uids.instance.encode()).hexdigest()  # stands for that of the file: as long
        holding = Holding(round(total.objects), round(total.size))
        record = Record(f"sha256:{digest}", describe_options(self.request.options), holding)
        metadata = with_record(item.metadata, record, item.notes)
        if judgement.prospect in WRITTEN:
            size = len(self.journal.encode(dumps([metadata])))
            add_tallies(self.forecast.objects, {**objects, Kind.METADATA: Tally(1, size)})
            self.forecast.frames += item.frames
            self.forecast.bytes_read += item.source.size
            self.journal.count(requests_of_instance(judgement, round(total.puts)))
        return Built(item.source, item.uids, Outcome.PUBLISHED, metadata, item.rows, item.frames)

    def finish(self, prices: Prices | None) -> Forecast:
        """Rehearse the list of studies and sum up."""
        self.lists.finish()
        if self.opener.parallel > 1:  # whoever writes a list of studies looks for word of other jobs
            looks = len(list(self.roots.grouped({study for study, _ in self.published})))
            self.journal.count(Requests(get=looks, list=looks))
        forecast = self.forecast
        add_tallies(forecast.objects, self.journal.tallies())
        forecast.requests, forecast.prices = self.journal.requests, prices
        forecast.series = len(self.published)
        forecast.studies = len({study for study, _ in self.published})
        return forecast


def _rejected(candidate: _Candidate, died: WorkerDied) -> Rejected:
    uids = candidate.uids
    return Rejected(str(candidate.inputs[0].source), str(died), uids.study, uids.series, uids.instance)


def _as_rehearsal(store: Store) -> RehearsalStore:
    assert isinstance(store, RehearsalStore)
    return store
