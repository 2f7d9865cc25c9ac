"""The command line, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.forked import start_forked


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with some variables added to the environment; what it says is text.

    A build waits for none of the files that a test has just written, unless it is told to. Python itself reads
    variables when it starts: a process with some of its own is not forked, but started.
    """
    command = [*map(str, arguments)]
    if command[0] == "build" and "--settle" not in command:
        command += ["--settle", "0"]
    if environment:
        return subprocess.run(
            [sys.executable, "-m", "stillframe", *command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        process = start_forked(command, out.name, err.name)
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(command, process.exitcode, out.read(), err.read())
