"""Prints what a build rejected: each input while they are few, else why and where, and the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from stillframe.build.report import Report
from stillframe.build.report_entries import Share
from stillframe.cli.streams import tell
from stillframe.cli.terminal import print_some
from stillframe.source.inputs import Rejected

# So many inputs are listed each; of more, so many reasons and folders are.
_MOST_LISTED: Final = 20
_MOST_SHARES: Final = 10


def print_rejected(report: Report, report_file: Path | None) -> None:
    """Print the inputs that are rejected, on stderr."""
    rejected = report.rejected
    count = len(rejected)
    if count <= _MOST_LISTED:
        for item in rejected:
            tell(f"rejected   {item.path}: {_reason(item)}")
        return
    tell(f"rejected   {count:,} inputs; by reason:")
    _print_shares(report.reasons, "reasons")
    tell("rejected   by folder:")
    _print_shares(report.folders, "folders")
    print_some("rejected", ((item.path, _reason(item)) for item in rejected), report_file)


def _reason(rejected: Rejected) -> str:
    uids = "  ".join(filter(None, (rejected.study, rejected.series, rejected.instance)))
    return f"{rejected.reason}  [{uids}]" if uids else rejected.reason


def _print_shares(shares: Iterator[Share], what: str) -> None:
    """Print the largest shares, and how many others there are."""
    for share in islice(shares, _MOST_SHARES):
        tell(f"rejected   {share.count:>9,}  {share.what or '.'}")
    more = sum(1 for _ in shares)
    if more:
        tell(f"rejected   {'...':>9}  and {more:,} other {what}")
