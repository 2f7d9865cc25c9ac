"""Prints what a build rejected: each input while they are few, else the first of them, where they are, and why."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from stillframe.build.report import Report
from stillframe.build.report_entries import Group
from stillframe.cli.report_file import ReportFile
from stillframe.cli.streams import tell
from stillframe.cli.terminal import print_some, short
from stillframe.source.inputs import Rejected

# So many inputs are listed each; of more, so many reasons and folders are.
_MOST_LISTED: Final = 20
_MOST_GROUPS: Final = 10


def print_rejected(report: Report, report_file: ReportFile) -> None:
    """Print the inputs that are rejected, on stderr: each while they are few, else the first of them."""
    rejected = report.rejected
    if len(rejected) > _MOST_LISTED:
        print_some("rejected", ((item.path, _reason(item)) for item in rejected), report_file)
        return
    for item in rejected:
        tell(f"rejected   {short(item.path)}: {_reason(item)}")


def print_reasons(report: Report) -> None:
    """Print where many inputs are that are rejected, and why, on stderr; of a few, nothing."""
    count = len(report.rejected)
    if count > _MOST_LISTED:
        tell(f"rejected   {count:,} inputs, by folder:")
        _print_groups(report.folders, "folders")
        tell(f"rejected   {count:,} inputs, by reason:")
        _print_groups(report.reasons, "reasons")


def _reason(rejected: Rejected) -> str:
    uids = "  ".join(filter(None, (rejected.study, rejected.series, rejected.instance)))
    return f"{short(rejected.reason)}  [{uids}]" if uids else short(rejected.reason)


def _print_groups(groups: Iterator[Group], what: str) -> None:
    """Print the largest groups, and how many others there are."""
    for group in islice(groups, _MOST_GROUPS):
        tell(f"rejected   {group.count:>9,}  {'' if group.alike else 'such as: '}{short(group.what) or '.'}")
    more = sum(1 for _ in groups)
    if more:
        tell(f"rejected   {'...':>9}  and {more:,} other {what}")
