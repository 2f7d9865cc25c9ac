"""`stillframe merge-reports`: the reports of a job's shards as one, and one exit code for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stillframe.cli.report_file import ReportFile, check_report, report_option, write_report
from stillframe.cli.shared_options import PublicSide, public_options, store_options
from stillframe.cli.streams import say, tell
from stillframe.cli.terminal import megabytes, plural, print_invalidation, print_some
from stillframe.errors import UsageError
from stillframe.store.s3_client import S3Settings

if TYPE_CHECKING:
    from stillframe.build.merged_report import MergedReport
    from stillframe.source.text_file import TextFile

_OUTCOMES = ("published", "rebuilt", "replaced", "resumed", "redrawn", "unchanged", "duplicate", "rejected")


@click.command("merge-reports", short_help="Put the reports of shards together into one.")
@click.argument("reports", metavar="REPORT...", nargs=-1, required=True)
@click.option(
    "--archive",
    "destination",
    default="",
    metavar="DEST",
    help="The archive that was built, a folder or s3://bucket/prefix: --invalidate needs to know where its keys begin.",
)
@public_options("Public URL of the service root, for --invalidate.")
@report_option
@store_options
def merge_reports(
    reports: tuple[str, ...], destination: str, public: PublicSide, report_file: ReportFile, s3: S3Settings
) -> int:
    """Put the reports of builds together: of the shards of a job, or of several jobs.

    A REPORT is a file or an s3:// object, or a folder or s3:// prefix with reports whose names end with .json.

    The exit code is 1 if a job could not finish or a report is missing, 2 if inputs were rejected, and 0 if all is
    published or unchanged.
    """
    from stillframe.build.merged_report import MergedReport
    from stillframe.source.text_file import list_texts

    if public.distribution and not destination:
        raise UsageError("--invalidate needs --archive DEST: paths of CloudFront begin where its keys do")
    check_report(report_file, destination)
    texts = [text for location in reports for text in list_texts(location, ".json", s3)]
    _refuse_own(texts, report_file)
    merged = MergedReport()
    for text in texts:
        merged.add(str(text), text.chunks())
    invalidation = public.tell(merged.changed(), destination, s3.profile) if public.distribution else None
    try:
        write_report(merged.as_document(), report_file, s3, invalidation=invalidation)
    finally:
        _print_merged(merged, report_file)
        print_invalidation(invalidation, report_file, complete=not merged.failure)
    return 1 if invalidation and invalidation.failure else merged.exit_code


def _refuse_own(texts: list[TextFile], report_file: ReportFile) -> None:
    """Refuse to read the report that is to be written: a second run would count everything twice."""
    from stillframe.source.overlap import overlap

    if report_file is None:
        return
    for text in texts:
        if overlap(text.location, str(report_file)):
            raise UsageError(f"{report_file} is one of the reports that are read: write the merged one elsewhere")


def _print_merged(merged: MergedReport, report_file: ReportFile) -> None:
    numbers = merged.numbers
    print_some("rejected", ((entry["path"], entry["reason"]) for entry in merged.entries("rejected")), report_file)
    counts = [f"{numbers[outcome]} {outcome}" for outcome in _OUTCOMES if numbers.get(outcome)]
    if passed := numbers.get("passedOver"):
        counts.append(f"{plural(passed, 'other file')} passed over")
    say(f"{plural(merged.reports, 'report')}: {', '.join(counts) or 'nothing published'}")
    size = f"{megabytes(numbers.get('bytesRead', 0))} in, {megabytes(numbers.get('bytesWritten', 0))} out"
    studies = plural(numbers["studies"], "study", "studies")
    say(f"{studies}, {numbers.get('series', 0)} series, {plural(numbers.get('frames', 0), 'frame')}, {size}")
    if merged.failure:
        tell(f"stillframe: {merged.failure}")
