"""The pipeline: find inputs, read their headers, plan, publish instances, then lists from the inside out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Final

from stillframe.archive.roots import Roots
from stillframe.build.catalogue import Catalogue
from stillframe.build.dicom_headers import list_inputs, read_headers
from stillframe.build.publish import publish_catalogue
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.shares import Share, own_lines
from stillframe.errors import FailedJob, InputError, MachineError, UsageError, machine_blamed
from stillframe.progress import Progress
from stillframe.source.find import Line, check_sources, iter_inputs, seen_elsewhere
from stillframe.source.manifest import parse_manifest
from stillframe.source.overlap import overlap
from stillframe.stopping import Stopped
from stillframe.store.base import Store
from stillframe.store.s3_client import SCHEME, S3Settings, check_place

_NO_SETTINGS: Final = S3Settings()


def build(
    request: BuildRequest, store: Store, executor: Executor, progress: Progress, report: Report | None = None
) -> Report:
    """Publish everything below the sources into `store`.

    A store that fails for good, or a machine that lacks something, ends the job early, as the report then tells. What
    is published stays, and building again completes it. Whoever gives the `report` has it, too, where the job is ended
    by an exception.

    Raises:
        UsageError: if a source does not exist.
        FailedJob: if a store or the machine fails before anything is published.
        Stopped: if the job is asked to stop before anything is published.
    """
    report = report or Report(share=Share(request.shard), on_reject=progress.reject)
    started = time.monotonic()
    try:
        with machine_blamed():
            catalogue = catalogue_inputs(request, executor, progress, report)
        publish_catalogue(request, catalogue, Roots(store, request.secret), executor, progress, report)
        catalogue.close()
    finally:
        report.seconds = time.monotonic() - started
    return report


def catalogue_inputs(request: BuildRequest, executor: Executor, progress: Progress, report: Report) -> Catalogue:
    """Find the inputs and read their headers; the report is told of those that have no part in the job.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if a store of sources fails.
    """
    found = iter_inputs(
        request.sources,
        request.destination,
        request.options.max_unpacked,
        request.s3,
        request.settle,
        _manifest_lines(request),
    )
    if request.local_workers is not None:
        found = map(seen_elsewhere, found)
    catalogue = list_inputs(report.share.of_found(found), progress, report)
    try:
        read_headers(request, catalogue, executor, progress, report)
    except (FailedJob, Stopped):
        with suppress(MachineError):  # no room for what is to be told
            for name in catalogue.first_inputs_behind("", ""):
                report.add_missing(name)
        raise
    return catalogue


def _manifest_lines(request: BuildRequest) -> Iterator[Line]:
    """What the manifests name, as far as it is this shard's and not in the destination."""

    def refuse(source: str) -> str:
        inside = request.target and overlap(source, request.target)
        return f"source and destination overlap: {source} and {request.target}" if inside else ""

    for manifest in request.manifests:
        lines = parse_manifest(str(manifest), manifest.lines())
        try:
            yield from own_lines(lines, request.shard, refuse, assign_uids=request.options.assign_uids)
        except InputError as error:
            raise UsageError(f"the manifest {manifest} {error}") from error


def check_destination(
    sources: Iterable[str], destination: str, s3: S3Settings = _NO_SETTINGS, *, apart: bool = False
) -> None:
    """Refuse a destination inside a source, or the reverse: a build would read what it wrote.

    Sources that manifests name are looked at when their turn comes.

    `s3` says how `s3://` sources are reached; `apart` that this is another store than the destination's, where the same
    names stand for other buckets.

    Raises:
        UsageError: naming the two, or a source that does not exist.
        StoreError: if a store of sources does not tell.
    """
    if not destination:
        raise UsageError("the destination is empty")
    for location in (*sources, destination):
        check_place(location)
    for source in sources:
        if not (apart and source.startswith(SCHEME)) and overlap(source, destination):
            raise UsageError(f"source and destination overlap: {source} and {destination}")
    check_sources(sources, s3)
    target = Path(destination)
    if not destination.startswith(SCHEME) and target.exists() and not target.is_dir():
        raise UsageError(f"the destination is not a folder: {destination}")
