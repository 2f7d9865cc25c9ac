"""What `stillframe build` prints at the end: the inputs that a person should look at, counts, and what stopped it."""

from __future__ import annotations

from stillframe.build.report import Report
from stillframe.build.results import Outcome
from stillframe.cli.rejections import print_reasons, print_rejected
from stillframe.cli.report_file import ReportFile
from stillframe.cli.streams import say, tell
from stillframe.cli.terminal import megabytes, plural, print_some


def print_inputs(report: Report, report_file: ReportFile) -> None:
    """Print every input that a person should look at, on stderr; why many are rejected comes last, to stay in sight."""
    print_rejected(report, report_file)
    for label, results in (("duplicate", report.duplicates), ("note", report.noted)):
        print_some(label, ((noted.source, "; ".join(noted.notes)) for noted in results), report_file)
    print_some("not read", ((file.path, file.reason) for file in report.skipped if file.noteworthy), report_file)
    print_reasons(report)


def print_summary(report: Report, destination: str) -> None:
    """Print how many inputs became what, and how much that was."""
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


def print_failure(report: Report, report_file: ReportFile) -> None:
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
