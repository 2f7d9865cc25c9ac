"""The pipeline: find inputs, read their headers, plan, publish instances, then lists from the inside out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from stillframe.archive.roots import Roots
from stillframe.build.catalogue import Catalogue
from stillframe.build.dicom_headers import list_inputs, read_headers
from stillframe.build.publish import publish_catalogue
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.errors import UsageError, machine_blamed
from stillframe.progress import Progress
from stillframe.source.find import check_sources, iter_inputs, seen_elsewhere
from stillframe.store.base import Store
from stillframe.store.s3_client import SCHEME, S3Settings, check_place, parse_location

_NO_SETTINGS: Final = S3Settings()


def build(request: BuildRequest, store: Store, executor: Executor, progress: Progress) -> Report:
    """Publish everything below the sources into `store`.

    A store that fails for good, or a machine that lacks something, ends the job early, as the report then tells. What
    is published stays, and building again completes it.

    Raises:
        UsageError: if a source does not exist.
        FailedJob: if a store or the machine fails before anything is published.
    """
    report = Report(on_reject=progress.reject)
    started = time.monotonic()
    with machine_blamed():
        catalogue = catalogue_inputs(request, executor, progress, report)
    publish_catalogue(request, catalogue, Roots(store, request.secret), executor, progress, report)
    catalogue.close()
    report.seconds = time.monotonic() - started
    return report


def catalogue_inputs(request: BuildRequest, executor: Executor, progress: Progress, report: Report) -> Catalogue:
    """Find the inputs and read their headers; the report is told of those that have no part in the job.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if a store of sources fails.
    """
    found = iter_inputs(request.sources, request.destination, request.options.max_unpacked, request.s3, request.settle)
    if request.local_workers is not None:
        found = map(seen_elsewhere, found)
    catalogue = list_inputs(found, progress, report)
    read_headers(request, catalogue, executor, progress, report)
    return catalogue


def check_destination(
    sources: Iterable[str], destination: str, s3: S3Settings = _NO_SETTINGS, *, apart: bool = False
) -> None:
    """Refuse a destination inside a source, or the reverse: a build would read what it wrote.

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
    if destination.startswith(SCHEME):
        _check_remote([] if apart else sources, destination)
        check_sources(sources, s3)
        return
    check_sources(sources, s3)
    target = Path(destination).resolve()
    for source in sources:
        path = Path(source).resolve()
        if not source.startswith(SCHEME) and (target == path or path in target.parents or target in path.parents):
            raise UsageError(f"source and destination overlap: {source} and {destination}")
    if target.exists() and not target.is_dir():
        raise UsageError(f"the destination is not a folder: {destination}")


def _check_remote(sources: Iterable[str], destination: str) -> None:
    bucket, prefix = parse_location(destination)
    for source in sources:
        if source.startswith(SCHEME):
            other, path = parse_location(source)
            outer, inner = sorted((f"{prefix}/".lstrip("/"), f"{path}/".lstrip("/")), key=len)
            if bucket == other and inner.startswith(outer):
                raise UsageError(f"source and destination overlap: {source} and {destination}")
