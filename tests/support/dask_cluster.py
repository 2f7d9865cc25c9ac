"""A Dask cluster for the tests, as users start one: a scheduler, and workers under nannies, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_START_SECONDS: Final = 240.0


class DaskCluster:
    """A scheduler, and workers that each run so many tasks at once; what they say is in the folder."""

    def __init__(
        self, folder: Path, workers: int = 2, environment: Mapping[str, str] | None = None, threads: int = 1
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._environment = os.environ | dict(environment or {})
        self._file = folder / "scheduler.json"
        self._nannies: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file)
        )
        self.address = self._read_address()
        for _ in range(workers):
            self.add_worker()

    def _start(
        self, verb: str, *options: str, before: tuple[str, ...] = (), **variables: str
    ) -> subprocess.Popen[bytes]:
        log = self._folder / f"{verb}-{len(self._nannies)}.log"
        with log.open("wb") as said:
            return subprocess.Popen(
                [*before, sys.executable, "-P", "-m", "dask", verb, *options],
                stdout=said,
                stderr=subprocess.STDOUT,
                env=self._environment | variables,
                start_new_session=True,
            )

    def _read_address(self) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.scheduler.poll() is None:
            if self._file.exists() and (text := self._file.read_text()).endswith("}"):
                return str(json.loads(text)["address"])
            time.sleep(0.05)
        raise AssertionError(f"no scheduler: {(self._folder / 'scheduler-0.log').read_text()}")

    def add_worker(self, *, before: tuple[str, ...] = (), **variables: str) -> None:
        """Start a worker under a nanny, which a command may come before; it joins when it is ready."""
        self._nannies.append(
            self._start(
                "worker", self.address, "--nthreads", str(self._threads), "--no-dashboard", "--memory-limit", "0",
                "--local-directory", str(self._folder), before=before, **variables,
            )
        )  # fmt: skip

    def client(self) -> Any:
        """Dask's own client."""
        import distributed

        client: Any = distributed.Client
        return client(self.address, timeout=_START_SECONDS, set_as_default=False)

    def worker_ids(self) -> list[int]:
        """The process ids of the workers that are there, once there is one for each nanny."""
        with self.client() as client:
            client.wait_for_workers(len(self._nannies), timeout=_START_SECONDS)
            return sorted(client.run(os.getpid).values())

    def process_ids(self) -> list[int]:
        """Of the scheduler and the nannies."""
        return [self.scheduler.pid, *(nanny.pid for nanny in self._nannies)]

    def close(self) -> None:
        """End it all at once."""
        for process in (*self._nannies, self.scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
