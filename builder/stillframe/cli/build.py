"""`stillframe build`: what it takes, and what it says at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stillframe.archive.roots import find_roots
from stillframe.build.results import Outcome
from stillframe.cli.options import (
    FiniteRange,
    PublicSide,
    StoreAccess,
    access_options,
    check_report,
    choice_option,
    open_store,
    option_group,
    public_options,
    report_option,
    unlisted_options,
    write_report,
)
from stillframe.cli.terminal import (
    TerminalProgress,
    megabytes,
    plural,
    print_invalidation,
    print_some,
    visible,
)
from stillframe.errors import UsageError
from stillframe.layout import STUDIES, parse_key
from stillframe.options import MAX_FRAME_BYTES, BuildOptions, Lossy, Part10, Rendered
from stillframe.store.base import Store
from stillframe.store.s3_client import SCHEME, same_endpoint

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from stillframe.build.dryrun.forecast import Forecast
    from stillframe.build.report import Report
    from stillframe.build.request import BuildRequest
    from stillframe.progress import Progress
    from stillframe.store.base import Store

# Where the store or the sources are far away a process waits for it now and then, and another one works.
_WORKERS_A_CORE: Final = 2


def _levels(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Comma-separated decode levels, ascending and each once; none for an empty text."""
    try:
        levels = tuple(sorted({int(part) for part in value.split(",") if part.strip()}))
    except ValueError as error:
        raise click.BadParameter("expected decode levels such as 1,2,3") from error
    if levels and not 1 <= levels[0] <= levels[-1] <= 32:
        raise click.BadParameter("a decode level is a number of halvings from 1 to 32")
    return levels


_shape_options: Final = option_group(
    "options",
    BuildOptions,
    click.option(
        "--reduced",
        default="2",
        callback=_levels,
        metavar="LEVELS",
        show_default=True,
        help='Decode levels (halvings) written as separate small objects, such as 1,2; "" for none.',
    ),
    choice_option(
        "--lossy",
        Lossy,
        Lossy.KEEP,
        "Frames compressed with loss: keep their bytes, or transcode what they decode to.",
    ),
    choice_option(
        "--part10",
        Part10,
        Part10.AUTO,
        "Publish whole original objects: of instances without frames and others fetched whole, always, never.",
    ),
    choice_option(
        "--rendered",
        Rendered,
        Rendered.ALWAYS,
        "Publish under rendered: documents, videos and images as JPEG; only documents and videos; nothing.",
    ),
    click.option(
        "--thumbnails/--no-thumbnails",
        default=True,
        show_default=True,
        help="Publish thumbnails of instances, series and studies.",
    ),
    click.option(
        "--max-frame-size",
        "max_frame_bytes",
        type=click.IntRange(1),
        callback=lambda _context, _parameter, value: value << 20,
        default=MAX_FRAME_BYTES >> 20,
        metavar="MB",
        show_default=True,
        help="Reject images whose decoded frames are larger than so many MiB.",
    ),
    click.option(
        "--max-unpacked",
        type=FiniteRange(0, min_open=True),
        callback=lambda _context, _parameter, value: int(value * 1e9),
        default=8.0,
        show_default=True,
        metavar="GB",
        help="Most that one archive member or deflated data set may unpack to.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How the job runs. `workers` is None where their number follows from the machine and the stores."""

    workers: int | None
    replace: bool
    dry_run: bool
    report_file: Path | None
    cache: str


_job_options: Final = option_group(
    "job",
    JobOptions,
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=None,
        metavar="N",
        help="Worker processes; 0 works in this process.  [default: one a core, two with s3://]",
    ),
    click.option(
        "--replace",
        is_flag=True,
        help="An input with the SOP Instance UID of a published instance, but other content, replaces it.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Write nothing: tell what would be published, how many objects and bytes, and what that costs.",
    ),
    report_option,
    click.option(
        "--cache",
        type=click.Choice(["public", "private"]),
        default="public",
        show_default=True,
        help="Whether caches shared by several people may keep what never changes (Cache-Control in object stores).",
    ),
)


@click.command(short_help="Publish DICOM files, folders and .zip archives, from disk or S3.")
@click.argument("places", metavar="SOURCE... DEST", nargs=-1, required=True)
@public_options("Public URL of the service root; RetrieveURLs are relative without it.")
@_shape_options
@_job_options
@unlisted_options
@access_options
def build(
    places: tuple[str, ...],
    public: PublicSide,
    options: BuildOptions,
    job: JobOptions,
    secret: bytes,
    access: StoreAccess,
) -> int:
    """Publish the DICOM below SOURCE into DEST, a folder or s3://bucket/prefix.

    A SOURCE is a file, a folder, a .zip archive, or s3://bucket/prefix: an object, or all below a prefix.

    What DEST already holds stays; unchanged inputs are skipped. Exit code 0: all published or unchanged. 2: finished,
    some inputs were rejected, each listed with its reason. 1: could not finish.
    """
    from stillframe.build.request import BuildRequest
    from stillframe.cli.dry_run import forecast as run_dry
    from stillframe.execute import end_processes

    *sources, destination = places
    if not sources:
        raise UsageError(f"DEST is missing: stillframe build {destination} DEST")
    _check_places(sources, destination, access)
    check_report(job.report_file, destination)
    if secret and not job.dry_run and job.report_file is None:
        raise UsageError("--unlisted needs --report FILE: nothing else names the roots of the studies")
    far = any(place.startswith(SCHEME) for place in places)
    workers = _cores() * (_WORKERS_A_CORE if far else 1) if job.workers is None else job.workers
    store = open_store(destination, access.destination, public=job.cache == "public", read_only=job.dry_run)
    _check_kind(store, destination, unlisted=bool(secret))
    request = BuildRequest(
        sources=tuple(sources),
        options=replace(options, base_url=public.base_url),
        workers=max(1, workers),
        replace=job.replace,
        destination="" if destination.startswith(SCHEME) else destination,
        secret=secret,
        s3=access.sources,
    )
    with job_running(workers) as (executor, progress):
        report, forecast = (run_dry if job.dry_run else _run_build)(request, store, executor, progress)
        if report.failure:
            end_processes(executor)  # what they wait for does not come
    invalidation = None
    if not job.dry_run:
        changed = ((report.roots.get(parse_key(key).study, ""), key) for key in report.changed)
        invalidation = public.tell(changed, destination, access.destination.profile)
    _print_inputs(report, job.report_file)
    if not (report.rejected or (forecast.inputs if forecast else report.outcomes)):
        click.echo(f"no DICOM found in {visible(', '.join(sources))}", err=True)
    _print_result(report, forecast, destination)
    if report.failure:
        _print_failure(report, job.report_file)
    print_invalidation(invalidation, job.report_file, complete=not report.failure)
    write_report(report.as_json(), job.report_file, dryRun=forecast, invalidation=invalidation)
    return 1 if invalidation and invalidation.failure else report.exit_code


def _check_places(sources: list[str], destination: str, access: StoreAccess) -> None:
    from stillframe.build.pipeline import check_destination

    apart = not same_endpoint(access.sources, access.destination)
    check_destination(sources, destination, access.sources, apart=apart)


def _check_kind(store: Store, destination: str, *, unlisted: bool) -> None:
    """Refuse to mix listed and unlisted studies.

    Raises:
        UsageError: if the archive is of the other kind.
    """
    listed = store.head(STUDIES) is not None
    if unlisted and listed:
        raise UsageError(f"{destination} has a list of studies: an archive is listed or unlisted as a whole")
    if not unlisted and not listed and any(find_roots(store)):
        raise UsageError(f"{destination} holds unlisted studies: build with --unlisted, as before")


@contextmanager
def job_running(workers: int) -> Iterator[tuple[Executor, TerminalProgress]]:
    """An executor and a progress bar for one job; an interrupt ends the processes at once."""
    from stillframe.execute import end_processes, make_executor

    progress = TerminalProgress(sys.stderr)
    executor = make_executor(workers)
    try:
        yield executor, progress
    except KeyboardInterrupt:
        end_processes(executor)
        raise
    finally:
        progress.close()
        executor.shutdown(cancel_futures=True)


def _run_build(request: BuildRequest, store: Store, executor: Executor, progress: Progress) -> tuple[Report, None]:
    """A build in earnest, which has no forecast."""
    from stillframe.build.pipeline import build as run_build

    return run_build(request, store, executor, progress), None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_inputs(report: Report, report_file: Path | None) -> None:
    """Every input that a person should look at, on stderr."""
    for item in sorted(report.rejected, key=lambda item: item.path):
        uids = "  ".join(uid for uid in (item.study, item.series, item.instance) if uid)
        click.echo(
            f"rejected   {visible(item.path)}: {visible(item.reason)}{f'  [{visible(uids)}]' if uids else ''}",
            err=True,
        )
    print_some("duplicate", [(str(item.source), "; ".join(item.notes)) for item in report.duplicates], report_file)
    print_some("note", [(str(item.source), "; ".join(item.notes)) for item in report.noted], report_file)
    print_some("not read", [(item.path, item.reason) for item in report.skipped if item.noteworthy], report_file)


def _print_result(report: Report, forecast: Forecast | None, destination: str) -> None:
    from stillframe.cli.dry_run import print_forecast

    if forecast is None:
        _print_summary(report, destination)
    else:
        print_forecast(report, forecast, destination)


def _print_summary(report: Report, destination: str) -> None:
    counts = report.outcomes
    parts = [f"{counts[Outcome.PUBLISHED]} published"]
    parts += [f"{counts[kind]} {kind}" for kind in Outcome if counts[kind] and kind is not Outcome.PUBLISHED]
    parts += [f"{len(report.rejected)} rejected"] if report.rejected else []
    if report.skipped:
        parts.append(f"{plural(len(report.skipped), 'other file')} passed over")
    click.echo(f"{visible(destination)}: {', '.join(parts)}")
    studies = f"{plural(len(report.studies), 'study', 'studies')}, {len(report.series)} series"
    made = f"{plural(report.frames, 'frame')}, " if report.frames else ""
    size = f"{megabytes(report.bytes_read)} in, {megabytes(report.bytes_written)} out, " if report.bytes_read else ""
    rate = f", {report.frames / report.seconds:.0f} frames/s" if report.frames and report.seconds else ""
    click.echo(f"{studies}, {made}{size}{report.seconds:.1f} s{rate}")


def _print_failure(report: Report, report_file: Path | None) -> None:
    """Why the job ended early, and where that leaves the archive."""
    left = report.unfinished
    print_some("not published", [(path, "") for path in left.missing], report_file)
    done = report.outcomes.total() - len(left.unlisted)
    click.echo(f"stillframe: {visible(report.failure)}", err=True)
    click.echo(
        f"stopped: {done} published and listed, {len(left.unlisted)} published but not listed yet, "
        f"{len(left.missing)} not published; the list of all studies may lack new ones; build again to go on from here",
        err=True,
    )
