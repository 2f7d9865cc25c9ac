"""What workers do: the entry points of their processes.

The libraries are imported where a task runs: the process that plans starts without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stillframe.build.meeting import Meeting
from stillframe.build.tasks import InstanceTask, Result
from stillframe.source.inputs import InputRef
from stillframe.source.scan import Scanned


def build_instances(tasks: Sequence[InstanceTask]) -> list[Result]:
    """See `batch.build_batch`. Who comes to the first meeting helps with the frames of all: they take turns in what
    needs a core.
    """
    from stillframe.build import batch, crew, sharing

    with crew.Crew(meeting_of(tasks)) as members:
        return batch.build_batch(tasks, sharing.sharing_with(members))


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
