"""The options of `stillframe build`: what shapes an archive, and how the job runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import click
from click.core import ParameterSource

from stillframe.build.shard import WHOLE, Shard, parse_shard
from stillframe.cli.report_file import ReportFile, named_for_shard, report_option
from stillframe.cli.shared_options import FiniteRange, choice_option, option_group
from stillframe.cli.streams import tell
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


shape_options: Final = option_group(
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
        help="Reject an archive member or a deflated data set that unpacks to more than this number of GB. Reject "
        "an instance whose objects come to more than that, if it is also more than ten times its data set.",
    ),
    click.option(
        "--max-decoder-memory",
        type=click.IntRange(1, 1 << 24),
        callback=lambda _context, _parameter, value: value << 20,
        default=MAX_DECODER_MEMORY >> 20,
        metavar="MB",
        show_default=True,
        help="Reject images with a frame whose decoder needs more than the sum of this number of MiB, 32 bytes a "
        "sample, and four times the size of the compressed frame. With --workers 0 there is no such limit.",
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


job_options: Final = option_group(
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
