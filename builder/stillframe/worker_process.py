"""Worker processes: how the server that forks them is started, what each does before its first task, and how a task
is run in one.

A worker is forked from a process that has imported everything, without the variables of the job: it gets these with its
tasks, once the starter of its sandbox (`sandbox`) runs.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import re
import select
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Final, override

from stillframe.errors import NO_MEMORY, MachineError, has_memory, machine_fault
from stillframe.process_start import prepare_start
from stillframe.sandbox import start_starter

PRELOADED: Final = ("stillframe.build.instance", "stillframe.source.scan")
"""What tasks import, where they run."""

# What this package logs, in workers as elsewhere.
_LOGGER: Final = "stillframe"
# What the fork server needs of the environment. Sandboxes have its environment, so it gets no secrets, whatever they
# are called; workers get the rest with their tasks, when the starter of their sandboxes runs.
_KEPT_VARIABLES: Final = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|(PYTHON|COVERAGE_|COV_CORE_|LD_|DYLD_|MALLOC_|OMP_|OPENBLAS_)\w+"
)
# M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (the most that there is) and M_ARENA_MAX of <malloc.h>.
_MALLOC: Final = {-1: 128 << 20, -3: 32 << 20, -8: 1}
# Objects made, less those let go of, until cycles are looked for among them: the metadata of some 50 images.
_OBJECTS_BETWEEN_LOOKS: Final = 20_000
# How long a worker stays that can do nothing but say so.
_UNFIT_SECONDS: Final = 15.0


def new_pool(workers: int, log: Connection) -> ProcessPoolExecutor:
    """A pool whose processes never inherit threads or open files from this one.

    The fork server loads the libraries once; every worker is forked from it, already warm.
    """
    prepare_start()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return ProcessPoolExecutor(workers, mp_context=context, initializer=prepare_worker, initargs=(log,))


def start_fork_server() -> None:
    """Start the server that forks the workers, unless it runs.

    Ctrl-C reaches every process of a terminal. The job's own decides what becomes of the others: they inherit that it
    is blocked. In this one it only waits.
    """
    resource_tracker.ensure_running()  # it unblocks the signal, so it comes first
    if _fork_server_runs():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _withheld_variables():
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fork_server_runs() -> bool:
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    return pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def few_variables() -> dict[str, str]:
    """What of the environment a process needs in order to start."""
    return {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}


@contextmanager
def _withheld_variables() -> Iterator[None]:
    """Show a process that is started in the block only the variables that it needs."""
    kept = few_variables()
    withheld = {name: value for name, value in os.environ.items() if name not in kept}
    for name in withheld:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(withheld)


def _log(logger: str, level: int, message: str) -> None:
    logging.getLogger(logger).log(level, "%s", message)


def open_log(tell: Callable[[str, int, str], None] = _log) -> Connection:
    """Where workers write what they log, to have it logged in this process; closed when no more workers start.

    `tell` gets the name of the logger, the level and the text instead.

    A line goes through a pipe at one stroke, so that a worker that is killed leaves no half of one and holds no lock.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    os.set_blocking(writer.fileno(), False)
    threading.Thread(target=_log_lines, args=(reader, tell), name="worker-logs", daemon=True).start()
    return writer


def _log_lines(reader: Connection, tell: Callable[[str, int, str], None]) -> None:
    """Tell what comes through the pipe, until the last worker has ended."""
    with reader, open(reader.fileno(), encoding="utf-8", errors="replace", closefd=False) as lines:
        for line in lines:
            name, level, message = line.rstrip("\n").split("\t", 2)
            tell(name, int(level), message)


class _PipeHandler(logging.Handler):
    """Writes a line for every record; one that finds the pipe full is lost: nobody waits in order to log."""

    def __init__(self, writer: Connection) -> None:
        super().__init__()
        self._writer = writer

    @override
    def emit(self, record: logging.LogRecord) -> None:
        message = " ".join(record.getMessage().split())
        line = f"{record.name}\t{record.levelno}\t{message}".encode()[: select.PIPE_BUF - 1]
        with suppress(OSError):
            os.write(self._writer.fileno(), line + b"\n")


_unfit: list[str] = []
"""Why this worker can do nothing, if it cannot: told by its tasks, since a worker that fails to start says nothing."""


def run_task[**P, T](environment: dict[str, str], fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """A task in its worker, in the environment of the job's process.

    Raises:
        MachineError: if the worker lacks what every task needs.
    """
    if _unfit:
        raise MachineError(_unfit[0])
    if not environment.items() <= os.environ.items():
        os.environ.update(environment)
    return fn(*args, **kwargs)


def prepare_worker(log: Connection) -> None:
    """Make this process, which has one thread and no secrets, a worker that logs through a pipe.

    What it lacks, its tasks tell.
    """
    try:
        prepare_process()
        for name in PRELOADED:
            import_module(name)  # where the fork server could not
        start_starter()  # before this process has threads, or variables that sandboxes must not see
        logger = logging.getLogger(_LOGGER)
        logger.setLevel(logging.INFO)
        logger.addHandler(_PipeHandler(log))
        # Decoders write to stderr what they think of a damaged frame, across the progress bar; the report has what
        # counts.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        threading.Thread(target=_exit_with_parent, daemon=True).start()
        if not has_memory():
            _unfit.append(NO_MEMORY)
    except (OSError, RuntimeError, MemoryError) as error:
        _unfit.append(machine_fault(error) or NO_MEMORY)
    if _unfit:
        signal.setitimer(signal.ITIMER_REAL, _UNFIT_SECONDS)  # SIGALRM ends it: without its thread nothing else may


def _exit_with_parent() -> None:
    """End this worker when the job's process is gone, killed perhaps: nothing else would, and it keeps its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _keep_freed_memory() -> None:
    """Have the C library keep what buffers of frames give back for the next ones, instead of giving it to the system.

    That was a sixth of a build. One arena is enough: threads take turns in what needs much (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, others may not
    if mallopt is not None:
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)


def prepare_process() -> None:
    """Keep what the libraries would log about odd files out of the terminal, and look for cycles seldom.

    Each odd file is in the report. Work leaves no cycles but where it fails (`instance.build_instance`), and looking
    for them among what stays took a tenth of a build.
    """
    _keep_freed_memory()
    gc.freeze()  # nothing that is there by now goes again
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
    for name in ("pydicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
