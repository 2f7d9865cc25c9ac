"""Runs a command and counts the CPU of all processes that come of it, also of those that outlive it.

    python benchmarks/counted.py FILE COMMAND...

Fork servers and their workers are children of nobody when the command ends. This process adopts and awaits them
(prctl(2), PR_SET_CHILD_SUBREAPER, Linux), so that getrusage(2) knows them. FILE gets the seconds; the exit code is the
command's.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_SET_CHILD_SUBREAPER = 36


def main() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1)
    command = subprocess.Popen(sys.argv[2:])
    code = 0
    with suppress(ChildProcessError):
        while True:
            process, status = os.wait()
            if process == command.pid:
                code = command.returncode = os.waitstatus_to_exitcode(status)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(f"{usage.ru_utime + usage.ru_stime}")
    sys.exit(code)


if __name__ == "__main__":
    main()
