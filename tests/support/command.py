"""The command line, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.support.forked import start_forked

_READ_LATE: Final = ("AWS_", "STILLFRAME_")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with some variables added to the environment; what it says is text.

    A build waits for none of the files that a test has just written, unless it is told to. Python and its libraries
    read variables when they start: a process with others than ours and those of AWS is not forked, but started.
    """
    command = [*map(str, arguments)]
    if command[0] == "build" and "--settle" not in command:
        command += ["--settle", "0"]
    if not all(name.startswith(_READ_LATE) for name in environment):
        return subprocess.run(
            [sys.executable, "-m", "stillframe", *command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        process = start_forked(command, out.name, err.name, environment)
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(command, process.exitcode, out.read(), err.read())
