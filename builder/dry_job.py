"""What the studies of a dry run share: what is asked for, where it would go, and workers that measure inputs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from itertools import batched
from typing import Final

from builder.errors import WorkerDied
from builder.estimate import Measured, MeasureTask
from builder.job import AHEAD, BuildRequest, Progress, run_tasks
from builder.list_sizes import Encode, ListCounter
from builder.model import Rejected
from builder.roots import Roots
from builder.tasks import measure_instances

# Instances that one task looks at without frames.
_BATCH: Final = 8


class Job:
    """A dry run under way. Several threads may use it, one for each study."""

    def __init__(
        self, request: BuildRequest, roots: Roots, encode: Encode, executor: Executor, progress: Progress
    ) -> None:
        self.request = request
        self.roots = roots
        self.encode = encode
        self._executor = executor
        self._progress = progress
        self._lock = threading.Lock()
        self._closed = False

    def lists(self, study: str) -> ListCounter:
        """Counts the lists below the root of a study."""
        base_url = self.roots.base_url(study, self.request.options.base_url)
        return ListCounter(self.roots.of(study), base_url, self.encode)

    def step(self) -> None:
        """An input is done with."""
        with self._lock:
            self._progress.step()

    def close(self) -> None:
        """Begin no more tasks: nobody waits for them any more."""
        self._closed = True

    def measure(self, tasks: Sequence[MeasureTask]) -> Iterator[tuple[int, Measured | Rejected]]:
        """The index of each task with its result, as they finish. With frames each is done by itself."""
        size = 1 if any(task.frames for task in tasks) else _BATCH
        batches = ((places, [tasks[place] for place in places]) for places in batched(range(len(tasks)), size))
        window = self.request.workers * AHEAD
        for places, future in run_tasks(self._executor, measure_instances, self._until_closed(batches), window):
            yield from zip(places, self._results([tasks[place] for place in places], future), strict=True)

    def _until_closed[T](self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if self._closed:
                raise CancelledError
            yield item

    def _results(
        self, tasks: list[MeasureTask], future: Future[list[Measured | Rejected]]
    ) -> list[Measured | Rejected]:
        """A worker's results; if its process died, each task is tried by itself."""
        try:
            return future.result()
        except WorkerDied as error:
            if len(tasks) == 1:
                uids = tasks[0].uids
                return [Rejected(str(tasks[0].source), str(error), uids.study, uids.series, uids.instance)]
        alone = [(task, self._executor.submit(measure_instances, [task])) for task in tasks]
        return [result for task, done in alone for result in self._results([task], done)]
