"""Reading headers: what every input of a job is, in the order of the inputs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from itertools import batched
from typing import Final

from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import StageClock
from stillframe.build.workers import scan_inputs
from stillframe.errors import WorkerDied
from stillframe.execute import AHEAD, run_batches
from stillframe.progress import Progress
from stillframe.source.inputs import Header, InputRef, Rejected, Skipped
from stillframe.source.packing import Found
from stillframe.source.scan import Scanned, scan_heads, with_missing_told

# Headers read by one task; a header takes a fraction of what handing a task to a process does.
_SCAN_BATCH: Final = 32


def read_headers(
    request: BuildRequest, found: list[Found], executor: Executor, progress: Progress, report: Report
) -> Iterator[Header]:
    """Headers of all inputs that have one, in the order of the inputs; the report is told of the others."""
    options = request.options
    inputs = [source for source in found if isinstance(source, InputRef)]
    progress.stage("reading headers", len(inputs))
    with StageClock(report.stages, time.process_time)("scan"):
        scanned: dict[InputRef, Scanned] = {}
        left = []
        for source, header in zip(inputs, scan_heads(inputs, assign_uids=options.assign_uids), strict=True):
            if header is None:
                left.append(source)
            else:
                scanned[source] = header
                progress.step()
        batches = ([(source, source) for source in batch] for batch in batched(left, _SCAN_BATCH))
        scan = partial(scan_inputs, max_unpacked=options.max_unpacked, assign_uids=options.assign_uids)
        for results in run_batches(executor, scan, batches, request.workers * AHEAD):
            for source, result in results:
                scanned[source] = Rejected.of(source, result) if isinstance(result, WorkerDied) else result
            progress.step(len(results))
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
            report.add(Rejected(path=header.path, reason=header.reason))
        else:
            report.skipped.append(header)


def _paths_beside_dicomdirs(found: list[Found], scanned: Mapping[InputRef, Scanned]) -> frozenset[str]:
    """The paths of all inputs in lower case, where a DICOMDIR wants to know."""
    if not any(isinstance(header, Skipped) and header.files for header in scanned.values()):
        return frozenset()
    return frozenset((str(item) if isinstance(item, InputRef) else item.path).lower() for item in found)
