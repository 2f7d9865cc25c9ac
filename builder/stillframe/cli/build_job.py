"""What `stillframe build` does: its run, from its options to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from stillframe.archive.roots import find_roots
from stillframe.build import pipeline
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.earlier_report import take_over
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.shares import Share
from stillframe.cli.build_options import JobOptions
from stillframe.cli.build_summary import print_failure, print_inputs, print_summary
from stillframe.cli.dry_run import forecast_build, print_forecast
from stillframe.cli.report_file import RemoteReport, check_report, write_report
from stillframe.cli.shared_options import (
    PublicSide,
    StoreAccess,
    cores,
    open_store,
)
from stillframe.cli.streams import tell
from stillframe.cli.terminal import TerminalProgress, print_invalidation
from stillframe.errors import FailedJob, InputError, Refused, UsageError, machine_blamed
from stillframe.execute import WorkersElsewhere, end_processes, make_executor
from stillframe.layout import STUDIES, parse_key
from stillframe.options import BuildOptions
from stillframe.source.text_file import TextFile, check_manifests
from stillframe.stopping import STOPPED, Stopped, finish, stoppable
from stillframe.store.base import Store
from stillframe.store.s3_client import SCHEME, S3Settings, same_endpoint

# Where the store or the sources are far away, one process works while another waits for them.
_WORKERS_A_CORE: Final = 2
_NOT_ENDED: Final = "the job has not ended: it is under way, or it was killed"


def run_build(
    locations: tuple[str, ...],
    public: PublicSide,
    options: BuildOptions,
    job: JobOptions,
    secret: bytes,
    access: StoreAccess,
) -> int:
    """Do what the options of the command say, as it describes them; its exit code.

    Raises:
        UsageError: if they do not go together.
        StillframeError: if the job cannot begin. Where it ends early, the report has the reason.
    """
    *sources, destination = locations
    if not sources and not job.manifests:
        raise UsageError(f"DEST is missing: stillframe build {destination} DEST")
    apart = not same_endpoint(access.sources, access.destination)
    pipeline.check_destination(sources, destination, access.sources, apart=apart)
    manifests = tuple(TextFile(location, access.destination) for location in job.manifests)
    check_manifests(manifests)
    check_report(job.report_file, destination)
    if secret and not job.dry_run and job.report_file is None:
        raise UsageError("--unlisted needs --report FILE: nothing else names the roots of the studies")
    if job.scheduler:
        _check_scheduler(job)
    far = bool(manifests) or any(location.startswith(SCHEME) for location in locations)
    workers = cores() * (_WORKERS_A_CORE if far else 1) if job.workers is None else job.workers
    public_cache = job.cache == "public"
    store = open_store(
        destination, access.destination, public=public_cache, read_only=job.dry_run, durable=not job.no_sync
    )
    _check_kind(store, destination, unlisted=bool(secret))
    request = BuildRequest(
        sources=tuple(sources),
        options=replace(options, base_url=public.base_url),
        workers=max(1, workers),
        replace=job.replace,
        verify_stored=job.verify_stored,
        destination="" if destination.startswith(SCHEME) else destination,
        secret=secret,
        s3=access.sources,
        settle=job.settle,
        manifests=manifests,
        shard=job.shard,
        target="" if apart and destination.startswith(SCHEME) else destination,
    )
    announced = _announce(job, access.destination)
    make = partial(_join_cluster, job, request, store) if job.scheduler else partial(make_executor, workers)
    with stoppable():
        report, forecast = _run(job, request, store, make)
        report.take_over(announced)
        invalidation = None
        if forecast is None:
            roots = report.roots
            changed = ((roots.get(parse_key(key).study, ""), key) for key in report.changed)
            invalidation = public.tell(changed, destination, access.destination.profile)
        try:
            write_report(
                report.as_document(), job.report_file, access.destination, dryRun=forecast, invalidation=invalidation
            )
        finally:
            print_inputs(report, job.report_file)
            if not (report.failure or report.rejected or (forecast.inputs if forecast else report.outcomes)):
                where = ", ".join([*sources, *map(str, manifests)])
                tell(f"no DICOM found in {where}{f' for shard {job.shard}' if job.shard.part else ''}")
            if forecast is None:
                print_summary(report, destination)
            else:
                print_forecast(report, forecast, destination)
            if report.failure:
                print_failure(report, job.report_file)
            print_invalidation(invalidation, job.report_file, complete=not report.failure)
    return 1 if invalidation and invalidation.failure else report.exit_code


def _run(
    job: JobOptions, request: BuildRequest, store: Store, make: Callable[[], Executor]
) -> tuple[Report, Forecast | None]:
    """Do the job; of one that ends early, the report has what was known by then. It is not stopped any more then."""
    forecast = None
    with _job_running(make) as (executor, progress):
        report = Report(share=Share(job.shard), on_reject=progress.reject)
        try:
            if isinstance(executor, WorkersElsewhere):
                request = replace(request, workers=executor.workers, local_workers=cores())
            if job.dry_run:
                with machine_blamed():
                    report, forecast = forecast_build(request, store, executor, progress)
            else:
                pipeline.build(request, store, executor, progress, report)
        except (FailedJob, Stopped) as error:
            report.failure = report.failure or str(error) or STOPPED
        finish()
        if report.failure:
            end_processes(executor)  # what they wait for does not come
    return report, forecast


def _check_kind(store: Store, destination: str, *, unlisted: bool) -> None:
    """Refuse to mix listed and unlisted studies."""
    listed = store.head(STUDIES) is not None
    if unlisted and listed:
        raise UsageError(f"{destination} has a list of studies: an archive is listed or unlisted as a whole")
    if not unlisted and not listed and any(find_roots(store)):
        raise UsageError(f"{destination} holds unlisted studies: build with --unlisted, as before")


def _announce(job: JobOptions, s3: S3Settings) -> Report:
    """Write the report of a job that has not ended, where others look for it: they tell so if it is killed.

    It keeps what the report of an earlier attempt says of changes, if one stands there. A report in a bucket is tried
    in this way, too, before a long job rather than after it.
    """
    place = job.report_file
    report = Report(share=Share(job.shard), failure=_NOT_ENDED)
    if place is not None and not job.dry_run:
        _take_over(report, place, s3)
    if isinstance(place, RemoteReport) or (job.shard.part and place and (place.is_file() or not place.exists())):
        write_report(report.as_document(), place, s3)
    return report


def _take_over(report: Report, place: Path | RemoteReport, s3: S3Settings) -> None:
    """Take over what an earlier attempt wrote to the place of the report; say so if that cannot be read."""
    text = TextFile(str(place), s3)
    try:
        if isinstance(place, RemoteReport) or place.is_file():
            take_over(report, text.chunks() if text.exists() else ["{}"])
    except (InputError, Refused) as error:
        tell(f"what an earlier attempt changed is not in the new report: {place} cannot be used: {error}")


@contextmanager
def _job_running(make: Callable[[], Executor]) -> Iterator[tuple[Executor, TerminalProgress]]:
    """An executor and a progress bar for one job; an interrupt ends the processes at once."""
    executor = make()
    try:
        with closing(TerminalProgress()) as progress:
            yield executor, progress
    except KeyboardInterrupt:
        end_processes(executor)
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _check_scheduler(job: JobOptions) -> None:
    """Refuse a scheduler beside workers of this machine, or without Dask, before there is a folder for the tree."""
    from stillframe.cluster import check_dask

    if job.workers is not None:
        raise UsageError("--workers is for this machine, --scheduler for others: give one of them")
    check_dask()


def _join_cluster(job: JobOptions, request: BuildRequest, store: Store) -> Executor:
    """The workers of a cluster, which see what the job reads and where it writes."""
    from stillframe.build.shared_places import check_places, listed_paths
    from stillframe.cluster import ClusterExecutor

    target = None if job.dry_run else store
    sources = (*request.sources, *listed_paths(request.manifests))
    return ClusterExecutor(job.scheduler, partial(check_places, sources=sources, s3=request.s3, store=target))
