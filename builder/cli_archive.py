"""`stillframe delete` and `stillframe index`: what is done to an archive without any input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli_options import (
    PublicSide,
    base_url_option,
    check_report,
    open_archive,
    option_group,
    public_options,
    report_option,
    store_options,
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
    from builder.deletion import DeletionReport, Scope
    from builder.reindex import IndexReport


def _make_scope(*, study: str, series: str, instance: str) -> Scope:
    if instance and not series:
        raise UsageError("--instance needs --series: the same SOP Instance UID may be in several")
    check_uid(study, "Study Instance UID")
    for uid, name in ((series, "Series Instance UID"), (instance, "SOP Instance UID")):
        if uid:
            check_uid(uid, name)
    from builder.deletion import Scope

    return Scope(study, series, instance)


_scope_options = option_group(
    "scope",
    _make_scope,
    click.option("--study", required=True, metavar="UID", help="Study to delete, or where to delete."),
    click.option("--series", default="", metavar="UID", help="Only this series of the study."),
    click.option("--instance", default="", metavar="UID", help="Only this instance of the series."),
)


@click.command(short_help="Remove a study, a series or an instance.")
@click.argument("destination", metavar="DEST")
@_scope_options
@public_options("Public URL of the service root, for lists written anew and for --invalidate.  [default: as before]")
@report_option
@unlisted_options
@store_options
def delete(
    destination: str,
    scope: Scope,
    public: PublicSide,
    report_file: Path | None,
    secret: bytes,
    s3: S3Settings,
) -> int:
    """Remove a study, a series or an instance from the archive DEST, a folder or s3://bucket/prefix.

    Lists go first, objects last; builds may run meanwhile. Exit code 1: it is not there, or could not be removed.
    """
    check_report(report_file, destination)
    from builder.deletion import delete as run_delete

    store = open_archive(destination, s3)
    progress = TerminalProgress(sys.stderr)
    try:
        report = run_delete(Roots(store, secret), scope, public.base_url, progress)
    finally:
        progress.close()
    changed = ((report.root, key) for key in report.changed)
    invalidation = public.tell(changed, destination, s3.profile)
    write_report(report.as_json(), report_file, invalidation)
    found = _tell_deletion(report, destination, report_file)
    print_invalidation(invalidation, report_file)
    return 0 if found and not (invalidation and invalidation.failure) else 1


def _tell_deletion(report: DeletionReport, destination: str, report_file: Path | None) -> bool:
    """What is gone; whether there was anything."""
    if not report.found:
        click.echo(f"stillframe: no {report.scope} in {visible(destination)}", err=True)
        return False
    print_some(
        "built anew", [(instance_key(uids), "published by another job meanwhile") for uids in report.kept], report_file
    )
    parts = [plural(report.studies, "study", "studies")] if report.studies else []
    parts += [f"{report.series} series"] if report.series else []
    parts += [plural(report.instances, "instance")]
    click.echo(f"{visible(destination)}: {', '.join(parts)} deleted")
    size = f"{plural(report.objects, 'object')}, {megabytes(report.bytes)}"
    click.echo(f"{size}, {report.seconds:.1f} s")
    return True


@click.command(short_help="Make every list anew from what is stored.")
@click.argument("destination", metavar="DEST")
@base_url_option("Public URL of the service root; RetrieveURLs are relative without it.")
@report_option
@store_options
def index(destination: str, base_url: str, report_file: Path | None, s3: S3Settings) -> int:
    """Make every list of the archive DEST anew from what is stored: a folder or s3://bucket/prefix.

    For lists that were lost or damaged; builds may run meanwhile. Roots of unlisted studies are found by themselves.
    What is not published whole stays as it is, without being listed.
    """
    check_report(report_file, destination)
    from builder.reindex import index_archive

    store = open_archive(destination, s3)
    progress = TerminalProgress(sys.stderr)
    try:
        report = index_archive(store, base_url, progress)
    except UsageError as error:
        raise UsageError(f"{destination}: {error}") from error
    finally:
        progress.close()
    write_report(report.as_json(), report_file)
    _tell_index(report, destination, report_file)
    return 0


def _tell_index(report: IndexReport, destination: str, report_file: Path | None) -> None:
    print_some("not listed", [(item.key, item.reason) for item in report.left], report_file)
    parts = [plural(report.studies, "study", "studies"), f"{report.series} series"]
    parts += [f"{plural(report.instances, 'instance')} listed"]
    parts += [f"{len(report.left)} not listed"] if report.left else []
    click.echo(f"{visible(destination)}: {', '.join(parts)}")
    roots = f"{plural(report.roots, 'root')} of unlisted studies, " if report.roots else ""
    click.echo(f"{roots}{report.seconds:.1f} s")
