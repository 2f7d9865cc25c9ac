"""The pipeline: find inputs, read their headers, plan, publish instances, then lists from the inside out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from stillframe.archive.lists import published_patient
from stillframe.archive.roots import Roots
from stillframe.build.dicom_headers import read_headers
from stillframe.build.plan import Plan, make_plan, name_one_patient
from stillframe.build.publish import publish_plan
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import UsageError, machine_blamed
from stillframe.parallel import side_by_side
from stillframe.progress import Progress
from stillframe.source.find import check_sources, iter_inputs
from stillframe.source.inputs import Header
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
    report = Report()
    started = time.monotonic()
    roots = Roots(store, request.secret)
    with machine_blamed():
        plan = plan_build(request, roots, executor, progress, report)
    publish_plan(request, plan, roots, executor, progress, report)
    report.seconds = time.monotonic() - started
    return report


def plan_build(request: BuildRequest, roots: Roots, executor: Executor, progress: Progress, report: Report) -> Plan:
    """Find the inputs, read their headers and plan; the report is told of those that have no part in it.

    Raises:
        UsageError: if a source does not exist.
        StoreError: if the store fails.
    """
    progress.stage("finding files", 0)
    found = list(
        iter_inputs(request.sources, request.destination, request.options.max_unpacked, request.s3, request.settle)
    )
    headers = list(read_headers(request, found, executor, progress, report))
    replaced = {header.uids for header in headers} if request.replace else frozenset()
    plan = make_plan(headers, _published_patients(roots, headers, replaced).get)
    for rejected in plan.rejected:
        report.add(rejected)
    return plan


def _published_patients(
    roots: Roots, headers: Iterable[Header], replaced: Container[InstanceUIDs]
) -> dict[str, tuple[str, str] | None]:
    """Patient ID and name of the studies that are published already.

    Not of one that is to be replaced as a whole, by inputs that agree on another patient.
    """
    studies: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        studies[header.uids.study].append(header)
    ordered = sorted(studies)

    def find(study: str) -> tuple[str, str] | None:
        gone = replaced if name_one_patient(studies[study]) else frozenset[InstanceUIDs]()
        return published_patient(roots.of(study), study, gone)

    return dict(zip(ordered, side_by_side(roots.store.parallel, find, ordered), strict=True))


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
