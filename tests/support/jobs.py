"""Jobs of the command line, each alone in its session, so that all of a job can be killed at one stroke."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.forked import start_forked


class Job:
    """`stillframe build`, running, forked from what has imported everything: no second goes by before it works.

    With None as workers the arguments say who works.
    """

    def __init__(self, arguments: Sequence[str | Path], *, workers: int | None = 2) -> None:
        command = ["build", *map(str, arguments), "--settle", "0"]
        if workers is not None:
            command += ["--workers", str(workers)]
        with tempfile.NamedTemporaryFile(delete=False) as told:
            self._told = Path(told.name)
            self._process = start_forked(command, os.devnull, told.name)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs; less than 0 after a signal."""
        return self._process.exitcode

    def wait(self) -> int:
        """The exit code, when it has ended."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def told(self) -> str:
        """What it said on stderr, when it has ended."""
        self.wait()
        said = self._told.read_text()
        self._told.unlink()
        return said

    def finish(self, code: int = 0) -> str:
        """See it end with an exit code; what it said on stderr."""
        said = self.told()
        assert self.wait() == code, said
        return said

    def kill(self) -> bool:
        """Kill all its processes; whether it was running."""
        running = self.poll() is None
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # all have ended, or it did not get as far as to have a session
            if running:
                os.kill(self.pid, signal.SIGKILL)
        self.told()
        return running
