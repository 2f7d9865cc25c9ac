"""What the workers of a Dask cluster do for a job: they hand its tasks to processes of their own, and tell of deaths.

A task never runs in the worker itself. So a crash ends neither the worker nor the tasks beside it, is seen at once, and
costs a second instead of a restart; and what decodes has the sandbox that it has in a local job (`task_process`).
"""

from __future__ import annotations

import asyncio
import logging
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from stillframe import __version__
from stillframe.errors import MachineError, WorkerDied
from stillframe.execute import PROCESS_DIED, TOO_LARGE
from stillframe.task_process import NO_ROOM, TaskProcess, pack_failure
from stillframe.task_server import TaskServer

LIBRARIES: Final = (
    "pydicom",
    "numpy",
    "imagecodecs",
    "ojph",
    "pylibjpeg-openjpeg",
    "pyjpegls",
    "python-gdcm",
)
"""Libraries on which the bytes of an archive depend."""

# How long a task waits until its job has looked at this worker.
_ADMISSION_SECONDS: Final = 120.0
_LOGGER: Final = "stillframe.cluster"


def topic_of(job: str) -> str:
    """The topic of events under which workers tell a job what they log."""
    return f"stillframe-{job}"


class _Job:
    """The processes that a job has at this worker."""

    def __init__(self) -> None:
        self.admitted = threading.Event()
        self.address = ""
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[TaskProcess] = []
        self._busy: set[TaskProcess] = set()
        self._tell: Callable[[str, int, str], None] = lambda *_: None
        self._server = TaskServer(lambda *line: self._tell(*line))

    def tell_through(self, worker: Any, topic: str) -> None:
        """Have the worker tell the job what is logged from now on."""
        self.address = worker.address
        self._tell = lambda *line: worker.log_event(topic, line)

    def answer_once_admitted(self, task: bytes) -> bytes:
        """As `answer`, once the job has looked at this worker."""
        if not self.admitted.wait(_ADMISSION_SECONDS):
            return pack_failure(MachineError("the job has not looked at a worker that was given a task"))
        return self.answer(task)

    def answer(self, task: bytes) -> bytes:
        """The answer to a task; a failure, if there is none."""
        _close_idle()
        try:
            return self._relay(task)
        except Exception as error:
            return pack_failure(error)

    def _relay(self, task: bytes) -> bytes:
        """The answer to a task (`task_process`). One that ends its process is tried once more in another."""
        for last in (False, True):
            answer = self._try(task)
            if answer not in (b"", NO_ROOM):
                break
            if self.ended.is_set():
                return pack_failure(MachineError("the job was ended"))
            what = "had no memory for its task" if answer else "died"
            then = "it is given up there" if last else "it is begun again there"
            self._tell(_LOGGER, logging.WARNING, f"a process of worker {self.address} {what}: {then}")
        else:
            return pack_failure(WorkerDied(TOO_LARGE if answer else PROCESS_DIED))
        return answer

    def _try(self, task: bytes) -> bytes:
        """The answer; empty if the process ended before."""
        process = self._take()
        try:
            answer = process.run(task)
        except (OSError, EOFError):
            answer = b""
        with self._lock:
            self._busy.discard(process)
            if answer not in (b"", NO_ROOM) and not self.ended.is_set():
                self._idle.append(process)
                return answer
        process.close()
        return answer

    def _take(self) -> TaskProcess:
        if self.ended.is_set():
            raise MachineError("the job was ended")
        self.close_idle()
        with self._lock:
            process = self._idle.pop() if self._idle else None
            if process is not None:
                self._busy.add(process)
        if process is None:
            process = self._server.start_process()
            with self._lock:
                self._busy.add(process)
        if self.ended.is_set():
            self._server.close()  # it may have been started meanwhile
            process.end()
        return process

    def close_idle(self) -> None:
        """End the processes that had nothing to do for long."""
        with self._lock:
            stale = [process for process in self._idle if not process.is_fresh()]
            self._idle = [process for process in self._idle if process not in stale]
        for process in stale:
            process.close()
        self._server.forget_ended()

    def end(self) -> None:
        """End all processes, whatever they do."""
        with self._lock:
            self.ended.set()
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        self._server.close()
        for process in idle:
            process.close()
        for process in busy:
            process.end()


async def _in_thread[T](function: Callable[[], T]) -> T:
    """What a function returns, in a thread that does not keep the worker from ending. The worker's own answers others
    meanwhile.
    """
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[T] = loop.create_future()

    def take(result: T) -> None:
        if not coming.done():
            coming.set_result(result)

    def run() -> None:
        result = function()
        with suppress(RuntimeError):  # the worker has ended
            loop.call_soon_threadsafe(take, result)

    threading.Thread(target=run, name="stillframe-task", daemon=True).start()
    return await coming


_jobs: dict[str, _Job] = {}
_jobs_lock = threading.Lock()


def _job(name: str) -> _Job:
    with _jobs_lock:
        return _jobs.setdefault(name, _Job())


def _close_idle() -> None:
    """End what has nothing to do, also of jobs whose own process was killed."""
    with _jobs_lock:
        jobs = list(_jobs.values())
    for job in jobs:
        job.close_idle()


def installed_versions() -> dict[str, str]:
    """Versions of what decides which bytes this process makes; empty for what is absent."""
    found = {"Stillframe": __version__, "Python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


async def ask_worker(job: str, task: bytes, dask_worker: Any) -> bytes:
    """The answer to a task that is none of the scheduler's, from a process of the worker."""
    known = _job(job)
    known.tell_through(dask_worker, topic_of(job))
    return await _in_thread(partial(known.answer, task))


def admit(job: str, dask_worker: Any) -> None:
    """Let the worker do tasks of a job from now on, which has looked at it."""
    known = _job(job)
    known.tell_through(dask_worker, topic_of(job))
    known.admitted.set()


async def do_task(job: str, task: bytes) -> bytes:
    """The answer to a task of the scheduler's.

    None of Dask's own threads waits for it: these are looked into a hundred times a second while they have a task
    (`distributed.worker.profile`).
    """
    return await _in_thread(partial(_job(job).answer_once_admitted, task))


async def end_job(job: str) -> None:
    """End the processes of a job."""
    await _in_thread(_job(job).end)
