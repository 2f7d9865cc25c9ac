"""`stillframe build`: what it takes, and what it says at the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from builder.cli_options import (
    FiniteRange,
    check_base_url,
    check_report,
    invalidate_option,
    open_store,
    source_options,
    store_options,
    tell_cdn,
    unlisted_options,
    write_report,
)
from builder.errors import UsageError
from builder.layout import STUDIES, parse_key
from builder.model import MAX_FRAME_BYTES, BuildOptions, Lossy, Outcome, Part10, Rendered
from builder.roots import find_roots
from builder.s3_client import SCHEME, S3Settings, same_endpoint
from builder.terminal import (
    TerminalProgress,
    megabytes,
    plural,
    print_invalidation,
    print_some,
    visible,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from builder.forecast import Forecast
    from builder.job import BuildRequest, Progress
    from builder.report import Report
    from builder.store import Store

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


@click.command(short_help="Publish DICOM files, folders and .zip archives, from disk or S3.")
@click.argument("places", metavar="SOURCE... DEST", nargs=-1, required=True)
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Public URL of the service root; RetrieveURLs are relative without it.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="Worker processes; 0 works in this process.  [default: one a core, two with s3://]",
)
@click.option(
    "--reduced",
    default="2",
    callback=_levels,
    metavar="LEVELS",
    show_default=True,
    help='Decode levels (halvings) written as separate small objects, such as 1,2; "" for none.',
)
@click.option(
    "--lossy",
    type=click.Choice([str(choice) for choice in Lossy]),
    default=str(Lossy.KEEP),
    show_default=True,
    help="Frames compressed with loss: keep their bytes, or transcode what they decode to.",
)
@click.option(
    "--part10",
    type=click.Choice([str(choice) for choice in Part10]),
    default=str(Part10.AUTO),
    show_default=True,
    help="Publish whole original objects: of instances without frames and others fetched whole, always, never.",
)
@click.option(
    "--rendered",
    type=click.Choice([str(choice) for choice in Rendered]),
    default=str(Rendered.ALWAYS),
    show_default=True,
    help="Publish under rendered: documents, videos and images as JPEG; only documents and videos; nothing.",
)
@click.option(
    "--thumbnails/--no-thumbnails",
    default=True,
    show_default=True,
    help="Publish thumbnails of instances, series and studies.",
)
@click.option(
    "--max-frame-size",
    type=click.IntRange(1),
    default=MAX_FRAME_BYTES >> 20,
    metavar="MB",
    show_default=True,
    help="Reject images whose decoded frames are larger than so many MiB.",
)
@click.option(
    "--max-unpacked",
    type=FiniteRange(0, min_open=True),
    default=8.0,
    show_default=True,
    metavar="GB",
    help="Most that one archive member or deflated data set may unpack to.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="An input with the SOP Instance UID of a published instance, but other content, replaces it.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: tell what would be published, how many objects and bytes, and what that costs.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False),
    default=None,
    metavar="FILE",
    help="Write the full report as JSON.",
)
@click.option(
    "--cache",
    type=click.Choice(["public", "private"]),
    default="public",
    show_default=True,
    help="Whether caches shared by several people may keep what never changes (Cache-Control in object stores).",
)
@invalidate_option
@unlisted_options
@store_options
@source_options
def build(
    places: tuple[str, ...], base_url: str, workers: int | None, reduced: tuple[int, ...], lossy: str, part10: str,
    rendered: str, thumbnails: bool, max_frame_size: int, max_unpacked: float, replace: bool, dry_run: bool,
    report_file: str | None, cache: str, distribution: str, secret: bytes, s3: S3Settings,
    source_s3: S3Settings,
) -> int:  # fmt: skip
    """Publish the DICOM below SOURCE into DEST, a folder or s3://bucket/prefix.

    A SOURCE is a file, a folder, a .zip archive, or s3://bucket/prefix: an object, or all below a prefix.

    What DEST already holds stays; unchanged inputs are skipped. Exit code 0: all published or unchanged. 2: finished,
    some inputs were rejected, each listed with its reason. 1: could not finish.
    """
    from builder.build import check_destination
    from builder.cli_forecast import forecast as run_dry
    from builder.execute import end_processes, make_executor
    from builder.job import BuildRequest

    *sources, destination = places
    if not sources:
        raise UsageError(f"DEST is missing: stillframe build {destination} DEST")
    check_base_url(base_url)
    check_destination(sources, destination, source_s3, apart=not same_endpoint(source_s3, s3))
    report_path = Path(report_file) if report_file is not None else None
    if report_path is not None:
        check_report(report_path, destination)
    elif secret and not dry_run:
        raise UsageError("--unlisted needs --report FILE: nothing else names the roots of the studies")
    remote = destination.startswith(SCHEME)
    far = any(place.startswith(SCHEME) for place in places)
    count = _cores() * (_WORKERS_A_CORE if far else 1) if workers is None else workers
    options = BuildOptions(
        reduced, Lossy(lossy), Part10(part10), Rendered(rendered), thumbnails, base_url,
        max_frame_bytes=max_frame_size << 20, max_unpacked=int(max_unpacked * 1e9),
    )  # fmt: skip
    store = open_store(destination, s3, public=cache == "public", read_only=dry_run)
    if secret and store.head(STUDIES) is not None:
        raise UsageError(f"{destination} has a list of studies: an archive is listed or unlisted as a whole")
    if not secret and any(find_roots(store)) and store.head(STUDIES) is None:
        raise UsageError(f"{destination} holds unlisted studies: build with --unlisted, as before")
    progress = TerminalProgress(sys.stderr)
    executor = make_executor(count)
    try:
        request = BuildRequest(
            tuple(sources), options, max(1, count), replace, "" if remote else destination, secret, source_s3
        )
        run = run_dry if dry_run else _run_build
        report, forecast = run(request, store, executor, progress)
        if report.failure:
            end_processes(executor)  # what they wait for does not come
    except KeyboardInterrupt:
        end_processes(executor)
        raise
    finally:
        progress.close()
        executor.shutdown(cancel_futures=True)
    if distribution and not dry_run:
        changed = ((report.roots.get(parse_key(key).study, ""), key) for key in report.changed)
        report.invalidation = tell_cdn(distribution, changed, destination, base_url, s3)
    _print_inputs(report, report_file)
    if not (report.rejected or (forecast.inputs if forecast else report.outcomes)):
        click.echo(f"no DICOM found in {visible(', '.join(sources))}", err=True)
    _print_result(report, forecast, destination)
    if report.failure:
        _print_failure(report, report_file)
    print_invalidation(report.invalidation, report_file, complete=not report.failure)
    if report_path is not None:
        write_report(report.as_json() | ({"dryRun": forecast.as_json()} if forecast else {}), report_path)
    return report.exit_code


def _run_build(request: BuildRequest, store: Store, executor: Executor, progress: Progress) -> tuple[Report, None]:
    """A build in earnest, which has no forecast."""
    from builder.build import build as run_build

    return run_build(request, store, executor, progress), None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_inputs(report: Report, report_file: str | None) -> None:
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
    from builder.cli_forecast import print_forecast

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


def _print_failure(report: Report, report_file: str | None) -> None:
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
