from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillframe import execute
from stillframe.build.tasks import InstanceTask, Result
from stillframe.build.workers import build_instances
from stillframe.errors import WorkerDied
from stillframe.execute import Batch, Onlooker, ProcessExecutor, SerialExecutor, make_executor, run_batches
from stillframe.store.directory import DirectoryStore
from stillframe.worker_process import start_fork_server
from tests.support.dicom_files import instance_uid, write_series
from tests.support.dying_store import DyingAtMetadata
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


@pytest.mark.slow
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


def double_all(numbers: Sequence[int]) -> list[int]:
    """Doubles, in a process that dies of a negative number."""
    if min(numbers) < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in numbers]


@pytest.mark.slow
def test_of_a_batch_whose_process_died_each_task_is_tried_by_itself() -> None:
    batches = [[(str(number), number) for number in batch] for batch in ([1, 2, 3], [4, -1, 5], [6, 7], [-2])]
    with ProcessExecutor(2) as executor:
        results = [pair for batch in run_batches(executor, double_all, batches, 3) for pair in batch]
    died = sorted(tag for tag, result in results if isinstance(result, WorkerDied))
    assert died == ["-1", "-2"]
    doubled = {tag: result for tag, result in results if not isinstance(result, WorkerDied)}
    assert doubled == {str(number): 2 * number for number in range(1, 8)}
    assert len(results) == 9


def test_what_a_task_raises_ends_a_run_of_batches(executor: Executor) -> None:
    with pytest.raises(ValueError, match="empty"):
        list(run_batches(executor, double_all, [[("one", 1)], []], 4))


@pytest.mark.slow
@pytest.mark.parametrize("idle", [False, True])
def test_an_onlooker_is_told_of_tasks_that_take_long(idle: bool) -> None:
    """They end only then."""
    held: Future[Any] = Future()
    told: list[list[tuple[str, int]]] = []

    class Holding(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return held

    def on_wait(batches: Iterable[Batch[str, int]]) -> None:
        told.extend([*batch] for batch in batches)
        held.set_result([14])

    onlooker = Onlooker(lambda _: idle, on_wait)
    assert [*run_batches(Holding(), double_all, [[("seven", 7)]], 4, onlooker=onlooker)] == [[("seven", 14)]]
    assert told == [[("seven", 7)]]


def test_no_more_tasks_are_under_way_than_the_window_has_room_for() -> None:
    class Waiting(Executor):
        """Tasks are done when somebody waits for the first of them."""

        most = 0
        under_way: dict[Future[Any], Any]

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            threading.Timer(0.01, lambda: future.set_result(fn(*args, **kwargs))).start()
            self.most = max(self.most, 1 + sum(not other.done() for other in self.under_way))
            return future

    executor = Waiting()
    pending: dict[Future[Any], Any] = {}
    executor.under_way = pending
    batches = [[(number, number)] for number in range(20)]
    results = [result for batch in run_batches(executor, double_all, batches, 4, pending) for _, result in batch]
    assert set(results) == {2 * number for number in range(20)}
    assert executor.most == 4
    assert not pending


def die_or_build(tasks: Sequence[InstanceTask]) -> list[Result]:
    """What a worker does with an input whose decoder crashes: some objects are written, then the process is gone."""
    (task,) = tasks
    if Path(task.source.path).name == "003.dcm":
        assert isinstance(task.store, DirectoryStore)
        task = replace(task, store=DyingAtMetadata(task.store.root))
    return build_instances([task])


class CrashingDecoder(ProcessExecutor):
    """Worker processes in which one input crashes a native library."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(die_or_build if fn is build_instances else fn, *args, **kwargs)


@pytest.mark.slow
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


def take_memory(size: int) -> int:
    return len(bytearray(size))


@pytest.mark.slow
def test_a_task_that_needs_more_memory_than_there_is_fails_alone(executor: Executor) -> None:
    large = [executor.submit(take_memory, 1 << 60) for _ in range(2)]
    small = [executor.submit(take_memory, 1 << 10) for _ in range(4)]
    for future in large:
        with pytest.raises(WorkerDied, match="more memory than a process has"):
            future.result(timeout=60)
    assert [future.result(timeout=60) for future in small] == [1 << 10] * 4


# Lets so many threads of the command start, and no more, as a limit of the system does at some moment of a job.
_FEW_THREADS = """
import sys, threading
if __name__ == "__main__":
    left = int(sys.argv.pop(1))
    def limited(real):
        def start(*arguments, **named):
            global left
            left -= 1
            if left < 0:
                raise RuntimeError("can't start new thread")
            return real(*arguments, **named)
        return start
    for name in ("_start_new_thread", "_start_joinable_thread"):  # of Python 3.12, of 3.13
        if hasattr(threading, name):
            setattr(threading, name, limited(getattr(threading, name)))
    from stillframe.cli.main import main
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("count", range(5))
def test_whichever_thread_does_not_start_the_job_ends_with_a_line(tmp_path: Path, count: int, dry: bool) -> None:
    (tmp_path / "limited.py").write_text(_FEW_THREADS)
    build = ["build", write_series(tmp_path / "in", 3), tmp_path / "out", "--workers", "2"]
    build += ["--report", tmp_path / "report.json", *(["--dry-run"] if dry else [])]
    done = subprocess.run(
        [sys.executable, tmp_path / "limited.py", str(count), *map(str, build)],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "rejected" not in done.stderr
    assert (done.returncode, "can be started on this machine" in done.stderr) in ((0, False), (1, True))


def test_the_serial_executor_runs_at_once_in_this_process() -> None:
    assert SerialExecutor().submit(os.getpid).result() == os.getpid()


# Kills the server that forks the workers, then the worker, while it works; says what the next server was started with.
_WITHOUT_SERVER = """
import multiprocessing, os, signal, time
from multiprocessing import forkserver
from pathlib import Path
from stillframe.execute import ProcessExecutor
with ProcessExecutor(1) as executor:
    executor.submit(time.sleep, 0).result()
    first = forkserver._forkserver._forkserver_pid
    under_way = executor.submit(time.sleep, 2)
    time.sleep(0.3)
    os.kill(first, signal.SIGKILL)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)
    under_way.result(60)
    second = forkserver._forkserver._forkserver_pid
    print(first != second, "a-secret" in Path(f"/proc/{second}/environ").read_text())
"""


def test_a_server_that_is_just_ending_is_no_lack_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []

    def start() -> None:
        if threading.current_thread() is not threading.main_thread() and len(refused) < 2:
            refused.append(1)
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        start_fork_server()

    with ProcessExecutor(1) as executor:
        monkeypatch.setattr(execute, "start_fork_server", start)
        with pytest.raises(WorkerDied):
            executor.submit(os._exit, 3).result(60)
    assert len(refused) == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to see environments")
def test_a_server_of_workers_that_died_has_a_successor_without_secrets() -> None:
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": "a-secret"}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SERVER], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
