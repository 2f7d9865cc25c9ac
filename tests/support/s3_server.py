"""A real S3 server for the tests: SeaweedFS from PyPI, on free ports of 127.0.0.1, its data in a folder of the test."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stillframe.store.s3_client import Bucket, S3Settings, client_of

ACCESS_KEY: Final = "stillframe-tests"
SECRET_KEY: Final = "not-a-secret-of-anybody"
READER_KEY: Final = "stillframe-reader"
PUBLIC_BUCKET: Final = "readable-by-all"
"""A bucket that everybody may list and read, without credentials."""
READER_BUCKET: Final = "partly-readable"
"""A bucket that another identity may list; of its objects it may read those below `open/`."""
_IDENTITIES: Final = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER_KEY, "secretKey": SECRET_KEY}],
            "actions": [f"List:{READER_BUCKET}", f"Read:{READER_BUCKET}/open/*"],
        },
        {"name": "anonymous", "actions": [f"List:{PUBLIC_BUCKET}", f"Read:{PUBLIC_BUCKET}"]},
    ]
}
_PORTS: Final = (
    "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip
_START_SECONDS: Final = 60.0


def _listen_somewhere() -> socket.socket:
    """A free port of 127.0.0.1, none of those that outgoing connections take (ip_local_port_range): it stays free."""
    while True:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", random.randrange(12_000, 32_000)))


def weed_path() -> str | None:
    """The server's program: beside the interpreter, where pip puts it."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


def set_environment() -> None:
    """Make the server's credentials those of this process and of all it starts, whatever the machine is set up with."""
    os.environ.update(
        AWS_ACCESS_KEY_ID=ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY=SECRET_KEY,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        os.environ.pop(name, None)


class S3Endpoint:
    """A server that runs: each test takes a bucket of its own."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url

    def settings(self, **changes: Any) -> S3Settings:
        """How the server is reached."""
        return replace(S3Settings(endpoint_url=self.endpoint_url, region="us-east-1", patience=60.0), **changes)

    def make_bucket(self, **changes: Any) -> Bucket:
        """A new empty bucket."""
        bucket = Bucket(f"t-{uuid.uuid4().hex[:20]}", self.settings(**changes))
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket


class S3Server(S3Endpoint):
    """A server that can be stopped, killed and started again with what it holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with ExitStack() as stack:
            listeners = [stack.enter_context(_listen_somewhere()) for _ in _PORTS]
            self._ports = {name: listener.getsockname()[1] for name, listener in zip(_PORTS, listeners, strict=True)}
        super().__init__(f"http://127.0.0.1:{self._ports['s3.port']}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it answers as a whole: the gateway is up before there is room to write to."""
        weed = weed_path()
        assert weed is not None
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        identities = self._folder / "identities.json"
        identities.write_text(json.dumps(_IDENTITIES))
        options = [f"-{name}={port}" for name, port in self._ports.items()]
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    weed, "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options,
                    "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={identities}",
                    "-master.telemetry=false", "-volume.max=1000", "-master.volumeSizeLimitMB=64",
                    "-admin.ui=false", "-webdav=false",
                    f"-s3.localSocket={self._folder}/s3.sock", f"-filer.localSocket={self._folder}/filer.sock",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                env=os.environ | {"HOME": str(self._folder), "GOGC": "400"},
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        client = client_of(self.settings())
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                    client.create_bucket(Bucket="is-it-there")
                client.put_object(Bucket="is-it-there", Key="object", Body=b"x")
                return
            except Exception:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the S3 server did not start:\n{(self._folder / 'log.txt').read_text()[-3000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """End it, in an orderly way or at once."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
