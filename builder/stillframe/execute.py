"""Running tasks: one `concurrent.futures.Executor`, serial or over processes, and how it is kept busy.

A native library can crash its process. The process executor survives that: it starts a new pool, runs the tasks that
were under way once more, each alone, and fails only the one whose process dies again. Where that one was a batch,
`run_batches` has each of its members tried by itself. A task for which there is no memory counts as one whose process
died. What the machine lacks to start threads and processes ends the job: no task is at fault.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    wait,
)
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, override

from stillframe.errors import NO_MEMORY, MachineError, WorkerDied, free_reserve, has_memory, machine_fault
from stillframe.process_start import starting
from stillframe.worker_process import PRELOADED, new_pool, open_log, prepare_process, run_task, start_fork_server

AHEAD: Final = 3
"""Tasks under way at once for every worker: enough to keep it busy, few enough to keep results in memory few."""

# Seconds until somebody looks again whether idle workers are wanted.
_SOON: Final = 0.02
# Seconds after which somebody is told that nothing has ended.
_LONG: Final = 1.0
# Address space that the libraries take which every task needs (numpy, its BLAS, pydicom, codecs): 190 MB were measured.
_IMPORTED_BYTES: Final = 192 << 20
# Times that a process is started while the server of workers is ending, and the seconds between them.
_STARTS: Final = 20
_PAUSE: Final = 0.1

TOO_LARGE: Final = "it needs more memory than a process has on this machine"
PROCESS_DIED: Final = "the process that worked on it died (a crash in a native library, or no memory)"
"""Why a task failed that is to blame for it."""


class SerialExecutor(Executor):
    """Runs every task at once in the calling thread."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the task and return its finished future.

        Raises:
            MachineError: if there is no memory for any task.
        """
        future: Future[T] = Future()
        with _interrupts_deferred():
            if "numpy" not in sys.modules and not has_memory(_IMPORTED_BYTES):
                free_reserve()
                raise MachineError(NO_MEMORY)  # the library would end this process, and say nothing
            for name in PRELOADED:
                import_module(name)  # an extension module cut off while it is imported may fail with another error
        try:
            future.set_result(fn(*args, **kwargs))
        except MemoryError:
            future.set_exception(WorkerDied(TOO_LARGE) if has_memory() else MachineError(NO_MEMORY))
        except Exception as error:
            future.set_exception(error)
        return future


class WorkersExecutor(Executor):
    """An executor whose tasks run in other processes, which can be ended."""

    @abstractmethod
    def end_processes(self) -> None:
        """End the worker processes at once, whatever they work on; every task under way fails."""


class WorkersElsewhere(WorkersExecutor):
    """An executor whose workers may be on other machines."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many tasks its workers run at once."""

    @abstractmethod
    def submit_first[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `submit`, before all that was submitted so and that no worker has yet."""


class ProcessExecutor(WorkersExecutor):
    """Worker processes that may die without taking the job along.

    A task whose process dies twice, the second time with no other task beside it, fails with `WorkerDied`. Tasks must
    therefore be safe to run twice. Where the machine lets no thread or process start, every task fails with
    `MachineError`.

    Raises:
        MachineError: if the machine lacks what processes need.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        self._ended = False
        self._under_way: set[Future[Any]] = set()
        self._hook = threading.excepthook
        with starting():
            self._log = open_log()
            try:
                self._pool = new_pool(workers, self._log)
            except BaseException:
                self._log.close()
                raise
        self._environment = dict(os.environ)
        threading.excepthook = self._give_up

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule a task; its future ends with the result, the task's exception, `WorkerDied` or `MachineError`.

        Raises:
            MachineError: if the machine lets no process start.
        """
        outer: Future[T] = Future()
        outer.set_running_or_notify_cancel()
        self._under_way.add(outer)
        outer.add_done_callback(self._under_way.discard)
        inner = self._submit(fn, *args, **kwargs)

        def settle(done: Future[T]) -> None:
            if done.cancelled():  # by a shutdown while the job is being stopped
                fail(outer, CancelledError())
            elif isinstance(done.exception(), BrokenProcessPool | MemoryError) and not self._ended:
                # Not here: this thread belongs to the broken pool.
                try:
                    threading.Thread(target=self._again, args=(outer, fn, args, kwargs), daemon=True).start()
                except RuntimeError as error:
                    fail(outer, MachineError(machine_fault(error) or str(error)))
            else:
                _copy(done, outer)

        inner.add_done_callback(settle)
        return outer

    def _submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        with self._lock, _interrupts_deferred(), starting():
            start_fork_server()
            try:
                return self._pool.submit(run_task, self._environment, fn, *args, **kwargs)
            except BrokenProcessPool:
                return _persistently(partial(self._submit_anew, fn, *args, **kwargs))

    def _submit_anew(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        self._pool.shutdown(wait=False)
        self._pool = new_pool(self._workers, self._log)
        return self._pool.submit(run_task, self._environment, fn, *args, **kwargs)

    def _lone_pool(self) -> ProcessPoolExecutor:
        """A pool of one process, which lives before it has a task."""
        pool = new_pool(1, self._log)
        try:
            with self._lock:
                start_fork_server()
            pool.submit(run_task, self._environment, has_memory).result()
        except BaseException:
            pool.shutdown()
            raise
        return pool

    def _again(self, outer: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Run a task that was under way when a process died, alone in a process of its own."""
        try:
            with self._alone, starting(), _persistently(self._lone_pool) as pool:
                _copy(pool.submit(run_task, self._environment, fn, *args, **kwargs), outer)
        except BaseException as error:  # whatever happens here must reach the waiting caller
            fail(outer, error)

    def _give_up(self, failure: threading.ExceptHookArgs) -> None:
        """A thread ended with an error: no task may wait for it any more."""
        name = failure.exc_type.__name__
        fault = machine_fault(failure.exc_value) if failure.exc_value else ""
        fault = fault or f"a thread of this job ended early ({name}), and what it had begun is lost: build again"
        for future in list(self._under_way):
            fail(future, MachineError(fault))
        self.end_processes()
        other = getattr(self._hook, "__self__", None)
        if isinstance(other, ProcessExecutor):  # one that was made before this one: the thread may have been its own
            other._give_up(failure)

    @override
    def end_processes(self) -> None:
        self._ended = True
        for process in multiprocessing.active_children():
            process.terminate()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the worker processes."""
        threading.excepthook = self._hook
        try:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
        except RuntimeError:  # its thread never started, and nothing else ends its processes
            self.end_processes()
        self._log.close()


def _persistently[T](start: Callable[[], T]) -> T:
    """What `start` returns. A server of workers that was killed refuses connections before it counts as ended."""
    for _ in range(_STARTS - 1):
        with suppress(ConnectionError):
            return start()
        time.sleep(_PAUSE)
    return start()


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block: a process half started could not be ended, and would
    complain. Who ignores one of them ignores it here, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = {number: handler for number, handler in previous.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _copy(inner: Future[Any], outer: Future[Any]) -> None:
    """Wait for the inner future, and end the outer one as it ended."""
    error = inner.exception()
    if isinstance(error, BrokenProcessPool):
        fail(outer, WorkerDied(PROCESS_DIED))
    elif isinstance(error, MemoryError):
        fail(outer, WorkerDied(TOO_LARGE))
    elif error is not None:
        fail(outer, error)
    else:
        with suppress(InvalidStateError):
            outer.set_result(inner.result())


def fail(future: Future[Any], error: BaseException) -> None:
    """End a future with an error, unless it has ended."""
    with suppress(InvalidStateError):
        future.set_exception(error)


def end_processes(executor: Executor) -> None:
    """End at once what an executor has under way in other processes."""
    if isinstance(executor, WorkersExecutor):
        executor.end_processes()


def make_executor(workers: int) -> Executor:
    """An executor over that many processes, or the serial one for 0."""
    prepare_process()
    return SerialExecutor() if workers == 0 else ProcessExecutor(workers)


type Batch[K, A] = Sequence[tuple[K, A]]
"""Tasks that one worker runs together, each with a tag that comes back with its result."""


@dataclass(frozen=True, slots=True)
class Onlooker[K, A]:
    """Who is told of batches under way: once none is to come, whenever there is nothing else to do (`on_idle`, which
    says whether it wants to be asked again soon); and whenever none of them has ended for a second (`on_wait`).
    """

    on_idle: Callable[[Iterable[Batch[K, A]]], bool]
    on_wait: Callable[[Iterable[Batch[K, A]]], None]


def run_batches[K, A, T](
    executor: Executor,
    work: Callable[[Sequence[A]], list[T]],
    batches: Iterable[Batch[K, A]],
    window: int,
    pending: dict[Future[list[T]], Batch[K, A]] | None = None,
    onlooker: Onlooker[K, A] | None = None,
) -> Iterator[list[tuple[K, T | WorkerDied]]]:
    """Run batches of tasks with at most `window` of them under way; tags and results of each, as they finish.

    Where the process of a batch died, each of its tasks is tried by itself. The result of one whose process dies again
    is that death. Batches under way stand in `pending`, which is left to whoever gives up. The `onlooker` is told of
    them.
    """
    pending = {} if pending is None else pending
    soon, quiet = False, time.monotonic()

    def submit(batch: Batch[K, A]) -> None:
        pending[executor.submit(work, [argument for _, argument in batch])] = batch

    def take_finished() -> Iterator[list[tuple[K, T | WorkerDied]]]:
        nonlocal quiet
        done = {future for future in pending if future.done()}
        done = done or wait(pending, _SOON if soon else _LONG if onlooker else None, FIRST_COMPLETED).done
        if done:
            quiet = time.monotonic()
        elif onlooker is not None and time.monotonic() - quiet >= _LONG:
            onlooker.on_wait(pending.values())
            quiet = time.monotonic()
        for future in done:
            batch, died = pending.pop(future), future.exception()
            if not isinstance(died, WorkerDied):
                yield [(tag, result) for (tag, _), result in zip(batch, future.result(), strict=True)]
            elif len(batch) == 1:
                yield [(batch[0][0], died)]
            else:
                for task in batch:
                    submit([task])

    for batch in batches:
        submit(batch)
        while len(pending) >= window:
            yield from take_finished()
    while pending:
        soon = onlooker is not None and onlooker.on_idle(pending.values())
        yield from take_finished()
