"""`stillframe index`: makes every list anew from what is stored."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from stillframe.cli.report_file import ReportFile, check_report, report_option, write_report
from stillframe.cli.shared_options import (
    base_url_option,
    cores,
    open_archive,
    store_options,
)
from stillframe.cli.streams import say
from stillframe.cli.terminal import TerminalProgress, plural, print_some
from stillframe.errors import UsageError
from stillframe.store.s3_client import S3Settings

if TYPE_CHECKING:
    from stillframe.archive.reindex import IndexReport


@click.command(short_help="Make every list anew from what is stored.")
@click.argument("destination", metavar="DEST")
@base_url_option("Public URL of the service root. Without it, RetrieveURLs are relative.")
@report_option
@store_options
def index(destination: str, base_url: str, report_file: ReportFile, s3: S3Settings) -> int:
    """Make every list of the archive DEST anew from what is stored. DEST is a folder or s3://bucket/prefix.

    This repairs lists that were lost or damaged. Builds may run meanwhile. It finds the roots of unlisted studies by
    itself. It leaves an instance alone of which something is missing, and no list names that one.
    """
    check_report(report_file, destination)
    from stillframe.archive.drawing import Drawer
    from stillframe.archive.reindex import index_archive

    store = open_archive(destination, s3)
    try:
        with Drawer(cores()) as draw, closing(TerminalProgress()) as progress:
            report = index_archive(store, base_url, progress, draw)
    except UsageError as error:
        raise UsageError(f"{destination}: {error}") from error
    try:
        write_report(report.as_json(), report_file, s3)
    finally:
        _print_index(report, destination, report_file)
    return 0


def _print_index(report: IndexReport, destination: str, report_file: ReportFile) -> None:
    print_some("not listed", sorted(report.left.items()), report_file)
    parts = [plural(report.studies, "study", "studies"), f"{report.series} series"]
    parts += [f"{plural(report.instances, 'instance')} listed"]
    parts += [f"{len(report.left)} not listed"] if report.left else []
    say(f"{destination}: {', '.join(parts)}")
    roots = f"{plural(report.roots, 'root')} of unlisted studies, " if report.roots else ""
    say(f"{roots}{report.seconds:.1f} s")
