"""What a job is asked for, and how its tasks are kept going."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from builder.claims import LEASE_SECONDS
from builder.model import BuildOptions
from builder.report import Report
from builder.s3_client import SCHEME, S3Settings

AHEAD: Final = 3
"""Tasks under way at once for every worker: enough to keep it busy, few enough to keep results in memory few."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build and how. `workers` says how many tasks the executor runs at once.

    Nothing is read in `destination`, the store's folder, wherever links among the sources lead. With a `secret` every
    study is published under a root of its own (`roots`). `s3` says how `s3://` sources are reached. `lease` is how many
    seconds another job's claim to an instance stands that is not renewed: the same for all jobs of a store.
    """

    sources: tuple[str, ...]
    options: BuildOptions
    workers: int = 1
    replace: bool = False
    destination: str = ""
    secret: bytes = b""
    s3: S3Settings = field(default_factory=S3Settings)
    lease: float = LEASE_SECONDS

    @property
    def far_sources(self) -> bool:
        """Whether reading inputs is waiting for a network."""
        return any(source.startswith(SCHEME) for source in self.sources)


@contextmanager
def clocked(report: Report, stage: str) -> Iterator[None]:
    """Count this process's CPU time in the block as a stage's."""
    start = time.process_time()
    try:
        yield
    finally:
        report.stages[stage] += time.process_time() - start


def run_tasks[K, A, T](
    executor: Executor,
    work: Callable[[A], T],
    tasks: Iterable[tuple[K, A]],
    window: int,
    pending: dict[Future[T], K] | None = None,
) -> Iterator[tuple[K, Future[T]]]:
    """Run tasks with at most `window` of them under way; each one's tag and finished future, as they finish.

    Those under way stand in `pending`, which is left to whoever gives up.
    """
    pending = {} if pending is None else pending
    for tag, argument in tasks:
        pending[executor.submit(work, argument)] = tag
        while len(pending) >= window:
            yield from _take_finished(pending)
    while pending:
        yield from _take_finished(pending)


def _take_finished[K, T](pending: dict[Future[T], K]) -> Iterator[tuple[K, Future[T]]]:
    done = [future for future in pending if future.done()]
    for future in done or wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future
