from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, override

import pytest

from stillframe.archive.drawing import _draw_timed
from stillframe.build import publish
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.build.workers import build_instances
from stillframe.execute import SerialExecutor, WorkersElsewhere, fail
from stillframe.options import BuildOptions
from stillframe.stopping import STOPPED, stoppable
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import SERIES, image, write, write_series
from tests.support.trees import NoProgress, build_tree, contents


class Counting(SerialExecutor):
    """Notes how many instances each task has, and whether any of them expects helpers or a count of frames."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    @override
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is build_instances:
            self.batches.append(len(args[0]))
            assert all(task.meeting is None and task.count is None for task in args[0])
        return super().submit(fn, *args, **kwargs)


class Elsewhere(SerialExecutor, WorkersElsewhere):
    """Stands for workers on other machines; it notes what it was given to do before all else."""

    def __init__(self) -> None:
        self.first: list[Any] = []

    @property
    @override
    def workers(self) -> int:
        return 2

    @override
    def submit_first(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.first.append(fn)
        return self.submit(fn, *args, **kwargs)

    @override
    def end_processes(self) -> None:
        pass


def test_workers_elsewhere_draw_before_they_build_more(tmp_path: Path) -> None:
    source, executor = write_series(tmp_path / "in", 3), Elsewhere()
    assert build_tree(tmp_path / "here", source).exit_code == 0
    assert build_tree(tmp_path / "tree", source, executor=executor).exit_code == 0
    assert set(executor.first) == {_draw_timed}
    assert contents(tmp_path / "tree") == contents(tmp_path / "here")


class NeverDrawing(Elsewhere):
    """Workers elsewhere that draw nothing. Once so many thumbnails are asked for, the job is told to stop."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.waiting: list[Future[Any]] = []

    @override
    def submit_first(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append(future)
        if len(self.waiting) == self.count:
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return future

    def end(self) -> None:
        for future in self.waiting:
            fail(future, TimeoutError("it waited for drawings"))


@pytest.mark.slow
@pytest.mark.parametrize("series", [1, 24])  # more than wait for their lists at a time
def test_a_job_that_is_stopped_waits_no_longer_for_drawings_than_for_tasks(
    series: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "GRACE_SECONDS", 0.5)
    for number in range(1, series + 1):
        write(tmp_path / "in", f"{number}.dcm", image(number, SeriesInstanceUID=f"{SERIES}.{number}"))
    executor = NeverDrawing(min(series, 8))
    late = threading.Timer(120, executor.end)
    late.start()
    with stoppable():
        report = build_tree(tmp_path / "tree", tmp_path / "in", executor=executor)
    assert late.is_alive()
    late.cancel()
    assert (report.exit_code, report.failure) == (1, STOPPED)


@pytest.mark.parametrize("series", [1, 5])
def test_few_new_instances_reach_all_workers(series: int, tmp_path: Path) -> None:
    """Of 60 instances 15 are new. Half of each worker's share of these is less than the 6 that a task has at least."""
    store = DirectoryStore(str(tmp_path / "tree"))
    store.create()
    files = [
        write(tmp_path / "in", f"{number:02}.dcm", image(number, SeriesInstanceUID=f"{SERIES}.{number * series // 60}"))
        for number in range(60)
    ]
    for file in files[3::4]:
        file.rename(tmp_path / file.name)
    assert build_tree(tmp_path / "tree", tmp_path / "in").exit_code == 0
    for file in files[3::4]:
        (tmp_path / file.name).rename(file)
    executor = Counting()
    request = BuildRequest(
        sources=(str(tmp_path / "in"),), options=BuildOptions(), workers=2, local_workers=1, destination=store.root
    )
    assert build(request, store, executor, NoProgress()).outcomes[Outcome.UNCHANGED] == 45
    assert executor.batches == [6, 6, 3]


@pytest.mark.parametrize(
    ("workers", "local_workers", "batches"),
    [(2, None, [1] * 26), (1, 2, [12, 6, 6, 2]), (2, 2, [6, 6, 6, 6, 2])],
)
def test_workers_elsewhere_get_half_of_their_share_of_what_is_left(
    workers: int, local_workers: int | None, batches: list[int], tmp_path: Path
) -> None:
    store = DirectoryStore(str(tmp_path / "tree"))
    store.create()
    executor = Counting()
    source = write_series(tmp_path / "in", 26)
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), workers=workers, local_workers=local_workers)
    assert build(request, store, executor, NoProgress()).exit_code == 0
    assert executor.batches == batches
