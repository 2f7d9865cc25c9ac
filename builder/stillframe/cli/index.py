"""`stillframe index`: every list made anew from what is stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stillframe.cli.options import (
    base_url_option,
    check_report,
    open_archive,
    report_option,
    store_options,
    write_report,
)
from stillframe.cli.terminal import TerminalProgress, plural, print_some, visible
from stillframe.errors import UsageError
from stillframe.store.s3_client import S3Settings

if TYPE_CHECKING:
    from stillframe.archive.reindex import IndexReport


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
    from stillframe.archive.reindex import index_archive

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
    print_some("not listed", report.left.items(), report_file)
    parts = [plural(report.studies, "study", "studies"), f"{report.series} series"]
    parts += [f"{plural(report.instances, 'instance')} listed"]
    parts += [f"{len(report.left)} not listed"] if report.left else []
    click.echo(f"{visible(destination)}: {', '.join(parts)}")
    roots = f"{plural(report.roots, 'root')} of unlisted studies, " if report.roots else ""
    click.echo(f"{roots}{report.seconds:.1f} s")
