"""What the report of a job knows that is stopped, whenever that is."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import override

import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from stillframe.stopping import STOPPED, Stopped, stoppable
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import write_series
from tests.support.trees import NoProgress


class StoppedAt(NoProgress):
    """Sends SIGTERM once so many steps of a stage are done."""

    def __init__(self, stage: str, steps: int) -> None:
        self._at, self._left, self._now = stage, steps, ""

    @override
    def stage(self, name: str, total: int) -> None:
        self._now = name

    @override
    def step(self, count: int = 1) -> None:
        self._left -= self._now == self._at
        if self._now == self._at and self._left == 0:
            signal.raise_signal(signal.SIGTERM)


def request_of(folder: Path) -> tuple[BuildRequest, DirectoryStore]:
    write_series(folder / "in", 4)
    (folder / "in" / "0.txt").write_text("no DICOM")
    (folder / "in" / "1.dcm").write_bytes(bytes(128) + b"DICM and then nothing")
    store = DirectoryStore(str(folder / "tree"))
    store.create()
    return BuildRequest(sources=(str(folder / "in"),), options=BuildOptions(), workers=1), store


def test_a_job_that_is_stopped_while_it_reads_headers_knows_what_it_has_read(tmp_path: Path) -> None:
    request, store = request_of(tmp_path)
    report = Report()
    with stoppable(), pytest.raises(Stopped):
        build(request, store, SerialExecutor(), StoppedAt("reading headers", 5), report)
    files = sorted(map(str, (tmp_path / "in").iterdir()))
    assert [file.path for file in report.skipped] == files[:1]
    assert [item.path for item in report.rejected] in ([], files[5:])  # the full parser comes last
    missing = [*report.unfinished.missing]
    assert missing
    assert set(missing) <= set(files[1:5])
    assert report.seconds > 0


def test_a_job_that_is_stopped_with_its_last_instance_counts_it(tmp_path: Path) -> None:
    request, store = request_of(tmp_path)
    with stoppable():
        report = build(request, store, SerialExecutor(), StoppedAt("publishing", 4))
    assert report.outcomes[Outcome.PUBLISHED] == 4
    assert report.failure == STOPPED
    assert [*report.unfinished.missing] == []


def test_a_job_that_has_published_all_is_not_stopped_any_more(tmp_path: Path) -> None:
    request, store = request_of(tmp_path)
    with stoppable():
        report = build(request, store, SerialExecutor(), NoProgress())
        signal.raise_signal(signal.SIGTERM)
    assert report.outcomes[Outcome.PUBLISHED] == 4
    assert (report.failure, report.exit_code) == ("", 2)
