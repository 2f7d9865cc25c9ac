"""`stillframe merge-reports` as it is called, with its report and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillframe.build.report import Report
from stillframe.cli.report_file import write_report
from stillframe.source.inputs import Skipped
from tests.support.command import run


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a report, beside which the command is called."""
    folder = tmp_path / "reports"
    folder.mkdir()
    report = Report()
    report.pass_over(Skipped("in/notes.txt", "not DICOM"))
    write_report(report.as_document(), folder / "1.json")
    monkeypatch.chdir(tmp_path)
    return folder


def test_without_an_archive_the_report_may_lie_here(reports: Path) -> None:
    done = run("merge-reports", "reports", "--report", "build.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((reports.parent / "build.json").read_bytes())["summary"]["passedOver"] == 1


def test_without_a_report_it_only_tells(reports: Path) -> None:
    done = run("merge-reports", "reports")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "1 report: 1 other file passed over"


def test_reports_that_are_not_there_are_told(reports: Path) -> None:
    done = run("merge-reports", "reports/1.json", "reports/2.json")
    assert done.returncode == 1
    assert "the report reports/2.json cannot be used: cannot be read: No such file or directory" in done.stderr


def test_the_merged_report_is_none_of_those_that_are_read(reports: Path) -> None:
    done = run("merge-reports", "reports", "--report", "reports/1.json")
    assert done.returncode == 1
    assert "reports/1.json is one of the reports that are read" in done.stderr
