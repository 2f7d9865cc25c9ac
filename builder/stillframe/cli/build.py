"""`stillframe build`: its options, its run, and what it prints at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from stillframe.archive.roots import find_roots
from stillframe.build.report import Report
from stillframe.build.results import Outcome
from stillframe.build.shard import WHOLE, Shard, parse_shard
from stillframe.build.shares import Share
from stillframe.cli.rejections import print_reasons, print_rejected
from stillframe.cli.report_file import (
    RemoteReport,
    ReportFile,
    check_report,
    named_for_shard,
    report_option,
    write_report,
)
from stillframe.cli.shared_options import (
    FiniteRange,
    PublicSide,
    StoreAccess,
    access_options,
    choice_option,
    cores,
    open_store,
    option_group,
    public_options,
    unlisted_options,
)
from stillframe.cli.streams import say, tell
from stillframe.cli.terminal import TerminalProgress, megabytes, plural, print_invalidation, print_some
from stillframe.errors import FailedJob, InputError, Refused, UsageError, machine_blamed
from stillframe.layout import STUDIES, parse_key
from stillframe.options import (
    MAX_DECODER_MEMORY,
    MAX_DECODER_SECONDS,
    MAX_FRAME_BYTES,
    BuildOptions,
    Lossy,
    Part10,
    Rendered,
    Thumbnails,
)
from stillframe.source.text_file import TextFile, check_manifests
from stillframe.stopping import STOPPED, Stopped, finish, stoppable
from stillframe.store.base import Store
from stillframe.store.s3_client import SCHEME, S3Settings, same_endpoint

if TYPE_CHECKING:
    from stillframe.build.dryrun.forecast import Forecast
    from stillframe.build.request import BuildRequest

# Where the store or the sources are far away, one process works while another waits for them.
_WORKERS_A_CORE: Final = 2
_NOT_ENDED: Final = "the job has not ended: it is under way, or it was killed"


def _levels(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Comma-separated decode levels, ascending and each once; none for an empty text."""
    try:
        levels = tuple(sorted({int(part) for part in value.split(",") if part.strip()}))
    except ValueError as error:
        raise click.BadParameter("expected decode levels such as 1,2,3") from error
    if levels and not 1 <= levels[0] <= levels[-1] <= 32:
        raise click.BadParameter("a decode level is a number of halvings from 1 to 32")
    return levels


def _make_options(*, no_thumbnails: bool, thumbnails: Thumbnails, **options: Any) -> BuildOptions:
    if no_thumbnails:
        if _was_given("thumbnails") and thumbnails is not Thumbnails.NONE:
            raise click.UsageError(f"--no-thumbnails is --thumbnails none, and --thumbnails {thumbnails} is given, too")
        tell("--no-thumbnails is deprecated: give --thumbnails none")
        thumbnails = Thumbnails.NONE
    return BuildOptions(thumbnails=thumbnails, **options)


def _was_given(parameter: str) -> bool:
    """Whether an option stands on the command line."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


_shape_options: Final = option_group(
    "options",
    _make_options,
    click.option(
        "--reduced",
        default="2",
        callback=_levels,
        metavar="LEVELS",
        show_default=True,
        help='Decode levels (halvings) to write as separate small objects, such as 1,2; "" for none.',
    ),
    choice_option(
        "--lossy",
        Lossy,
        Lossy.AUTO,
        "Of frames that were compressed with loss: keep the bytes, but transcode JPEG XL, which viewers do not decode, "
        "or give back the JPEG images that it was made of; keep the bytes of all; transcode all.",
    ),
    choice_option(
        "--part10",
        Part10,
        Part10.AUTO,
        "Publish whole original objects: of instances that viewers fetch whole (such as those without frames), "
        "always, or never.",
    ),
    choice_option(
        "--rendered",
        Rendered,
        Rendered.DOCUMENTS,
        "Publish rendered objects: documents and videos; images as JPEG, too; none.",
    ),
    choice_option(
        "--thumbnails",
        Thumbnails,
        Thumbnails.SERIES,
        "Publish thumbnails of series, of studies, and of the instances that viewers ask for by themselves; of all "
        "instances, too; none.",
    ),
    click.option("--no-thumbnails", is_flag=True, help="Deprecated: as --thumbnails none."),
    click.option(
        "--assign-uids",
        is_flag=True,
        help="Publish inputs with values that are not valid UIDs (letters, too long; a missing SOP Instance UID) "
        "under UIDs that follow from what is there, instead of rejecting them.",
    ),
    click.option(
        "--keep-damaged",
        is_flag=True,
        help="Publish images of several frames although some of these are damaged: these are zeros (kept lossy frames "
        "keep their bytes), and the report names them. Other images are built again.",
    ),
    click.option(
        "--max-frame-size",
        "max_frame_bytes",
        type=click.IntRange(1),
        callback=lambda _context, _parameter, value: value << 20,
        default=MAX_FRAME_BYTES >> 20,
        metavar="MB",
        show_default=True,
        help="Reject images whose decoded frames are larger than this number of MiB.",
    ),
    click.option(
        "--max-unpacked",
        type=FiniteRange(0, 1_000_000_000, min_open=True),
        callback=lambda _context, _parameter, value: int(value * 1e9),
        default=8.0,
        show_default=True,
        metavar="GB",
        help="Reject an archive member or a deflated data set that unpacks to more than this number of GB, and an "
        "instance whose objects come to more than this and to more than ten times its data set.",
    ),
    click.option(
        "--max-decoder-memory",
        type=click.IntRange(1, 1 << 24),
        callback=lambda _context, _parameter, value: value << 20,
        default=MAX_DECODER_MEMORY >> 20,
        metavar="MB",
        show_default=True,
        help="Reject images with a frame whose decoder needs more than this number of MiB, and 32 bytes a sample and "
        "four times the size of the compressed frame. With --workers 0 there is no such limit.",
    ),
    click.option(
        "--max-decoder-seconds",
        type=FiniteRange(0, 1e6, min_open=True),
        default=MAX_DECODER_SECONDS,
        metavar="S",
        show_default=True,
        help="Reject images with a frame whose decoder needs more than this number of seconds of processor time, and "
        "one for each million samples. With --workers 0 there is no such limit.",
    ),
)


def _parse_shard(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Shard:
    return WHOLE if value is None else parse_shard(value, os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How the job runs. If `workers` is None, their number follows from the machine and the stores.

    With the address of a `scheduler` they are those of a Dask cluster.

    `manifests` name further sources; `shard` is the part of the job that is done.
    """

    manifests: tuple[str, ...]
    shard: Shard
    workers: int | None
    scheduler: str
    replace: bool
    verify_stored: bool
    no_sync: bool
    dry_run: bool
    report_file: ReportFile
    cache: str
    settle: float


def _make_job(*, report_file: ReportFile, shard: Shard, **options: Any) -> JobOptions:
    return JobOptions(report_file=named_for_shard(report_file, shard.number), shard=shard, **options)


_job_options: Final = option_group(
    "job",
    _make_job,
    click.option(
        "--from",
        "manifests",
        multiple=True,
        metavar="MANIFEST",
        help="Read more sources from the lines of this file or s3:// object (reached as DEST is), or of standard input "
        "(-): a source each, commands of s5cmd, or a table with a column series_aws_url. May be given several times.",
    ),
    click.option(
        "--shard",
        default=None,
        callback=_parse_shard,
        metavar="I/N|auto",
        help="Do the I-th of N parts of the job, which is split by studies. auto takes I and N from an array job of "
        "AWS Batch or Slurm, or from an Indexed Job of Kubernetes. {shard} in the name of the report becomes I.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=None,
        metavar="N",
        help="Number of worker processes; 0 works in this process, decoders included, which have no limits and no "
        "sandbox then.  [default: one a core, two with s3://]",
    ),
    click.option(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="Address of a Dask scheduler whose workers do the work, such as tcp://10.0.0.1:8786. They must have the "
        "same versions as this machine, and share SOURCE and DEST. Needs the extra dask of this package.",
    ),
    click.option(
        "--replace",
        is_flag=True,
        help="Replace a published instance where an input has its SOP Instance UID but other content.",
    ),
    click.option(
        "--verify-stored",
        is_flag=True,
        help="Read what DEST holds already of SOURCE, and build anew what is damaged there, even at its right size.",
    ),
    click.option(
        "--no-sync",
        is_flag=True,
        help="Do not wait until the disk has what was written into a folder. A power cut may then lose some of it.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Write nothing. Say what a build would publish, how many objects and bytes, and what that costs.",
    ),
    report_option,
    click.option(
        "--cache",
        type=click.Choice(["public", "private"]),
        default="public",
        show_default=True,
        help="Whether caches that people share may keep objects that never change (Cache-Control in object stores).",
    ),
    click.option(
        "--settle",
        type=FiniteRange(0, 3600),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        help="Wait once, at most this long, where files were written less than this long ago: they may be incomplete.",
    ),
)


@click.command(short_help="Publish DICOM files, folders and .zip archives, from disk or S3.")
@click.argument("locations", metavar="[SOURCE]... DEST", nargs=-1, required=True)
@public_options("Public URL of the service root. Without it, RetrieveURLs are relative.")
@_shape_options
@_job_options
@unlisted_options
@access_options
def build(
    locations: tuple[str, ...],
    public: PublicSide,
    options: BuildOptions,
    job: JobOptions,
    secret: bytes,
    access: StoreAccess,
) -> int:
    """Publish the DICOM below SOURCE into DEST, a folder or s3://bucket/prefix.

    A SOURCE is a file, a folder, a .zip archive, or s3://bucket/prefix: an object, or all below a prefix. Manifests
    (--from) name more of them.

    What DEST already holds stays, and unchanged inputs are skipped. The exit code is 0 if all inputs are published or
    unchanged, 2 if some were rejected (the report lists each with its reason), and 1 if it could not finish.
    """
    from stillframe.build.pipeline import check_destination
    from stillframe.build.request import BuildRequest
    from stillframe.cli.dry_run import print_forecast
    from stillframe.execute import make_executor

    *sources, destination = locations
    if not sources and not job.manifests:
        raise UsageError(f"DEST is missing: stillframe build {destination} DEST")
    apart = not same_endpoint(access.sources, access.destination)
    check_destination(sources, destination, access.sources, apart=apart)
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
            _print_inputs(report, job.report_file)
            if not (report.failure or report.rejected or (forecast.inputs if forecast else report.outcomes)):
                where = ", ".join([*sources, *map(str, manifests)])
                tell(f"no DICOM found in {where}{f' for shard {job.shard}' if job.shard.part else ''}")
            if forecast is None:
                _print_summary(report, destination)
            else:
                print_forecast(report, forecast, destination)
            if report.failure:
                _print_failure(report, job.report_file)
            print_invalidation(invalidation, job.report_file, complete=not report.failure)
    return 1 if invalidation and invalidation.failure else report.exit_code


def _run(
    job: JobOptions, request: BuildRequest, store: Store, make: Callable[[], Executor]
) -> tuple[Report, Forecast | None]:
    """Do the job; of one that ends early, the report has what was known by then. It is not stopped any more then."""
    from stillframe.build.pipeline import build as run_build
    from stillframe.cli.dry_run import forecast_build
    from stillframe.execute import WorkersElsewhere, end_processes

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
                run_build(request, store, executor, progress, report)
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
    from stillframe.build.earlier_report import take_over

    text = TextFile(str(place), s3)
    try:
        if isinstance(place, RemoteReport) or place.is_file():
            take_over(report, text.chunks() if text.exists() else ["{}"])
    except (InputError, Refused) as error:
        tell(f"what an earlier attempt changed is not in the new report: {place} cannot be used: {error}")


@contextmanager
def _job_running(make: Callable[[], Executor]) -> Iterator[tuple[Executor, TerminalProgress]]:
    """An executor and a progress bar for one job; an interrupt ends the processes at once."""
    from stillframe.execute import end_processes

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


def _print_inputs(report: Report, report_file: ReportFile) -> None:
    """Print every input that a person should look at, on stderr; why many are rejected comes last, to stay in sight."""
    print_rejected(report, report_file)
    for label, results in (("duplicate", report.duplicates), ("note", report.noted)):
        print_some(label, ((noted.source, "; ".join(noted.notes)) for noted in results), report_file)
    print_some("not read", ((file.path, file.reason) for file in report.skipped if file.noteworthy), report_file)
    print_reasons(report)


def _print_summary(report: Report, destination: str) -> None:
    counts = report.outcomes
    parts = [f"{counts[Outcome.PUBLISHED]} published"]
    parts += [f"{counts[kind]} {kind}" for kind in Outcome if counts[kind] and kind is not Outcome.PUBLISHED]
    parts += [f"{len(report.rejected)} rejected"] if report.rejected else []
    if report.skipped:
        parts.append(f"{plural(len(report.skipped), 'other file')} passed over")
    say(f"{destination}: {', '.join(parts)}")
    studies = f"{plural(len(report.studies), 'study', 'studies')}, {len(report.series)} series"
    made = f"{plural(report.frames, 'frame')}, " if report.frames else ""
    size = f"{megabytes(report.bytes_read)} in, {megabytes(report.bytes_written)} out, " if report.bytes_read else ""
    rate = f", {report.frames / report.seconds:.0f} frames/s" if report.frames and report.seconds else ""
    say(f"{studies}, {made}{size}{report.seconds:.1f} s{rate}")


def _print_failure(report: Report, report_file: ReportFile) -> None:
    """Print why the job ended early, and where that leaves the archive."""
    left = report.unfinished
    print_some("not published", ((path, "") for path in left.missing), report_file)
    done = report.outcomes.total() - len(left.unlisted)
    tell(f"stillframe: {report.failure}")
    if not (done or left.unlisted or left.missing):
        return  # before anything was published
    tell(
        f"stopped: {done} published and listed, {len(left.unlisted)} published but not listed yet, "
        f"{len(left.missing)} not published; the list of all studies may lack new ones; build again to go on from here"
    )
