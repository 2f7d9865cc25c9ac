"""One S3 server for the processes of a test run: whoever needs it first starts it, the run's own process stops it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.support.s3_server import S3Endpoint, S3Server

_STOP_SECONDS: Final = 20.0
_started: list[S3Server] = []  # kept: it outlives the process that started it


def shared_server(folder: Path) -> S3Endpoint:
    """The server of the run whose processes share this folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = folder / "server.json"
        if not state.exists():
            server = S3Server(folder / "server")
            server.start()
            _started.append(server)
            state.write_text(json.dumps({"url": server.endpoint_url, "process": server.process_id}))
        return S3Endpoint(json.loads(state.read_text())["url"])


def stop_shared_server(folder: Path) -> None:
    """End the server if any process started it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        process_id = json.loads((folder / "server.json").read_text())["process"]
        os.kill(process_id, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _runs(process_id):
            if time.monotonic() > deadline:
                os.kill(process_id, signal.SIGKILL)
            time.sleep(0.05)


def _runs(process_id: int) -> bool:
    """Whether a process has not ended yet. Its parent is another one, which may never ask what became of it."""
    with suppress(ChildProcessError):
        os.waitpid(process_id, os.WNOHANG)
    with suppress(OSError):
        if Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
