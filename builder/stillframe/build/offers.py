"""Idle workers of a job are sent to help those that publish large instances."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor, Future

from stillframe.build.meeting import Meeting
from stillframe.build.workers import help_with_frames
from stillframe.errors import MachineError


class HelpOffers:
    """The workers of an executor that help, and where."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor = executor
        self._workers = workers
        self._helping: dict[Future[int], Meeting] = {}
        self._ended: set[Meeting] = set()

    def offer(self, tasks: int, meetings: Iterable[Meeting]) -> bool:
        """Send workers that have no task to meetings where help is wanted.

        Args:
            tasks: how many tasks are under way, and none waits for a worker.
            meetings: those of these tasks.

        Returns:
            Whether help may be wanted soon, and there is a worker to give it.
        """
        for future in [future for future in self._helping if future.done()]:
            # Who comes back while the task is under way found it dying or in one process: there is nothing to help.
            self._ended.add(self._helping.pop(future))
        wanted = [meeting for meeting in meetings if meeting not in self._ended]
        idle = self._workers - tasks - len(self._helping)
        opened = [meeting for meeting in wanted if meeting.is_open()]
        helpers = list(self._helping.values())
        while idle > 0 and opened:
            meeting = min(opened, key=helpers.count)
            try:
                future = self._executor.submit(help_with_frames, meeting)
            except MachineError:  # it lets no more processes start: the instance is published without help
                self._workers = 0
                return False
            self._helping[future] = meeting
            helpers.append(meeting)
            idle -= 1
        return idle > 0 and bool(wanted)
