from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stillframe import cluster
from stillframe.cli.build import build
from stillframe.cluster import ClusterExecutor, version_differences
from stillframe.cluster_worker import installed_versions
from stillframe.errors import MachineError, UsageError, WorkerDied, WorkersLost
from stillframe.execute import end_processes, run_batches
from tests.support.dask_cluster import DaskCluster
from tests.support.dicom_files import write_series
from tests.support.waiting import until

# Dask leaves sockets and event loops to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

SECONDS = 240.0
"""What nothing here takes, whatever else the machine does."""


def double(number: int) -> int:
    return 2 * number


def fail(message: str) -> None:
    raise ValueError(message)


def append(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line)


def double_all(numbers: Sequence[int]) -> list[int]:
    """Doubles, in a process that dies of a negative number."""
    if min(numbers) < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in numbers]


def dask_worker() -> int:
    """The process id of the worker of Dask that this process belongs to: it started what this one was forked from."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


def wait_for(path: str, begun: str) -> int:
    """Say that this has begun, then wait for a file; the process id."""
    append(begun, f"{dask_worker()}\n")
    while not Path(path).exists():
        time.sleep(0.05)
    return os.getpid()


def kill_worker() -> None:
    """End the worker of Dask that this process belongs to, as a system without memory would."""
    os.kill(dask_worker(), signal.SIGKILL)
    time.sleep(60)


def about_process() -> tuple[Path, bool, dict[str, str]]:
    """Its folder, whether it has a sandbox, and the environment with which it and so its sandbox started."""
    from stillframe.sandbox import has_starter

    started = dict(line.split("=", 1) for line in Path("/proc/self/environ").read_text().split("\0") if "=" in line)
    return Path.cwd(), has_starter(), started


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_results_and_exceptions_come_back(dask_cluster: DaskCluster, tmp_path: Path) -> None:
    with ClusterExecutor(dask_cluster.address) as executor:
        assert executor.workers == 2
        assert [executor.submit(double, number).result(SECONDS) for number in range(5)] == [0, 2, 4, 6, 8]
        with pytest.raises(ValueError, match="as it is"):
            executor.submit(fail, "as it is").result(SECONDS)
        for _ in range(3):  # equal tasks are as many tasks
            executor.submit(append, str(tmp_path / "lines"), "x").result(SECONDS)
    assert (tmp_path / "lines").read_text() == "xxx"


def test_a_task_has_a_sandbox_and_its_folder_and_the_workers_secrets_come_late(tmp_path: Path) -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "of-the-worker"}
    with DaskCluster(tmp_path, 1, environment) as running, ClusterExecutor(running.address) as executor:
        folder, sandboxed, started = executor.submit(about_process).result(SECONDS)
        secret = executor.submit(os.getenv, "AWS_SECRET_ACCESS_KEY").result(SECONDS)
    assert (folder, sandboxed, secret) == (Path.cwd(), True, "of-the-worker")
    assert "PATH" in started
    assert "AWS_SECRET_ACCESS_KEY" not in started


def test_what_is_submitted_first_comes_before_what_waits(tmp_path: Path) -> None:
    go, begun, lines = (tmp_path / name for name in ("go", "begun", "lines"))
    with DaskCluster(tmp_path / "dask", 1) as running, ClusterExecutor(running.address) as executor:
        under_way = executor.submit(wait_for, str(go), str(begun))
        until(begun.exists)
        waiting = [executor.submit(append, str(lines), f"{number} ") for number in range(5)]
        urgent = executor.submit_first(append, str(lines), "first ")
        time.sleep(0.5)  # until the worker has it
        go.touch()
        wait([urgent, *waiting], SECONDS)
    assert under_way.done()
    done = lines.read_text().split()
    assert done.index("first") <= 1  # the worker may have had one that waited
    assert sorted(done) == ["0", "1", "2", "3", "4", "first"]


def test_a_worker_with_threads_does_as_many_tasks_at_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with DaskCluster(tmp_path / "dask", 1, threads=2) as running, ClusterExecutor(running.address) as executor:
        assert executor.workers == 2
        begun = [tmp_path / name for name in ("one", "two")]
        futures = [executor.submit(wait_for, str(go), str(path)) for path in begun]
        until(lambda: all(path.exists() for path in begun))
        go.touch()
        assert len({future.result(SECONDS) for future in futures}) == 2
        assert begun[0].read_text() == begun[1].read_text()  # both are of one worker


def test_of_a_batch_whose_process_died_each_task_is_tried_by_itself(
    dask_cluster: DaskCluster, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [[(str(number), number) for number in batch] for batch in ([1, 2, 3], [4, -1, 5], [6, 7], [-2])]
    with ClusterExecutor(dask_cluster.address) as executor:
        results = dict(pair for batch in run_batches(executor, double_all, batches, 3) for pair in batch)
        until(lambda: "it is given up there" in caplog.text)
    died = [results.pop("-1"), results.pop("-2")]
    assert results == {str(number): 2 * number for number in (1, 2, 3, 4, 5, 6, 7)}
    for result in died:
        assert isinstance(result, WorkerDied)
        assert "the process that worked on it died" in str(result)
    assert "a process of worker tcp://127.0.0.1:" in caplog.text


def test_what_a_lost_worker_had_begun_is_done_by_another(
    dask_cluster: DaskCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    with ClusterExecutor(dask_cluster.address) as executor:
        future = executor.submit(wait_for, str(go), str(begun))
        until(begun.exists)
        os.kill(int(begun.read_text()), signal.SIGKILL)
        until(lambda: len(begun.read_text().split()) == 2)
        go.touch()
        process = future.result(SECONDS)
        until(lambda: "is gone: what it had begun is left to the others" in caplog.text)
    assert is_there(int(begun.read_text().split()[1]))
    until(lambda: not is_there(process))  # the job took its processes along


def test_a_worker_that_is_lost_at_the_end_is_told(
    dask_cluster: DaskCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", SECONDS)
    with ClusterExecutor(dask_cluster.address) as executor, dask_cluster.client() as client:
        assert executor.submit(double, 21).result(SECONDS) == 42
        lost, number = next(iter(client.run(os.getpid).items()))
        os.kill(number, signal.SIGKILL)
        until(lambda: lost not in client.sync(client.scheduler.ncores))
        assert "is gone" not in caplog.text
    assert caplog.text.count(f"worker {lost} is gone") == 1


def test_a_job_that_is_done_does_not_wait_for_a_scheduler_that_hangs(tmp_path: Path) -> None:
    with DaskCluster(tmp_path, 1) as running:
        executor = ClusterExecutor(running.address)
        assert executor.submit(double, 21).result(SECONDS) == 42
        os.kill(running.scheduler.pid, signal.SIGSTOP)
        try:
            ending = threading.Thread(target=partial(executor.shutdown, cancel_futures=True))
            ending.start()
            ending.join(cluster._ANSWER_SECONDS)  # it has three things to ask, five seconds for each
            assert not ending.is_alive()
        finally:
            os.kill(running.scheduler.pid, signal.SIGCONT)


def test_a_loss_that_two_look_for_is_told_once(
    dask_cluster: DaskCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", SECONDS)
    with ClusterExecutor(dask_cluster.address) as executor:
        executor._workers = {**executor._workers, "tcp://127.0.0.1:1": 1}
        looking = [threading.Thread(target=executor._look_for_lost) for _ in range(4)]
        for thread in looking:
            thread.start()
        for thread in looking:
            thread.join()
    assert caplog.text.count("worker tcp://127.0.0.1:1 is gone") == 1


def test_a_task_that_loses_worker_after_worker_is_given_up(dask_cluster: DaskCluster) -> None:
    with ClusterExecutor(dask_cluster.address) as executor:
        with pytest.raises(WorkersLost, match="the workers that worked on it were lost, 4 of them"):
            executor.submit(kill_worker).result(SECONDS)
        assert executor.submit(double, 21).result(SECONDS) == 42


def test_a_job_that_is_ended_leaves_nothing_running(dask_cluster: DaskCluster, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    executor = ClusterExecutor(dask_cluster.address)
    processes = [executor.submit(os.getpid).result(SECONDS)]
    future = executor.submit(wait_for, str(tmp_path / "never"), str(begun))
    until(begun.exists)
    end_processes(executor)
    with pytest.raises(MachineError, match="the job was ended"):
        future.result(SECONDS)
    executor.shutdown(cancel_futures=True)
    until(lambda: not any(map(is_there, processes)))
    with pytest.raises(MachineError, match="the job was ended"):
        executor.submit(double, 1)


def test_a_lost_scheduler_fails_every_task(tmp_path: Path) -> None:
    with DaskCluster(tmp_path / "dask", 1) as running:
        executor = ClusterExecutor(running.address)
        futures = [executor.submit(wait_for, str(tmp_path / "never"), str(tmp_path / "begun")) for _ in range(3)]
        until((tmp_path / "begun").exists)
        process = int((tmp_path / "begun").read_text())
        running.scheduler.kill()
        for future in futures:
            with pytest.raises(MachineError, match="is lost: see that it runs"):
                future.result(SECONDS)
        with pytest.raises(MachineError, match="is lost: see that it runs"):
            executor.submit(double, 1).result(SECONDS)
        executor.shutdown(cancel_futures=True)
        until(lambda: not is_there(process))  # without its scheduler, a worker ends


def test_a_worker_with_other_versions_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other" / "ojph-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ojph\nVersion: 9.9\n")
    path = os.pathsep.join((str(other.parent), os.environ["PYTHONPATH"]))
    ours = installed_versions()["ojph"]
    with DaskCluster(tmp_path / "dask", 1, {"PYTHONPATH": path}) as running:
        words = f"would not make the same bytes: it has ojph 9.9, this machine {ours}"
        with pytest.raises(MachineError, match=words):
            ClusterExecutor(running.address)


def test_a_worker_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that hangs: its connections are there."""
    with DaskCluster(tmp_path / "dask", 2) as running:
        frozen, _ = running.worker_ids()
        with running.client() as client:
            ids = client.run(os.getpid)
        (name,) = (address for address, process in ids.items() if process == frozen)
        os.kill(frozen, signal.SIGSTOP)
        try:
            monkeypatch.setattr(cluster, "_ADMIT_SECONDS", 5.0)
            with pytest.raises(MachineError) as told:
                ClusterExecutor(running.address)
        finally:
            os.kill(frozen, signal.SIGCONT)
    assert f"worker {name} of the scheduler {running.address} does not answer: end it" in str(told.value)


def test_a_worker_that_comes_later_is_looked_at_before_it_has_a_task(tmp_path: Path) -> None:
    asked: list[str] = []

    def check(ask: Callable[..., dict[str, Any]]) -> None:
        answers = ask(os.getenv, "FIT")
        asked.extend(answers.values())
        if "no" in answers.values():
            raise MachineError("one does not fit")

    dask = DaskCluster(tmp_path / "dask", 1, {"FIT": "yes"})
    with dask as running, ClusterExecutor(running.address, check) as executor:
        assert executor.submit(os.getenv, "FIT").result(SECONDS) == "yes"
        running.add_worker(FIT="well")
        until(lambda: executor.workers == 2)
        running.add_worker(FIT="no")
        future = executor.submit(wait_for, str(tmp_path / "never"), str(tmp_path / "begun"))
        with pytest.raises(MachineError, match="one does not fit"):
            future.result(SECONDS)
    assert asked == ["yes", "well", "no"]


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ({"ojph": "1", "numpy": "2"}, ""),
        ({"ojph": "1", "numpy": "3"}, "it has numpy 3, this machine 2"),
        ({"ojph": "", "numpy": "2", "dask": "1"}, "it has ojph not at all, this machine 1"),
        ({}, "it has ojph not at all, this machine 1; it has numpy not at all, this machine 2"),
    ],
)
def test_differences_of_versions_in_words(theirs: dict[str, str], told: str) -> None:
    assert version_differences({"ojph": "1", "numpy": "2"}, theirs) == told


def test_where_nobody_answers_this_is_told(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1.0)
    with pytest.raises(MachineError, match=f"no scheduler answers at tcp://127.0.0.1:{free_port}"):
        ClusterExecutor(f"tcp://127.0.0.1:{free_port}")


def test_a_server_that_never_says_a_word_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 6.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(MachineError, match=f"no scheduler answers at {address}"):
            ClusterExecutor(address)
    assert f"waiting for the scheduler {address}" in caplog.text


@pytest.mark.parametrize("address", ["smoke://signal", "http://127.0.0.1:1"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UsageError, match=f"{address} cannot be the address of a scheduler"):
        ClusterExecutor(address)


def test_without_dask_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[dask\]'"):
        ClusterExecutor("tcp://127.0.0.1:1")


def test_a_build_without_dask_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    source = write_series(tmp_path / "in", 1)
    arguments = [str(source), str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    with pytest.raises(UsageError, match="--scheduler needs Dask"):
        build.main(arguments, standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_nothing_waits_for_a_cluster_for_ever() -> None:
    released = threading.Event()
    with pytest.raises(MachineError, match="nobody"):
        cluster._within(0.05, released.wait, "nobody")
    released.set()
    assert cluster._within(60, lambda: 42, "") == 42
