"""Builds into a real S3 server over a bad network, past its restart, and killed: all end in a clean build's objects."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.build import BuildRequest, build
from builder.directory_store import DirectoryStore
from builder.errors import StoreError
from builder.execute import SerialExecutor
from builder.model import BuildOptions
from builder.report import Report
from builder.s3_client import Bucket
from builder.s3_store import S3Store
from builder.store import Store
from tests.consistency import check_consistency
from tests.dicom_samples import ROOT, image, noise, write
from tests.faulty_proxy import Fault, FaultyProxy, Request, random_faults
from tests.trees import NoProgress, objects

TIMES = int(os.environ.get("STILLFRAME_FAULTS", "0"))
"""How many moments are tried, where that is not as few as every change should wait for."""


def publish(source: Path, store: Store, **changes: Any) -> Report:
    request = BuildRequest((str(source),), BuildOptions(), lease=0.5, **changes)
    return build(request, store, SerialExecutor(), NoProgress())


def write_inputs(folder: Path, instances: int = 8) -> Path:
    """Two series of one study, one of them a multi-frame image, and another study."""
    for number in range(1, instances + 1):
        write(folder, f"{number:03}.dcm", image(number, noise(number, (64, 64))))
    frames = noise(90, (3, 40, 40))
    write(folder, "multi.dcm", image(90, frames, SeriesInstanceUID=f"{ROOT}.1.2", SeriesNumber=2))
    write(folder, "other.dcm", image(1, noise(91), StudyInstanceUID=f"{ROOT}.2", SeriesInstanceUID=f"{ROOT}.2.1"))
    return folder


def clean_objects(tmp_path: Path, *sources: Path) -> dict[str, bytes]:
    store = DirectoryStore(str(tmp_path / "clean"))
    for source in sources:
        assert publish(source, store).exit_code == 0
    return objects(store)


def through(proxy: FaultyProxy, bucket: Bucket, patience: float) -> Bucket:
    return Bucket(bucket.name, replace(bucket.settings, endpoint_url=proxy.endpoint_url, patience=patience))


@pytest.mark.parametrize("seed", range(TIMES or 2))
def test_a_build_over_a_bad_network_ends_right(bucket: Bucket, tmp_path: Path, seed: int) -> None:
    source = write_inputs(tmp_path / "in")
    with FaultyProxy(bucket.settings.endpoint_url, random_faults(seed, 0.1)) as proxy:
        report = publish(source, S3Store(through(proxy, bucket, 120), "archive"))
        assert report.exit_code == 0, report.failure
        assert proxy.injected.total() > 5
    store = S3Store(bucket, "archive")
    assert objects(store) == clean_objects(tmp_path, source)
    check_consistency(store)


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.HALF_ANSWER, Fault.HALF_REQUEST, Fault.RESET_BEFORE])
def test_every_write_meets_a_fault_once(bucket: Bucket, tmp_path: Path, fault: Fault) -> None:
    """A lost answer to a write that took place, say: conditional ones are made again, and meet themselves."""
    source = write_inputs(tmp_path / "in", 2)
    seen: set[tuple[str, str, bytes]] = set()

    def plan(number: int, request: Request) -> Fault | None:
        this = (request.method, request.target, request.body)
        if request.method in ("GET", "HEAD") or this in seen:
            return None
        seen.add(this)
        return fault

    with FaultyProxy(bucket.settings.endpoint_url, plan) as proxy:
        assert publish(source, S3Store(through(proxy, bucket, 120))).exit_code == 0
        assert proxy.injected.total() > 40
    assert objects(S3Store(bucket)) == clean_objects(tmp_path, source)


def from_then_on(first: int, fault: Fault, number: int, request: Request) -> Fault | None:
    return fault if number >= first else None


def test_a_server_that_is_gone_for_good_ends_the_job_and_a_rerun_completes_it(bucket: Bucket, tmp_path: Path) -> None:
    source = write_inputs(tmp_path / "in", 2)
    expected = clean_objects(tmp_path, source)
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        publish(source, S3Store(through(proxy, bucket, 60), "count"))
        whole = len(proxy.requests)
        randomly = random.Random(5)
        for attempt in range(TIMES or 4):
            first = len(proxy.requests) + randomly.randrange(1, whole)
            kind = randomly.choice([Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR])
            proxy.plan = partial(from_then_on, first, kind)
            prefix = f"a{attempt}"
            try:
                report = publish(source, S3Store(through(proxy, bucket, 0.1), prefix))
            except StoreError:
                pass  # before anything was published
            else:
                assert report.exit_code == 1
                assert report.failure
                assert report.unfinished.missing or report.unfinished.unlisted or report.outcomes.total() == 4
            store = S3Store(bucket, prefix)
            check_consistency(store)
            assert publish(source, store).exit_code == 0
            assert objects(store) == expected
