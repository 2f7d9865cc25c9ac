from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.directory_store import DirectoryStore
from builder.errors import WorkerDied
from builder.execute import ProcessExecutor, SerialExecutor, make_executor
from builder.files import ReadableFile
from builder.store import Written
from builder.tasks import InstanceTask, Result
from builder.workers import build_instances
from tests.support.dicom_files import instance_uid, write_series
from tests.support.trees import build_tree, contents


def double(number: int) -> int:
    return 2 * number


def fail(message: str) -> None:
    raise ValueError(message)


def die_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=[0, 1, 2])
def executor(request: pytest.FixtureRequest) -> Any:
    with make_executor(request.param) as made:
        yield made


def test_results_and_exceptions_come_back(executor: Executor) -> None:
    assert [executor.submit(double, number).result() for number in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(ValueError, match="as it is"):
        executor.submit(fail, "as it is").result()


def test_a_task_that_kills_its_process_is_the_only_one_that_fails() -> None:
    with ProcessExecutor(2) as executor:
        good = [executor.submit(double, number) for number in range(4)]
        bad = [executor.submit(die_after, 0.0), executor.submit(die_after, 0.1)]
        good += [executor.submit(double, number) for number in range(4, 12)]
        for future in bad:
            with pytest.raises(WorkerDied, match="the process that worked on it died"):
                future.result(timeout=60)
        assert [future.result(timeout=60) for future in good] == [double(number) for number in range(12)]
        assert executor.submit(double, 21).result(timeout=60) == 42


class DyingStore(DirectoryStore):
    """Its process is gone when the finished metadata of an instance come."""

    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        if key.endswith("/metadata") and if_match is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().put(key, data, if_match=if_match, if_none_match=if_none_match)


def die_or_build(tasks: Sequence[InstanceTask]) -> list[Result]:
    """What a worker does with an input whose decoder crashes: some objects are written, then the process is gone."""
    (task,) = tasks
    if Path(task.source.path).name == "003.dcm":
        assert isinstance(task.store, DirectoryStore)
        task = replace(task, store=DyingStore(task.store.root))
    return build_instances([task])


class CrashingDecoder(ProcessExecutor):
    """Worker processes in which one input crashes a native library."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(die_or_build if fn is build_instances else fn, *args, **kwargs)


def test_a_crash_costs_one_input_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 6)
    with CrashingDecoder(2) as executor:
        report = build_tree(tmp_path / "tree", source, executor=executor)
    (rejected,) = report.rejected
    assert Path(rejected.path).name == "003.dcm"
    assert "died" in rejected.reason
    assert rejected.instance == instance_uid(3)
    (source / "003.dcm").unlink()
    build_tree(tmp_path / "without", source)
    assert contents(tmp_path / "tree") == contents(tmp_path / "without")


def test_the_serial_executor_runs_at_once_in_this_process() -> None:
    assert SerialExecutor().submit(os.getpid).result() == os.getpid()
