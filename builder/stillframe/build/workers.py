"""What workers do: the entry points of their processes.

The libraries are imported where a task runs: the process that plans starts without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stillframe.build.meeting import Meeting
from stillframe.build.tasks import InstanceTask, Result
from stillframe.errors import FailedJob
from stillframe.parallel import side_by_side
from stillframe.source.inputs import InputRef
from stillframe.source.scan import Scanned

# Instances of one task that wait for a store side by side. They take turns in what needs a core.
INSTANCES_AT_ONCE: Final = 12


def build_instances(tasks: Sequence[InstanceTask]) -> list[Result]:
    """See `instance.build_instance`; one result for each task: where the store or the machine fails, the failure.

    Who comes to the first meeting helps with the frames of all: they take turns in what needs a core.
    """
    from stillframe.build import crew, frame_count, instance, sharing

    failures: list[FailedJob] = []
    with crew.Crew(meeting_of(tasks)) as members:
        make = sharing.sharing_with(members)

        def build(task: InstanceTask) -> Result:
            if failures:
                return failures[0]  # the job ends: nothing more is begun
            try:
                return instance.build_instance(task, frame_count.counting(task.count, make) if task.count else make)
            except FailedJob as error:
                failures.append(error)
                return error

        return side_by_side(INSTANCES_AT_ONCE, build, tasks)


def meeting_of(tasks: Iterable[InstanceTask]) -> Meeting | None:
    """Where others may help with frames of these tasks."""
    return next((task.meeting for task in tasks if task.meeting is not None), None)


def help_with_frames(meeting: Meeting) -> int:
    """See `helper.help_with_frames`."""
    from stillframe.build import helper

    return helper.help_with_frames(meeting)


def scan_inputs(sources: Sequence[InputRef], max_unpacked: int, *, assign_uids: bool = False) -> list[Scanned]:
    """See `scan.scan_input`; one result for each source."""
    from stillframe.source import scan

    return [scan.scan_input(source, max_unpacked, assign_uids=assign_uids) for source in sources]
