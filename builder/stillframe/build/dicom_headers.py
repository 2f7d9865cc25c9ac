"""Reading headers: what every input of a job is, in the order of the inputs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from itertools import batched, tee
from typing import Final

from stillframe.build.catalogue import Catalogue
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import StageClock
from stillframe.build.workers import scan_inputs
from stillframe.errors import WorkerDied
from stillframe.execute import AHEAD, run_batches
from stillframe.progress import Progress
from stillframe.source.inputs import Found, Header, InputRef, Rejected, Skipped
from stillframe.source.scan import Scanned, scan_heads, with_missing_told

# Headers read by one task; a header takes a fraction of what handing a task to a process does.
_SCAN_BATCH: Final = 32


def list_inputs(found: Iterable[Found], progress: Progress, report: Report) -> Catalogue:
    """A catalogue of all that is found; the report is told of what is no input.

    Raises:
        UsageError, StoreError: as finding does.
    """
    catalogue = Catalogue()
    progress.stage("finding files", 0)
    for item in found:
        catalogue.add(item)
        progress.step()
        if isinstance(item, Rejected):
            report.add(item)
        elif isinstance(item, Skipped):
            report.pass_over(item)
    return catalogue


def read_headers(
    request: BuildRequest, catalogue: Catalogue, executor: Executor, progress: Progress, report: Report
) -> None:
    """Read the headers of all inputs into the catalogue; the report is told of inputs that have none.

    What another shard of the job takes is left to it.

    Raises:
        StoreError: if a store of inputs fails.
    """
    named = frozenset(request.sources)
    progress.stage("reading headers", catalogue.inputs)
    with StageClock(report.stages, time.process_time)("scan"):
        for (ordinal, source), result in _scan(request, catalogue, executor):
            progress.step()
            scanned = report.share.of_scanned(source, result)
            if scanned is None:
                continue  # another shard takes it
            if isinstance(scanned, Header):
                catalogue.add_header(ordinal, scanned)
            elif isinstance(scanned, Rejected):
                report.add(scanned)
            elif scanned.files:
                catalogue.add_directory(ordinal, scanned)
            else:
                _pass_over(scanned, str(source), named, report)
        catalogue.order()
    for directory in catalogue.iter_directories():
        _pass_over(with_missing_told(directory, catalogue.names()), directory.path, named, report)


def _scan(
    request: BuildRequest, catalogue: Catalogue, executor: Executor
) -> Iterator[tuple[tuple[int, InputRef], Scanned]]:
    """Every input with its place and with what it is: first those whose first bytes tell, then the others."""
    options = request.options
    inputs, again = tee(catalogue.iter_inputs())
    heads = scan_heads((source for _, source in again), assign_uids=options.assign_uids)
    for item, scanned in zip(inputs, heads, strict=True):
        if scanned is None:
            catalogue.put_off(item[0])
        else:
            yield item, scanned
    scan = partial(scan_inputs, max_unpacked=options.max_unpacked, assign_uids=options.assign_uids)
    left = ((item, item[1]) for item in catalogue.iter_put_off())
    for results in run_batches(executor, scan, batched(left, _SCAN_BATCH), request.workers * AHEAD):
        for item, result in results:
            yield item, Rejected.of(item[1], result) if isinstance(result, WorkerDied) else result


def _pass_over(skipped: Skipped, name: str, named: frozenset[str], report: Report) -> None:
    """Report a file that is no input; it is rejected where it is a source itself, since who names a file means it."""
    if name in named:
        report.add(Rejected(path=skipped.path, reason=skipped.reason))
    else:
        report.pass_over(skipped)
