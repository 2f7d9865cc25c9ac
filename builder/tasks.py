"""What is sent to workers. The libraries are imported where a task runs: the process that plans starts without them."""

from __future__ import annotations

from dataclasses import dataclass

from builder.layout import InstanceUIDs
from builder.model import BuildOptions, Built, InputRef, Rejected
from builder.provenance import Provenance
from builder.scan import Scanned
from builder.store import Store


@dataclass(frozen=True, slots=True)
class InstanceTask:
    """One input to publish. `first` is False where another input of the job holds the same SOP Instance UID;

    `listed` is the provenance that the lists of the series give; where it is the instance's, they need nothing of it.
    """

    store: Store
    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    replace: bool = False
    first: bool = True
    listed: Provenance | None = None


def build_instance(task: InstanceTask) -> Built | Rejected:
    """See `instance.build_instance`."""
    from builder import instance

    return instance.build_instance(task)


@dataclass(frozen=True, slots=True)
class ScanTask:
    """Inputs whose headers need the full parser; one may unpack to `max_unpacked` bytes."""

    sources: tuple[InputRef, ...]
    max_unpacked: int


def scan_inputs(task: ScanTask) -> list[Scanned]:
    """See `scan.scan_input`; one result for each source."""
    from builder import scan

    return [scan.scan_input(source, task.max_unpacked) for source in task.sources]
