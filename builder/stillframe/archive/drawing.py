"""Thumbnails are drawn where the libraries are, and foreign codestreams in a sandbox: in processes of their own.

Whoever writes lists imports no numpy for that. The processes are beside those of a job, so that no list waits for the
images behind it. They start with the first thumbnail. Where a job has workers elsewhere, these draw, before what else
waits for them: they have the libraries loaded by then. A drawing that is lost with its worker is made on this machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from stillframe.dicom.json_model import JSONDataset
from stillframe.errors import CannotDraw, MachineError, WorkerDied, WorkersLost
from stillframe.execute import WorkersElsewhere, end_processes, fail, make_executor
from stillframe.options import DecoderLimits
from stillframe.store.base import Store

type Draw = Callable[[Store, JSONDataset], bytes | None]
"""The thumbnail of an instance, from the store that holds it and its metadata; None if nothing can be drawn of it."""

_DEFAULT: Final = DecoderLimits()


def draw_here(store: Store, metadata: JSONDataset, limits: DecoderLimits = _DEFAULT) -> bytes | None:
    """Draw a thumbnail in this process.

    Raises:
        StoreError: if the store fails.
    """
    from stillframe.archive.pictures import read_thumbnail

    try:
        return read_thumbnail(store, metadata, limits)
    except CannotDraw:
        return None


def _draw_timed(store: Store, metadata: JSONDataset, limits: DecoderLimits) -> tuple[bytes | None, float]:
    """A thumbnail, and the CPU seconds that it took."""
    from stillframe.sandbox import cpu_time

    started = cpu_time()
    return draw_here(store, metadata, limits), cpu_time() - started


def _stopped() -> MachineError:
    return MachineError("the job ended before a thumbnail was drawn")


class Drawer:
    """Draws thumbnails for whoever calls it, from any thread. Its context ends the processes.

    With 0 workers it draws in this process. Workers `elsewhere` come first, where a job has some. `apart` says whether
    it does not draw in this process. `seconds` are those of the processor.
    """

    def __init__(
        self, workers: int, limits: DecoderLimits = _DEFAULT, elsewhere: WorkersElsewhere | None = None
    ) -> None:
        self.apart = workers > 0 or elsewhere is not None
        self._elsewhere = elsewhere
        self._workers = workers
        self._limits = limits
        self._lock = threading.Lock()
        self._under_way: set[Future[tuple[bytes | None, float]]] = set()
        self._given_up = False
        self._executor: Executor | None = None
        self.seconds = 0.0

    def __call__(self, store: Store, metadata: JSONDataset) -> bytes | None:
        """See `Draw`; of a frame that ends its process nothing can be drawn.

        Raises:
            FailedJob: if the store or the machine fails, or it is given up.
        """
        if self._given_up:
            raise _stopped()
        try:
            picture, seconds = self._draw_apart(store, metadata)
        except WorkerDied:
            return None
        with self._lock:
            self.seconds += seconds
        return picture

    def _draw_apart(self, store: Store, metadata: JSONDataset) -> tuple[bytes | None, float]:
        """A thumbnail, and the CPU seconds that it took.

        Raises:
            WorkerDied: if its frame ends the process that draws it.
        """
        if self._elsewhere is not None:
            with suppress(WorkersLost):  # which tells nothing of the frame
                return self._result(self._elsewhere.submit_first(_draw_timed, store, metadata, self._limits))
        return self._result(self._own_executor().submit(_draw_timed, store, metadata, self._limits))

    def _result(self, future: Future[tuple[bytes | None, float]]) -> tuple[bytes | None, float]:
        """What comes of a drawing, unless it is given up before."""
        with self._lock:
            self._under_way.add(future)
            given_up = self._given_up
        if given_up:
            fail(future, _stopped())
        try:
            return future.result()
        finally:
            with self._lock:
                self._under_way.discard(future)

    def give_up(self) -> None:
        """Let every call fail from now on, also those that wait for a drawing."""
        with self._lock:
            self._given_up = True
            under_way = list(self._under_way)
        for future in under_way:
            fail(future, _stopped())

    def _own_executor(self) -> Executor:
        with self._lock:
            if self._executor is None:
                self._executor = make_executor(self._workers)
            return self._executor

    def close(self) -> None:
        """End the processes, but for those elsewhere, which are the job's."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._executor is not None:
            end_processes(self._executor)
        self.close()
