"""What workers do in a dry run. The libraries are imported where a task runs."""

from __future__ import annotations

from collections.abc import Sequence

from stillframe.build.dryrun.estimate import Measured, MeasureTask
from stillframe.source.inputs import Rejected


def measure_instances(tasks: Sequence[MeasureTask]) -> list[Measured | Rejected]:
    """See `measure.measure_instance`; one result for each task."""
    from stillframe.build.dryrun import measure

    return [measure.measure_instance(task) for task in tasks]
