"""The command line in a process forked from one that has imported everything: it works from the first moment.

The server that forks its workers is forked, too. A job that a user starts loads the libraries twice, which takes a
second and a half. Some tests start it so: those of `cli/test_main`, `test_process_start` and `test_execute`, among
others.

Forked jobs share the run's resource tracker: it tells at the end of the run which semaphores killed jobs left.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from multiprocessing import util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from stillframe.cli.main import main
from stillframe.worker_process import start_fork_server

_CONTEXT: Final = multiprocessing.get_context("forkserver")


def forked_process(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that is to call a function of a module, in this environment, which the server that forks it lacks."""
    return _CONTEXT.Process(target=_call, args=(dict(os.environ), target, arguments))


def _call(environment: dict[str, str], target: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.update(environment)
    target(*arguments)


def start_forked(
    command: list[str], stdout: str | Path, stderr: str | Path, more: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start `stillframe` with some arguments, alone in its session, here and in this environment, with `more` in it.

    What it writes goes to the files of those names.
    """
    files, environment = (os.devnull, str(stdout), str(stderr)), {**os.environ, **(more or {})}
    process = _CONTEXT.Process(target=_run, args=(command, files, Path.cwd(), environment))
    process.start()
    return process


def _run(command: list[str], files: tuple[str, str, str], folder: Path, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in enumerate(files):
        file = os.open(name, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # what forked this one has it blocked
    if command[0] == "build" and "--scheduler" not in command and ("--workers", "0") not in pairwise(command):
        _fork_server_of_workers()
    sys.argv = ["stillframe", *command]
    main()


def _fork_server_of_workers() -> None:
    """Start what the job forks its workers from, which is otherwise another Python: as a copy of this process.

    It is the job's own, in its session, and has its variables but the secret ones, as the other.
    """
    start = util.spawnv_passfds

    def fork(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        if pid := os.fork():
            return pid
        try:
            kept = sorted({0, 1, 2, *passfds})
            for before, after in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
                os.closerange(before + 1, after)
            exec(args[-1], {})
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)

    util.spawnv_passfds = fork
    try:
        start_fork_server()
    finally:
        util.spawnv_passfds = start
