"""The instances of one task: side by side where a store is far away, else one after the other.

Threads that take turns in computing pay for every turn. A folder answers at once, so one thread does all of it, and
what the instances of a task wrote gets onto the disk together.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Final

from stillframe.build.frame_count import counting
from stillframe.build.instance import Steps, build_instance, instance_steps
from stillframe.build.sharing import MakeFrames
from stillframe.build.tasks import InstanceTask, Result
from stillframe.errors import FailedJob, StoreError
from stillframe.parallel import side_by_side
from stillframe.store.base import Store

INSTANCES_AT_ONCE: Final = 12
"""Instances of one task that wait for a store side by side. They take turns in what needs a core."""


def build_batch(tasks: Sequence[InstanceTask], make: MakeFrames) -> list[Result]:
    """See `instance.build_instance`; one result for each task: where the store or the machine fails, the failure."""
    if any(task.store.parallel > 1 or task.source.remote is not None for task in tasks):
        return _build_side_by_side(tasks, make)
    with closing(_Turns()) as turns:
        return turns.build(tasks, make)


def _made_for(task: InstanceTask, make: MakeFrames) -> MakeFrames:
    """The frames of a task, counted where it is asked for."""
    return counting(task.count, make) if task.count else make


def _build_side_by_side(tasks: Sequence[InstanceTask], make: MakeFrames) -> list[Result]:
    failures: list[FailedJob] = []

    def build(task: InstanceTask) -> Result:
        if failures:
            return failures[0]  # the job ends: nothing more is begun
        try:
            return build_instance(task, _made_for(task, make))
        except FailedJob as error:
            failures.append(error)
            return error

    return side_by_side(INSTANCES_AT_ONCE, build, tasks)


class _Turns:
    """Instances that are built in turn, by their numbers. Those that are `written` wait for the disk."""

    def __init__(self) -> None:
        self._results: dict[int, Result] = {}
        self._failure: FailedJob | None = None
        self._written: deque[tuple[int, Steps]] = deque()

    def build(self, tasks: Sequence[InstanceTask], make: MakeFrames) -> list[Result]:
        """One result for each task."""
        for number, task in enumerate(tasks):
            if self._failure is not None:  # the job ends: nothing more is begun
                self._results[number] = self._failure
                continue
            if task.watched is not None:  # it waits for another job, which may be waiting for one of these
                self._commit(task.store)
            steps = instance_steps(task, _made_for(task, make))
            self._go_on(number, steps, partial(next, steps))
        while self._written:
            self._commit(tasks[0].store)  # all are of one tree
        return [self._results[number] for number in range(len(tasks))]

    def _go_on(self, number: int, steps: Steps, step: Callable[[], object]) -> None:
        """Do the next step of an instance."""
        self._written.append((number, steps))
        try:
            step()
        except StopIteration as end:
            self._results[number] = end.value
        except FailedJob as error:
            self._results[number] = self._failure = error
        else:
            return
        self._written.pop()

    def _commit(self, store: Store) -> None:
        """Have what was written on the disk, then commit it. What another job took over is written anew by that."""
        if not self._written:
            return
        failure: StoreError | None = None
        began = time.thread_time()
        try:
            store.sync()
        except StoreError as error:
            failure = error
        count = len(self._written)
        seconds = (time.thread_time() - began) / count
        for _ in range(count):
            number, steps = self._written.popleft()
            step = partial(steps.send, seconds) if failure is None else partial(steps.throw, failure)
            self._go_on(number, steps, step)

    def close(self) -> None:
        """Leave nothing half done."""
        for _, steps in self._written:
            with suppress(StoreError):
                steps.close()
