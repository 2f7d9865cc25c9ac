"""What is sent to workers. The libraries are imported where a task runs: the process that plans starts without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from builder.claims import LEASE_SECONDS
from builder.errors import StoreError
from builder.layout import InstanceUIDs
from builder.model import BuildOptions, Built, InputRef, Rejected
from builder.provenance import Provenance
from builder.scan import Scanned
from builder.store import Store
from builder.threads import Threads

if TYPE_CHECKING:
    from builder.estimate import Measured, MeasureTask


@dataclass(frozen=True, slots=True)
class InstanceTask:
    """One input to publish. `first` is False where another input of the job holds the same SOP Instance UID;

    `listed` is the provenance that the lists of the series give; where it is the instance's, they need nothing of it.
    `lease` is how many seconds a claim (`claims`) stands that nobody renews.
    """

    store: Store
    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    replace: bool = False
    first: bool = True
    listed: Provenance | None = None
    lease: float = LEASE_SECONDS


# Instances of one task that wait for a store side by side. They take turns in what needs a core.
INSTANCES_AT_ONCE: Final = 12

type Result = Built | Rejected | StoreError


def build_instances(tasks: Sequence[InstanceTask]) -> list[Result]:
    """See `instance.build_instance`; one result for each task, that of one being the store's failure if it failed."""
    from builder import instance

    failures: list[StoreError] = []

    def build(task: InstanceTask) -> Result:
        if failures:
            return failures[0]  # the job ends: nothing more is begun
        try:
            return instance.build_instance(task)
        except StoreError as error:
            failures.append(error)
            return error

    if len(tasks) == 1:
        return [build(tasks[0])]
    with Threads(INSTANCES_AT_ONCE) as threads:
        return list(threads.map(build, tasks))


@dataclass(frozen=True, slots=True)
class ScanTask:
    """Inputs whose headers need the full parser; one may unpack to `max_unpacked` bytes."""

    sources: tuple[InputRef, ...]
    max_unpacked: int


def scan_inputs(task: ScanTask) -> list[Scanned]:
    """See `scan.scan_input`; one result for each source."""
    from builder import scan

    return [scan.scan_input(source, task.max_unpacked) for source in task.sources]


def measure_instances(tasks: Sequence[MeasureTask]) -> list[Measured | Rejected]:
    """See `measure.measure_instance`; one result for each task."""
    from builder import measure

    return [measure.measure_instance(task) for task in tasks]
