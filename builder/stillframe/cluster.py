"""Tasks on a Dask cluster: a `concurrent.futures.Executor` over the client of its scheduler.

Dask spreads tasks over its workers and gives those of a lost worker to others; what a task is and how it runs stays
ours (`cluster_worker`). A worker gets tasks once it was looked at: it has the same versions as this machine, and sees
the same folders and stores. A scheduler that is lost ends the job.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final, override

from stillframe.cluster_worker import admit, ask_worker, do_task, end_job, installed_versions, topic_of
from stillframe.errors import MachineError, StillframeError, UsageError, WorkersLost
from stillframe.execute import WorkersElsewhere, fail
from stillframe.task_process import pack_task, unpack_answer
from stillframe.wait_log import waiting

type DaskFuture = Any
type DaskClient = Any
"""Dask's annotations are those of a few of its functions."""

type AskWorkers = Callable[..., dict[str, Any]]
"""Runs a function with its arguments once at each of some workers; the result of each by its address. Raises
`MachineError` that names the worker where one fails."""

_LOGGER: Final = logging.getLogger("stillframe.cluster")
_CONNECT_SECONDS: Final = 30.0
# How long a scheduler may take to answer, and its workers to be looked at; how long none may be there.
_ANSWER_SECONDS: Final = 60.0
_ADMIT_SECONDS: Final = 120.0
_NO_WORKER_SECONDS: Final = 300.0
# After how long a worker that others wait for counts as silent, and how many such are named.
_SILENT_SECONDS: Final = 5.0
_NAMED: Final = 3
_LOOK_SECONDS: Final = 1.0
_LIBRARIES: Final = ("distributed", "tornado")
# What is asked of a cluster that is being left.
_LEAVE_SECONDS: Final = 5.0


class ClusterExecutor(WorkersElsewhere):
    """The workers of a Dask scheduler.

    A task that ends its process twice fails with `WorkerDied`, and one during which the cluster loses as many workers
    as its scheduler allows (`distributed.scheduler.allowed-failures`) with `WorkersLost`. Tasks must therefore be safe
    to run twice. Where the scheduler is lost, or a worker does not fit, every task fails with `MachineError`.
    """

    def __init__(self, address: str, check: Callable[[AskWorkers], None] | None = None) -> None:
        """Connect, wait for a worker, and look at all that are there.

        Args:
            address: of the scheduler.
            check: asks new workers what they have to see, and raises `MachineError` or `StoreError` if they do not.

        Raises:
            UsageError: if Dask is not installed, or that is no address.
            MachineError: if the scheduler does not answer, or a worker does not fit.
        """
        self.address = address
        self._check = check
        self._job = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._workers: dict[str, int] = {}
        self._missing_since = time.monotonic()
        self._lock = threading.Lock()
        self._failure: StillframeError | None = None
        self._under_way: dict[Future[Any], DaskFuture] = {}
        self._stopped = threading.Event()
        self._client: DaskClient = _connect(address)
        try:
            self._client.subscribe_topic(topic_of(self._job), _log_event)
            self._look()
            with waiting(f"a worker of the scheduler {address}"):
                while not self._workers:
                    self._stopped.wait(_LOOK_SECONDS)
                    self._look()
        except BaseException:
            self._leave()
            raise
        threading.Thread(target=self._watch, name="cluster", daemon=True).start()

    @property
    @override
    def workers(self) -> int:
        return sum(self._workers.values())

    @override
    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule a task; its future ends with the result, the task's exception, `WorkerDied` or `MachineError`.

        Raises:
            MachineError: if the cluster failed.
        """
        return self._schedule(0, fn, args, kwargs)

    @override
    def submit_first[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._schedule(1, fn, args, kwargs)

    def _schedule(
        self, priority: int, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Future[Any]:
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        task = pack_task(fn, args, kwargs, os.path.abspath(os.curdir))  # noqa: PTH100  (as a shell names it)
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._under_way[outer] = None
        key = f"{topic_of(self._job)}-{next(self._numbers)}"  # equal tasks are run as often as they are submitted
        inner = self._client.submit(do_task, self._job, task, key=key, pure=False, retries=0, priority=priority)
        with self._lock:
            if outer in self._under_way:
                self._under_way[outer] = inner
        inner.add_done_callback(partial(self._settle, outer))
        return outer

    def _settle(self, outer: Future[Any], inner: DaskFuture) -> None:
        """End a future as the one of Dask ended."""
        try:
            answer = inner.result(timeout=_ANSWER_SECONDS)
        except TimeoutError as error:
            if inner.done():
                self._end(outer, self._explain(error))
            else:  # its result went with a worker, and is made again
                inner.add_done_callback(partial(self._settle, outer))
            return
        except BaseException as error:
            self._end(outer, self._explain(error))
            return
        try:
            result = unpack_answer(answer)
        except Exception as error:
            self._end(outer, error)
        else:
            self._end(outer, None, result)

    def _explain(self, error: BaseException) -> StillframeError:
        """What an error of Dask's means for the task."""
        from distributed import KilledWorker

        if self._failure is not None:
            return self._failure
        if isinstance(error, KilledWorker):
            return WorkersLost(f"the workers that worked on it were lost, {error.allowed_failures + 1} of them")
        if isinstance(error, CancelledError | OSError):
            return MachineError(_lost(self.address))
        return MachineError(f"a worker of {self.address} cannot do its tasks: {type(error).__name__}: {error}")

    def _end(self, outer: Future[Any], error: BaseException | None, result: Any = None) -> None:
        with self._lock:
            inner = self._under_way.pop(outer, None)
        if inner is not None:
            inner.release()
        if error is not None:
            fail(outer, error)
        else:
            with suppress(InvalidStateError):
                outer.set_result(result)

    def _watch(self) -> None:
        """See that the scheduler is there, and look at workers that come later."""
        while not self._stopped.wait(_LOOK_SECONDS):
            try:
                self._look()
            except Exception as error:
                if not self._stopped.is_set():
                    self._give_up(error if isinstance(error, StillframeError) else MachineError(str(error)))
                return

    def _look(self) -> None:
        """Look at the workers that are there.

        Raises:
            MachineError: if the scheduler is lost, a new worker does not fit, or none is there for long.
        """
        now = time.monotonic()
        there = self._look_for_lost()
        fit = self._admit([address for address in there if address not in self._workers])
        with self._lock:
            self._workers = self._workers | {address: there[address] for address in fit}
        if self._workers:
            self._missing_since = time.monotonic()
        elif now - self._missing_since >= _NO_WORKER_SECONDS:
            raise MachineError(
                f"the scheduler {self.address} has had no worker for {_NO_WORKER_SECONDS:.0f} s: start some, then "
                "build again"
            )

    def _look_for_lost(self) -> dict[str, int]:
        """The workers that are there, and how many tasks each does at once. Those that are lost are told, each once.

        Raises:
            MachineError: if the scheduler is lost.
        """
        client = self._client
        if client.status != "running":
            raise MachineError(_lost(self.address))
        try:
            there: dict[str, int] = client.sync(client.scheduler.ncores, callback_timeout=_ANSWER_SECONDS)
        except (OSError, TimeoutError) as error:
            raise MachineError(_lost(self.address)) from error
        with self._lock:
            lost = self._workers.keys() - there.keys()
            self._workers = {address: there[address] for address in self._workers.keys() & there.keys()}
        for address in lost:
            _LOGGER.warning("worker %s is gone: what it had begun is left to the others", address)
        return there

    def _admit(self, addresses: list[str]) -> set[str]:
        """Look at new workers, and let them do tasks; those that are there still."""
        if not addresses:
            return set()
        ours = installed_versions()
        there = self._run(addresses, installed_versions)
        for address, versions in there.items():
            if isinstance(versions, Exception):
                raise MachineError(
                    f"worker {address} cannot load this Stillframe ({ours['Stillframe']}): install the same version "
                    f"there ({type(versions).__name__}: {versions})"
                ) from versions
            if differences := version_differences(ours, versions):
                raise MachineError(f"worker {address} would not make the same bytes: {differences}")
        if self._check is not None:
            self._check(partial(self._ask, list(there)))
        return set(self._run(list(there), admit, self._job))

    def _ask(self, addresses: list[str], fn: Callable[..., Any], /, *args: Any) -> dict[str, Any]:
        """See `AskWorkers`."""
        task = pack_task(fn, args, {}, os.path.abspath(os.curdir))  # noqa: PTH100  (as above)
        results: dict[str, Any] = {}
        for address, answer in self._run(addresses, ask_worker, self._job, task).items():
            try:
                if isinstance(answer, Exception):
                    raise answer
                results[address] = unpack_answer(answer)
            except Exception as error:
                raise MachineError(f"worker {address}: {error}") from error
        return results

    def _run(self, addresses: list[str], fn: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """What a function returns or raises in workers; those that are gone are left out."""
        run = partial(self._client.run, fn, *args, workers=addresses, on_error="return")
        try:
            results: dict[str, Any] = _within(_ADMIT_SECONDS, run, f"the workers of {self.address} do not answer")
        except MachineError as error:
            silent = [*islice(filter(self._is_silent, addresses), _NAMED)]
            if not silent:
                raise
            raise MachineError(
                f"worker {', worker '.join(silent)} of the scheduler {self.address} does not answer: end it, or start "
                "it anew, then build again"
            ) from error
        return {address: result for address, result in results.items() if not isinstance(result, OSError)}

    def _is_silent(self, address: str) -> bool:
        """Whether a worker does not even say its number."""
        ask = partial(self._client.run, os.getpid, workers=[address], on_error="return")
        try:
            _within(_SILENT_SECONDS, ask, "")
        except MachineError:
            return True
        return False

    def _give_up(self, failure: StillframeError) -> None:
        """Nothing more comes of this cluster: no task may wait for it."""
        with self._lock:
            self._failure = self._failure or failure
            waiting = list(self._under_way)
        for future in waiting:
            self._end(future, failure)

    @override
    def end_processes(self) -> None:
        self._stopped.set()
        self._give_up(MachineError("the job was ended"))
        self._leave()

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster. Its workers stay; their processes for this job end."""
        if wait and not cancel_futures:
            with self._lock:
                inner = [future for future in self._under_way if not future.done()]
            for future in inner:
                future.exception()
        self._stopped.set()
        try:
            if not self._under_way and self._failure is None:  # all is done; what was lost since is told, too
                with suppress(Exception):
                    _within(_LEAVE_SECONDS, self._look_for_lost, "")
        finally:
            self._give_up(MachineError("the job was ended"))
            self._leave()

    def _leave(self) -> None:
        client = self._client
        if client.status == "running":
            with suppress(Exception):  # whatever a cluster says that is left
                _within(_LEAVE_SECONDS, partial(client.run, end_job, self._job, on_error="ignore"), "")
        with suppress(Exception):
            _within(_LEAVE_SECONDS, partial(client.close, timeout=_LEAVE_SECONDS), "")


def _lost(address: str) -> str:
    return f"the scheduler {address} is lost: see that it runs, then build again"


def version_differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Which versions of a worker are others than ours, in words; empty if none is."""
    return "; ".join(
        f"it has {name} {theirs.get(name) or 'not at all'}, this machine {version or 'not at all'}"
        for name, version in ours.items()
        if theirs.get(name, "") != version
    )


def check_dask() -> None:
    """See that Dask is installed.

    Raises:
        UsageError: if it is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--scheduler needs Dask: install the extra dask, as pip install '.[dask]' does in a checkout"
        ) from error


def _connect(address: str) -> DaskClient:
    """A client of the scheduler.

    Raises:
        UsageError: if Dask is not installed, or that is no address.
        MachineError: if nobody answers.
    """
    check_dask()
    import distributed

    for name in [name for name in logging.root.manager.loggerDict if name.startswith(_LIBRARIES)]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what counts of it, this module says
    warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)  # `_admit` compares
    client: Any = distributed.Client
    with waiting(f"the scheduler {address}") as wait:
        wait.limit = _CONNECT_SECONDS
        try:
            asyncio.run(asyncio.wait_for(_greet(address), _CONNECT_SECONDS))  # Dask waits for a greeting for ever
            return client(address, timeout=_CONNECT_SECONDS, set_as_default=False, name="stillframe")
        except (OSError, MemoryError) as error:  # another server's answer may look like the size of one
            reason = "see that it runs, and that its port is open"
            raise MachineError(f"no scheduler answers at {address}: {reason}") from error
        except (ValueError, ImportError, RuntimeError) as error:
            raise UsageError(f"{address} cannot be the address of a scheduler: {error}") from error


async def _greet(address: str) -> None:
    """Shake hands with a scheduler: a client that finds none would wait for minutes, and complain when it is dropped.

    Raises:
        OSError: if nobody answers.
        ValueError, ImportError, RuntimeError: if that is no address.
    """
    from distributed.comm import core
    from distributed.security import Security

    security: Any = Security()  # type: ignore[no-untyped-call]
    connect: Any = core.connect
    comm = await connect(address, timeout=_CONNECT_SECONDS, **security.get_connection_args("client"))
    await comm.close()


def _log_event(event: tuple[float, tuple[str, int, str]]) -> None:
    """Log what a worker logged."""
    name, level, text = event[1]
    logging.getLogger(name).log(level, "%s", text)


def _within[T](seconds: float, function: Callable[[], T], otherwise: str) -> T:
    """What a function returns, which may have to wait for a cluster.

    Raises:
        MachineError: saying what is `otherwise`, if it takes longer.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="cluster-request", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise MachineError(otherwise) from error
