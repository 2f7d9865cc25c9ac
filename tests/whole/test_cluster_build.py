"""Builds on a Dask cluster: the same objects as on one machine, whatever is killed on the way."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.tasks import InstanceTask, Result
from stillframe.build.workers import build_instances
from stillframe.cluster import ClusterExecutor
from stillframe.options import BuildOptions
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.command import run
from tests.support.dask_cluster import DaskCluster
from tests.support.dicom_files import image, instance_uid, noise, to_bytes, write
from tests.support.dying_store import DyingAtMetadata
from tests.support.jobs import Job
from tests.support.trees import NoProgress, build_tree, contents, objects
from tests.support.waiting import until
from tests.support.zips import zip_bytes

# Dask leaves sockets and event loops to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

_INPUTS = 90
"""So many that they are several batches for each worker."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for number in range(1, _INPUTS + 1):
        write(folder, f"{number:03}.dcm", image(number, noise(number, (64, 64))))
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    tree = tmp_path_factory.mktemp("tree")
    assert build_tree(tree, source).exit_code == 0
    return contents(tree)


def wait_for_files(job: Job, tree: Path, count: int) -> None:
    """Wait until a job has written so many files, or has ended."""
    while job.poll() is None and sum(path.is_file() for path in tree.rglob("*")) < count:
        time.sleep(0.02)


def test_a_folder_holds_what_a_local_build_makes(
    dask_cluster: DaskCluster, source: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    ran = run("build", source, tmp_path / "tree", "--scheduler", dask_cluster.address)
    assert ran.returncode == 0, ran.stderr
    assert f"{_INPUTS} published" in ran.stdout
    assert contents(tmp_path / "tree") == expected
    again = run("build", source, tmp_path / "tree", "--scheduler", dask_cluster.address)
    assert (again.returncode, contents(tmp_path / "tree")) == (0, expected)
    dry = run("build", source, tmp_path / "none", "--scheduler", dask_cluster.address, "--dry-run")
    assert (dry.returncode, (tmp_path / "none").exists()) == (0, False)


def test_relative_paths_lead_where_the_job_was_started(
    dask_cluster: DaskCluster, source: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    ran = run("build", source.name, tmp_path / "tree", "--scheduler", dask_cluster.address)
    assert ran.returncode == 0, ran.stderr
    assert contents(tmp_path / "tree") == expected


def test_archives_that_only_this_machine_unpacked_are_rejected(dask_cluster: DaskCluster, tmp_path: Path) -> None:
    stored, packed = (zip_bytes({"IM": to_bytes(image(number))}) for number in (1, 2))
    (tmp_path / "a.zip").write_bytes(zip_bytes({"inner.zip": stored}, zipfile.ZIP_STORED))
    (tmp_path / "b.zip").write_bytes(zip_bytes({"inner.zip": packed}))
    ran = run("build", tmp_path / "a.zip", tmp_path / "b.zip", tmp_path / "tree", "--scheduler", dask_cluster.address)
    assert ran.returncode == 2
    assert f"{tmp_path}/b.zip!inner.zip!IM: its archive is packed within another one" in ran.stderr
    assert "1 published, 1 rejected" in ran.stdout


def test_a_bucket_holds_what_a_local_build_makes(
    dask_cluster: DaskCluster, source: Path, tmp_path: Path, bucket: Bucket
) -> None:
    options = ("--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1")
    ran = run("build", source, f"s3://{bucket.name}/dask", "--scheduler", dask_cluster.address, *options)
    assert ran.returncode == 0, ran.stderr
    assert run("build", source, f"s3://{bucket.name}/here", *options).returncode == 0
    assert objects(S3Store(bucket, "dask")) == objects(S3Store(bucket, "here"))
    assert not list(S3Store(bucket, "dask/probe").list(""))


def test_a_worker_without_credentials_is_refused(source: Path, tmp_path: Path, bucket: Bucket) -> None:
    wrong = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "else"}
    options = ("--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1")
    with DaskCluster(tmp_path, 1, wrong) as running:
        ran = run("build", source, f"s3://{bucket.name}/tree", "--scheduler", running.address, *options)
    assert ran.returncode == 1
    assert "stillframe: worker tcp://127.0.0.1:" in ran.stderr
    assert f"s3://{bucket.name}" in ran.stderr
    assert not list(S3Store(bucket).list(""))


def test_a_worker_killed_in_the_middle_changes_nothing(
    dask_cluster: DaskCluster, source: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    victim, _ = dask_cluster.worker_ids()
    job = Job([source, tree, "--scheduler", dask_cluster.address], workers=None)
    wait_for_files(job, tree, len(expected) // 4)
    os.kill(victim, signal.SIGKILL)
    told = job.finish()
    assert "is gone: what it had begun is left to the others" in told
    assert "rejected" not in told
    assert contents(tree) == expected


def task_server_of(worker: int) -> int:
    """The process that a worker of Dask started in order to fork those that do its tasks."""

    def servers() -> list[int]:
        return [pid for pid in children_of(worker) if b"task_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    (server,) = until(servers)
    return server


def children_of(process: int) -> set[int]:
    """What a process started, whichever of its threads. Linux may leave some out while others end (proc(5))."""
    children = set()
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            children |= set(map(int, path.read_text().split()))
    return children


@pytest.mark.parametrize("victim", ["worker", "what starts its processes", "one of its processes"])
def test_whatever_of_a_worker_with_threads_is_killed_changes_nothing(
    source: Path, expected: dict[str, bytes], tmp_path: Path, victim: str
) -> None:
    tree = tmp_path / "tree"
    with DaskCluster(tmp_path / "dask", 1, threads=2) as running:
        (worker,) = running.worker_ids()
        job = Job([source, tree, "--scheduler", running.address], workers=None)
        wait_for_files(job, tree, len(expected) // 4)
        server = task_server_of(worker)
        ours = until(lambda: children_of(server))
        os.kill({"worker": worker, "what starts its processes": server}.get(victim, min(ours)), signal.SIGKILL)
        told = job.finish()
    assert "rejected" not in told
    assert contents(tree) == expected


def die_or_build(tasks: Sequence[InstanceTask]) -> list[Result]:
    """What a worker does with a batch in which the decoder of one input crashes."""
    return build_instances([doomed(task) if Path(task.source.path).name == "003.dcm" else task for task in tasks])


def doomed(task: InstanceTask) -> InstanceTask:
    assert isinstance(task.store, DirectoryStore)
    return replace(task, store=DyingAtMetadata(task.store.root))


class CrashingDecoder(ClusterExecutor):
    """Workers in which one input crashes a native library."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(die_or_build if fn is build_instances else fn, *args, **kwargs)


def test_an_input_that_kills_its_process_is_rejected_alone(dask_cluster: DaskCluster, tmp_path: Path) -> None:
    source, tree = tmp_path / "in", tmp_path / "tree"
    for number in range(1, 9):
        write(source, f"{number:03}.dcm", image(number, noise(number, (64, 64))))
    store = DirectoryStore(str(tree), durable=True)  # several inputs are a batch
    store.create()
    with CrashingDecoder(dask_cluster.address) as executor:
        request = BuildRequest(
            sources=(str(source),), options=BuildOptions(), workers=executor.workers, local_workers=1, lease=0.5
        )
        report = build(request, store, executor, NoProgress())
    (rejected,) = report.rejected
    assert (Path(rejected.path).name, rejected.instance, report.exit_code) == ("003.dcm", instance_uid(3), 2)
    assert "the process that worked on it died" in rejected.reason
    (source / "003.dcm").unlink()
    build_tree(tmp_path / "without", source)
    assert contents(tree) == contents(tmp_path / "without")


@pytest.mark.parametrize("end", ["scheduler", "driver", "SIGTERM"])
def test_a_job_that_is_cut_off_is_completed_by_the_next(
    dask_cluster: DaskCluster, source: Path, expected: dict[str, bytes], tmp_path: Path, end: str
) -> None:
    tree = tmp_path / "tree"
    with DaskCluster(tmp_path / "dask") as running:
        running.worker_ids()
        job = Job([source, tree, "--scheduler", running.address], workers=None)
        wait_for_files(job, tree, len(expected) // 4)
        if end == "scheduler":
            running.scheduler.kill()
            assert f"the scheduler {running.address} is lost: see that it runs, then build again" in job.finish(1)
        elif end == "driver":
            assert job.kill()
        else:
            os.kill(job.pid, signal.SIGTERM)
            assert "build again to go on from here" in job.finish(1)
        # At once: what the workers have under way then may still go on.
        ran = run("build", source, tree, "--scheduler", dask_cluster.address)
        assert ran.returncode == 0, ran.stderr
    assert contents(tree) == expected


def own_mounts(mount: Path) -> tuple[str, ...]:
    """A command that runs another where an empty folder hides one of this machine."""
    return ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{mount}" && exec "$@"', "sh")


@pytest.mark.parametrize("place", ["in", "tree"])
def test_a_folder_that_is_not_shared_is_refused(source: Path, tmp_path: Path, place: str) -> None:
    if os.geteuid() or os.system("unshare --mount true 2>/dev/null"):
        pytest.skip("this user may not mount anything")
    folders = {"in": source, "tree": tmp_path / "tree"}
    folders["tree"].mkdir()
    with DaskCluster(tmp_path / "dask", 0) as running:
        running.add_worker(before=own_mounts(folders[place]))
        ran = run("build", source, folders["tree"], "--scheduler", running.address)
    assert ran.returncode == 1
    assert "stillframe: worker tcp://127.0.0.1:" in ran.stderr
    told = {
        "in": f"it does not see {source}/001.dcm of the source {source} as it is",
        "tree": f"its {folders['tree']} is another folder than this machine's",
    }
    assert told[place] in ran.stderr
    assert "share, under the same path, or in a store" in ran.stderr
    assert contents(folders["tree"]) == {}


def test_workers_are_here_or_elsewhere(source: Path, tmp_path: Path) -> None:
    ran = run("build", source, tmp_path / "tree", "--scheduler", "tcp://127.0.0.1:1", "--workers", "2")
    assert ran.returncode == 1
    assert "give one of them" in ran.stderr
