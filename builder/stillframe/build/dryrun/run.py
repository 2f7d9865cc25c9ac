"""A build that writes nothing: inputs planned and decided on as in earnest, and a sample of them made.

Every input that would be published goes through a worker without its frames. That tells what it is rejected for by
then, how many frames it has and which objects come of it. Of each series some instances are made, of long ones some
frames.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from stillframe.archive.roots import Roots
from stillframe.build.dryrun.estimate import Pool, add_sample, spread
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.dryrun.job import Job
from stillframe.build.dryrun.list_sizes import Encode
from stillframe.build.dryrun.prices import Prices
from stillframe.build.dryrun.study import StudyForecast, StudyRun
from stillframe.build.pipeline import plan_build
from stillframe.build.plan import SeriesPlan
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.dicom.json_model import JSONDataset
from stillframe.parallel import map_ahead
from stillframe.progress import Progress
from stillframe.store.base import Store

# Series of which instances are made, if a study has no more; others are judged by these.
_MOST_SERIES: Final = 256
# Studies under way at once where the store is far away, each with the metadata of all its instances.
_FAR_STUDIES: Final = 16


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
    with closing(Job(request, roots, destination.encode, executor, progress)) as job:
        forecast = Forecast(prices=destination.prices)
        records: dict[str, JSONDataset | None] = {}
        studies = [tuple(plans) for _, plans in groupby(plan.series, lambda series: series.study)]
        for study in _forecast_studies(job, studies):
            for rejected in study.rejected:
                report.add(rejected)
            forecast += study.forecast
            records |= study.records
    for _, grouped in roots.grouped(records):
        lists = job.lists(grouped[0] if grouped else "")
        lists.count_studies({study: records[study] for study in grouped})
        forecast += Forecast(objects=lists.objects)
    report.seconds = time.monotonic() - started
    return report, forecast


def _forecast_studies(job: Job, studies: Sequence[Sequence[SeriesPlan]]) -> Iterator[StudyForecast]:
    """What would become of every study: first those of which instances are made, then those judged by these."""
    threads = max(job.request.workers, min(job.roots.store.parallel, _FAR_STUDIES))
    pool: Pool = {}
    most = max(1, _MOST_SERIES * len(studies) // max(1, sum(map(len, studies))))
    chosen = frozenset(spread(len(studies), min(most, len(studies))))
    sampled = [plans for index, plans in enumerate(studies) if index in chosen]
    for study in map_ahead(lambda plans: StudyRun(job, plans, {}).run(), sampled, threads):
        for sample in study.samples:
            add_sample(pool, sample)
        yield study
    others = [plans for index, plans in enumerate(studies) if index not in chosen]
    yield from map_ahead(lambda plans: StudyRun(job, plans, pool).run(), others, threads)
