"""`stillframe delete` and `stillframe index`: what is done to an archive without any input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli_options import (
    check_base_url,
    check_report,
    invalidate_option,
    open_archive,
    store_options,
    tell_cdn,
    unlisted_options,
    write_report,
)
from builder.errors import UsageError
from builder.layout import instance_key
from builder.roots import Roots
from builder.s3_client import S3Settings
from builder.terminal import TerminalProgress, megabytes, plural, print_invalidation, print_some, visible
from builder.uids import check_uid

if TYPE_CHECKING:
    from builder.deletion import DeletionReport
    from builder.reindex import IndexReport

_report_option = click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False),
    default=None,
    metavar="FILE",
    help="Write the full report as JSON.",
)


@click.command(short_help="Remove a study, a series or an instance.")
@click.argument("destination", metavar="DEST")
@click.option("--study", required=True, metavar="UID", help="Study to delete, or where to delete.")
@click.option("--series", default="", metavar="UID", help="Only this series of the study.")
@click.option("--instance", default="", metavar="UID", help="Only this instance of the series.")
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Public URL of the service root, for lists that are written anew and for --invalidate.  [default: as before]",
)
@_report_option
@invalidate_option
@unlisted_options
@store_options
def delete(
    destination: str, study: str, series: str, instance: str, base_url: str, report_file: str | None,
    distribution: str, secret: bytes, s3: S3Settings,
) -> int:  # fmt: skip
    """Remove a study, a series or an instance from the archive DEST, a folder or s3://bucket/prefix.

    Lists go first, objects last; builds may run meanwhile. Exit code 1: it is not there, or could not be removed.
    """
    if instance and not series:
        raise UsageError("--instance needs --series: the same SOP Instance UID may be in several")
    check_base_url(base_url)
    check_uid(study, "Study Instance UID")
    for uid, name in ((series, "Series Instance UID"), (instance, "SOP Instance UID")):
        if uid:
            check_uid(uid, name)
    if report_file is not None:
        check_report(Path(report_file), destination)
    from builder.deletion import Scope
    from builder.deletion import delete as run_delete

    store = open_archive(destination, s3)
    progress = TerminalProgress(sys.stderr)
    try:
        report = run_delete(Roots(store, secret), Scope(study, series, instance), base_url, progress)
    finally:
        progress.close()
    if distribution:
        changed = ((report.root, key) for key in report.changed)
        report.invalidation = tell_cdn(distribution, changed, destination, base_url, s3)
    if report_file is not None:
        write_report(report.as_json(), Path(report_file))
    return _tell_deletion(report, destination, report_file)


def _tell_deletion(report: DeletionReport, destination: str, report_file: str | None) -> int:
    if not report.found:
        click.echo(f"stillframe: no {report.scope} in {visible(destination)}", err=True)
        return 1
    print_some(
        "built anew", [(instance_key(uids), "published by another job meanwhile") for uids in report.kept], report_file
    )
    parts = [plural(report.studies, "study", "studies")] if report.studies else []
    parts += [f"{report.series} series"] if report.series else []
    parts += [plural(report.instances, "instance")]
    click.echo(f"{visible(destination)}: {', '.join(parts)} deleted")
    size = f"{plural(report.objects, 'object')}, {megabytes(report.bytes)}"
    click.echo(f"{size}, {report.seconds:.1f} s")
    print_invalidation(report.invalidation, report_file)
    return 1 if report.invalidation is not None and report.invalidation.failure else 0


@click.command(short_help="Make every list anew from what is stored.")
@click.argument("destination", metavar="DEST")
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Public URL of the service root; RetrieveURLs are relative without it.",
)
@_report_option
@store_options
def index(destination: str, base_url: str, report_file: str | None, s3: S3Settings) -> int:
    """Make every list of the archive DEST anew from what is stored: a folder or s3://bucket/prefix.

    For lists that were lost or damaged; builds may run meanwhile. Roots of unlisted studies are found by themselves.
    What is not published whole stays as it is, without being listed.
    """
    check_base_url(base_url)
    if report_file is not None:
        check_report(Path(report_file), destination)
    from builder.reindex import index_archive

    store = open_archive(destination, s3)
    progress = TerminalProgress(sys.stderr)
    try:
        report = index_archive(store, base_url, progress)
    except UsageError as error:
        raise UsageError(f"{destination}: {error}") from error
    finally:
        progress.close()
    if report_file is not None:
        write_report(report.as_json(), Path(report_file))
    _tell_index(report, destination, report_file)
    return 0


def _tell_index(report: IndexReport, destination: str, report_file: str | None) -> None:
    print_some("not listed", [(item.key, item.reason) for item in report.left], report_file)
    parts = [plural(report.studies, "study", "studies"), f"{report.series} series"]
    parts += [f"{plural(report.instances, 'instance')} listed"]
    parts += [f"{len(report.left)} not listed"] if report.left else []
    click.echo(f"{visible(destination)}: {', '.join(parts)}")
    roots = f"{plural(report.roots, 'root')} of unlisted studies, " if report.roots else ""
    click.echo(f"{roots}{report.seconds:.1f} s")
