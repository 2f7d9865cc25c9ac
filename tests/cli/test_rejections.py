"""What is printed of rejected inputs: each, or why and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.build.report import Report
from stillframe.cli.rejections import print_reasons, print_rejected
from stillframe.source.inputs import Rejected


def printed(report: Report, capsys: pytest.CaptureFixture[str], report_file: Path | None = None) -> list[str]:
    print_rejected(report, report_file)
    print_reasons(report)
    return capsys.readouterr().err.splitlines()


def test_a_few_are_listed_each(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for number in range(20):
        report.add(Rejected(path=f"in/{number:02}", reason="is encrypted", study="1.2"))
    assert printed(report, capsys) == [f"rejected   in/{number:02}: is encrypted  [1.2]" for number in range(20)]


def test_long_names_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add(Rejected(path=f"begin{'x' * 5000}end", reason=f"no file: {'y' * 5000}end"))
    (line,) = printed(report, capsys)
    assert line.startswith("rejected   beginxxx")
    assert "xend: no file: yyy" in line
    assert line.endswith("yend")
    assert len(line) < 1300


def test_of_many_the_first_are_told_then_folders_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for number in range(1500):
        report.add(Rejected(path=f"in/{number % 12:02}/{number:04}", reason=f"{number} frames are too many"))
    report.add(Rejected(path="last", reason="is encrypted"))
    lines = printed(report, capsys, Path("report.json"))
    assert lines[0] == "rejected   in/00/0000: 0 frames are too many"
    assert lines[10] == "rejected   ... and 1491 more, all in report.json"
    assert lines[11] == "rejected   1,501 inputs, by folder:"
    assert lines[12:23] == [f"rejected         125  in/{number:02}" for number in range(10)] + [
        "rejected         ...  and 3 other folders"
    ]
    assert lines[23:] == [
        "rejected   1,501 inputs, by reason:",
        "rejected       1,500  such as: 0 frames are too many",
        "rejected           1  is encrypted",
    ]


def test_lines_of_a_manifest_are_one_reason_and_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever location each of them names; the tenth comes after the ninth."""
    report = Report()
    for number in range(54, 0, -1):
        reason = f"s3://bucket/{chr(97 + number % 26)}-{number}/a b: the store refuses (403)"
        report.add(Rejected(path=f"jobs/may.csv, line {number}", reason=reason))
    lines = printed(report, capsys)
    assert [line.partition(":")[0] for line in lines[:10]] == [
        f"rejected   jobs/may.csv, line {number}" for number in range(1, 11)
    ]
    assert lines[11:] == [
        "rejected   54 inputs, by folder:",
        "rejected          54  jobs/may.csv",
        "rejected   54 inputs, by reason:",
        "rejected          54  such as: s3://bucket/a-26/a b: the store refuses (403)",
    ]
