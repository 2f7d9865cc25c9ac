from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from builder.errors import WorkerDied
from builder.execute import ProcessExecutor, SerialExecutor, make_executor
from builder.tasks import InstanceTask
from tests.dicom_samples import instance_uid, write_series
from tests.trees import build_tree, contents


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


def die_or_build(task: InstanceTask) -> Any:
    """What a worker does with an input whose decoder crashes: some objects are written, then the process is gone."""
    from builder.tasks import build_instance

    if Path(task.source.path).name == "003.dcm":
        build_instance(task)
        key = f"studies/{task.uids.study}/series/{task.uids.series}/instances/{task.uids.instance}/metadata"
        task.store.delete(key)
        os.kill(os.getpid(), signal.SIGKILL)
    return build_instance(task)


class CrashingDecoder(ProcessExecutor):
    """Worker processes in which one input crashes a native library."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        builds = bool(args) and isinstance(args[0], InstanceTask)
        return super().submit(die_or_build if builds else fn, *args, **kwargs)


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
