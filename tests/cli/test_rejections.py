"""What is printed of rejected inputs: each, or why and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.build.report import Report
from stillframe.cli.rejections import print_rejected
from stillframe.source.inputs import Rejected


def printed(report: Report, capsys: pytest.CaptureFixture[str], report_file: Path | None = None) -> list[str]:
    print_rejected(report, report_file)
    return capsys.readouterr().err.splitlines()


def test_a_few_are_listed_each(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for number in range(20):
        report.add(Rejected(path=f"in/{number:02}", reason="is encrypted", study="1.2"))
    assert printed(report, capsys) == [f"rejected   in/{number:02}: is encrypted  [1.2]" for number in range(20)]


def test_of_many_reasons_and_folders_are_told_and_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for number in range(1500):
        report.add(Rejected(path=f"in/{number % 12:02}/{number:04}", reason=f"{number} frames are too many"))
    report.add(Rejected(path="last", reason="is encrypted"))
    lines = printed(report, capsys, Path("report.json"))
    assert lines[:4] == [
        "rejected   1,501 inputs; by reason:",
        "rejected       1,500  0 frames are too many",
        "rejected           1  is encrypted",
        "rejected   by folder:",
    ]
    assert lines[4:15] == [f"rejected         125  in/{number:02}" for number in range(10)] + [
        "rejected         ...  and 3 other folders"
    ]
    assert lines[15] == "rejected   in/00/0000: 0 frames are too many"
    assert lines[-1] == "rejected   ... and 1491 more, all in report.json"
    assert len(lines) == 26
