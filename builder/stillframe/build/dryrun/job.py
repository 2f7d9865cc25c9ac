"""What the studies of a dry run share: what is asked for, where it would go, and workers that measure inputs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from itertools import batched
from typing import Final

from stillframe.archive.roots import Roots
from stillframe.build.dryrun.estimate import Measured, MeasureTask
from stillframe.build.dryrun.list_sizes import Encode, ListCounter
from stillframe.build.request import BuildRequest
from stillframe.errors import WorkerDied
from stillframe.execute import AHEAD, run_batches
from stillframe.progress import Progress
from stillframe.source.inputs import Rejected

# Instances that one task looks at without frames.
_BATCH: Final = 8


def _measure_instances(tasks: Sequence[MeasureTask]) -> list[Measured | Rejected]:
    """What a worker does. The libraries are imported where it runs."""
    from stillframe.build.dryrun.measure import measure_instance

    return [measure_instance(task) for task in tasks]


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
        batches = ([(index, tasks[index]) for index in indices] for indices in batched(range(len(tasks)), size))
        window = self.request.workers * AHEAD
        for results in run_batches(self._executor, _measure_instances, self._until_closed(batches), window):
            for index, result in results:
                if isinstance(result, WorkerDied):
                    result = Rejected.of(tasks[index].source, result, tasks[index].uids)
                yield index, result

    def _until_closed[T](self, batches: Iterable[T]) -> Iterator[T]:
        for batch in batches:
            if self._closed:
                raise CancelledError
            yield batch
