"""A build that writes nothing: inputs planned and decided on as in earnest, and a sample of them made.

Every input that would be published goes through a worker without its frames: what it is rejected for by then, how many
frames it has and which objects come of it is known. Of each series some instances are made, of long ones some frames.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import closing
from dataclasses import dataclass
from itertools import batched, groupby
from typing import Final

from builder.ahead import map_ahead
from builder.build import plan_build
from builder.errors import WorkerDied
from builder.estimate import Measured, MeasureTask, Pool, spread
from builder.forecast import Forecast
from builder.job import AHEAD, BuildRequest, Progress, run_tasks
from builder.list_sizes import Encode
from builder.model import JSONDataset, Rejected
from builder.plan import SeriesPlan
from builder.prices import Prices
from builder.report import Report
from builder.roots import Roots
from builder.store import Store
from builder.study_forecast import Job, StudyForecast, forecast_study
from builder.tasks import measure_instances

# Series of which instances are made, if a study has no more; others are judged by these.
_MOST_SERIES: Final = 256
# Studies under way at once where the store is far away, each with the metadata of all its instances.
_FAR_STUDIES: Final = 16
# Instances that one task looks at without frames.
_BATCH: Final = 8


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
    report = Report()
    started = time.monotonic()
    roots = Roots(destination.store, request.secret)
    plan = plan_build(request, roots, executor, progress, report)
    progress.stage("estimating", sum(len(inputs) for series in plan.series for inputs in series.instances.values()))
    with closing(_Measuring(executor, request.workers, progress)) as measuring:
        job = Job(
            request=request, roots=roots, encode=destination.encode, measure=measuring.measure, step=measuring.step
        )
        forecast = Forecast(prices=destination.prices)
        records: dict[str, JSONDataset | None] = {}
        studies = [tuple(plans) for _, plans in groupby(plan.series, lambda series: series.study)]
        for told in _forecast_studies(job, studies):
            for rejected in told.rejected:
                report.add(rejected)
            forecast += told.forecast
            records |= told.records
    for _, grouped in roots.grouped(records):
        lists = job.lists(grouped[0] if grouped else "")
        lists.count_studies({study: records[study] for study in grouped})
        forecast += Forecast(objects=lists.objects)
    report.seconds = time.monotonic() - started
    return report, forecast


class _Measuring:
    """Has tasks of several series done at once; called by a thread for each."""

    def __init__(self, executor: Executor, workers: int, progress: Progress) -> None:
        self._executor = executor
        self._window = workers * AHEAD
        self._progress = progress
        self._lock = threading.Lock()
        self._closed = False

    def step(self) -> None:
        """An input is done with."""
        with self._lock:
            self._progress.step()

    def close(self) -> None:
        """Begin no more tasks: nobody waits for them any more."""
        self._closed = True

    def measure(self, tasks: Sequence[MeasureTask]) -> Iterator[tuple[int, Measured | Rejected]]:
        """The place of each task with its result, as they finish. With frames each task is alone."""
        size = 1 if any(task.frames for task in tasks) else _BATCH
        batches = ((places, [tasks[place] for place in places]) for places in batched(range(len(tasks)), size))
        for places, future in run_tasks(self._executor, measure_instances, self._open(batches), self._window):
            yield from zip(places, self._results([tasks[place] for place in places], future), strict=True)

    def _open[T](self, batches: Iterable[T]) -> Iterator[T]:
        for batch in batches:
            if self._closed:
                raise CancelledError
            yield batch

    def _results(
        self, tasks: list[MeasureTask], future: Future[list[Measured | Rejected]]
    ) -> list[Measured | Rejected]:
        """A worker's results; if its process died, each task is tried by itself."""
        try:
            return future.result()
        except WorkerDied as error:
            if len(tasks) == 1:
                uids = tasks[0].uids
                return [Rejected(str(tasks[0].source), str(error), uids.study, uids.series, uids.instance)]
        alone = [(task, self._executor.submit(measure_instances, [task])) for task in tasks]
        return [result for task, done in alone for result in self._results([task], done)]


def _forecast_studies(job: Job, studies: Sequence[Sequence[SeriesPlan]]) -> Iterator[StudyForecast]:
    """What would become of every study: first those of which instances are made, then those judged by these."""
    threads = max(job.request.workers, min(job.roots.store.parallel, _FAR_STUDIES))
    pool = Pool()
    most = max(1, _MOST_SERIES * len(studies) // max(1, sum(map(len, studies))))
    chosen = frozenset(spread(len(studies), min(most, len(studies))))
    sampled = [plans for index, plans in enumerate(studies) if index in chosen]
    for told in map_ahead(lambda plans: forecast_study(job, plans, None), sampled, threads, lambda _: True):
        for sample in told.samples:
            pool.add(sample)
        yield told
    others = [plans for index, plans in enumerate(studies) if index not in chosen]
    yield from map_ahead(lambda plans: forecast_study(job, plans, pool), others, threads, lambda _: True)
