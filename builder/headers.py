"""Reading headers: what every input of a job is, in the order of the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import batched
from typing import Final

from builder.errors import WorkerDied
from builder.find import Found
from builder.job import AHEAD, BuildRequest, clocked, run_tasks
from builder.model import Header, InputRef, Rejected, Skipped
from builder.progress import Progress
from builder.report import Report
from builder.scan import Scanned, scan_heads, with_missing_told
from builder.tasks import ScanTask
from builder.workers import scan_inputs

# Headers read by one task; a header takes a fraction of what handing a task to a process does.
_SCAN_BATCH: Final = 32


def read_headers(
    request: BuildRequest, found: list[Found], executor: Executor, progress: Progress, report: Report
) -> Iterator[Header]:
    """Headers of all inputs that have one, in the order of the inputs; the report is told of the others."""
    inputs = [source for source in found if isinstance(source, InputRef)]
    progress.stage("reading headers", len(inputs))
    with clocked(report, "scan"):
        scanned: dict[InputRef, Scanned] = {}
        left = []
        for source, header in zip(inputs, scan_heads(inputs), strict=True):
            if header is None:
                left.append(source)
            else:
                scanned[source] = header
                progress.step()
        limit = request.options.max_unpacked
        batches = ((batch, ScanTask(batch, limit)) for batch in batched(left, _SCAN_BATCH))
        for batch, future in run_tasks(executor, scan_inputs, batches, request.workers * AHEAD):
            scanned.update(zip(batch, _scan_result(executor, ScanTask(batch, limit), future), strict=True))
            progress.step(len(batch))
    present = _paths_beside_dicomdirs(found, scanned)
    for item in found:
        header = scanned[item] if isinstance(item, InputRef) else item
        if isinstance(header, Skipped):
            header = with_missing_told(header, present)
        if isinstance(header, Header):
            yield header
        elif isinstance(header, Rejected):
            report.add(header)
        elif isinstance(item, InputRef) and str(item) in request.sources:  # whoever names a file means it
            report.add(Rejected(header.path, header.reason))
        else:
            report.skipped.append(header)


def _paths_beside_dicomdirs(found: list[Found], scanned: Mapping[InputRef, Scanned]) -> frozenset[str]:
    """The paths of all inputs in lower case, where a DICOMDIR wants to know."""
    if not any(isinstance(header, Skipped) and header.files for header in scanned.values()):
        return frozenset()
    return frozenset((str(item) if isinstance(item, InputRef) else item.path).lower() for item in found)


def _scan_result(executor: Executor, task: ScanTask, future: Future[list[Scanned]]) -> list[Scanned]:
    """A batch's headers; if its process died, each input is tried by itself so that one does not cost the others."""
    try:
        return future.result()
    except WorkerDied as error:
        if len(task.sources) == 1:
            return [Rejected(str(task.sources[0]), str(error))]
        alone = [ScanTask((source,), task.max_unpacked) for source in task.sources]
        under_way = [(one, executor.submit(scan_inputs, one)) for one in alone]
        return [header for one, done in under_way for header in _scan_result(executor, one, done)]
