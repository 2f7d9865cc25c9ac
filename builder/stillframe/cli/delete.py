"""`stillframe delete`: takes a study, a series or an instance out of an archive."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from stillframe.archive.roots import Roots
from stillframe.cli.report_file import ReportFile, check_report, report_option, write_report
from stillframe.cli.shared_options import (
    PublicSide,
    cores,
    open_archive,
    option_group,
    public_options,
    store_options,
    unlisted_options,
)
from stillframe.cli.streams import say, tell
from stillframe.cli.terminal import TerminalProgress, megabytes, plural, print_invalidation, print_some
from stillframe.dicom.uids import check_uid
from stillframe.errors import UsageError
from stillframe.layout import instance_key
from stillframe.store.s3_client import S3Settings

if TYPE_CHECKING:
    from stillframe.archive.delete import DeletionReport, Scope


def _make_scope(*, study: str, series: str, instance: str) -> Scope:
    if instance and not series:
        raise UsageError("--instance needs --series: several series may hold the same SOP Instance UID")
    check_uid(study, "Study Instance UID")
    for uid, name in ((series, "Series Instance UID"), (instance, "SOP Instance UID")):
        if uid:
            check_uid(uid, name)
    from stillframe.archive.delete import Scope

    return Scope(study, series, instance)


_scope_options = option_group(
    "scope",
    _make_scope,
    click.option("--study", required=True, metavar="UID", help="Study to delete, or to delete from."),
    click.option("--series", default="", metavar="UID", help="Delete only this series of the study."),
    click.option("--instance", default="", metavar="UID", help="Delete only this instance of the series."),
)


@click.command(short_help="Remove a study, a series or an instance.")
@click.argument("destination", metavar="DEST")
@_scope_options
@public_options("Public URL of the service root, for new lists and for --invalidate.  [default: as before]")
@report_option
@unlisted_options
@store_options
def delete(
    destination: str,
    scope: Scope,
    public: PublicSide,
    report_file: ReportFile,
    secret: bytes,
    s3: S3Settings,
) -> int:
    """Remove a study, a series or an instance from the archive DEST, a folder or s3://bucket/prefix.

    Lists go first, objects last. Builds may run meanwhile. The exit code is 1 if it is not there, or cannot be removed.
    A bucket with versioning keeps what is deleted as older versions, and the command says for how long.
    """
    check_report(report_file, destination)
    from stillframe.archive.delete import delete as run_delete
    from stillframe.archive.drawing import Drawer

    store = open_archive(destination, s3)
    with Drawer(cores()) as draw, closing(TerminalProgress()) as progress:
        report = run_delete(Roots(store, secret), scope, public.base_url, progress, draw)
    changed = ((report.root, key) for key in report.changed)
    invalidation = public.tell(changed, destination, s3.profile)
    try:
        write_report(report.as_json(), report_file, s3, invalidation=invalidation)
    finally:
        _print_deletion(report, destination, report_file)
        print_invalidation(invalidation, report_file)
    return 0 if report.found and not (invalidation and invalidation.failure) else 1


def _print_deletion(report: DeletionReport, destination: str, report_file: ReportFile) -> None:
    if not report.found:
        tell(f"stillframe: no {report.scope} in {destination}")
        return
    anew = sorted(map(instance_key, report.kept))
    print_some("built anew", ((key, "published by another job meanwhile") for key in anew), report_file)
    parts = [plural(report.studies, "study", "studies")] if report.studies else []
    parts += [f"{report.series} series"] if report.series else []
    parts += [plural(report.instances, "instance")]
    say(f"{destination}: {', '.join(parts)} deleted")
    say(f"{plural(report.objects, 'object')}, {megabytes(report.bytes)}, {report.seconds:.1f} s")
    if report.versions:
        days = report.versions.days
        kept = f"for {plural(days, 'day')}" if days else "until its lifecycle rules end them"
        say(
            f"The bucket keeps older versions of what was deleted {kept}, patient data among them."
            ' The page "Replace, build again and delete" says how to purge them.'
        )
