"""Builds into a real S3 server over a bad network, past its restart, and killed: all end in a clean build's objects."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillframe.archive.lists import listed_instances
from stillframe.archive.record import record_of
from stillframe.build.report import Report
from stillframe.errors import StoreError
from stillframe.layout import metadata_key, parse_key
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.consistency import check_consistency
from tests.support.dicom_files import ROOT, image, noise, write
from tests.support.faulty_proxy import Fault, FaultyProxy, Request, random_faults
from tests.support.forked import forked_process
from tests.support.halted_jobs import publish_and_stop, publish_leased
from tests.support.jobs import Job
from tests.support.s3_server import S3Endpoint, S3Server
from tests.support.trees import objects, workers_of_session

pytestmark = pytest.mark.slow
LEASE = 0.5
TIMES = int(os.environ.get("STILLFRAME_FAULTS", "0"))
"""How many moments are tried, where that is not as few as every change should wait for."""


def publish(source: Path, store: Store, **changes: Any) -> Report:
    return publish_leased(source, store, LEASE, **changes)


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
        randomly, ended = random.Random(5), 0
        for attempt in range(TIMES or 4):
            first = len(proxy.requests) + randomly.randrange(1, whole)
            kind = randomly.choice([Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR])
            proxy.plan = partial(from_then_on, first, kind)
            prefix = f"a{attempt}"
            proxy.injected.clear()
            try:
                report = publish(source, S3Store(through(proxy, bucket, 0.1), prefix))
            except StoreError:
                pass  # before anything was published
            else:
                if not proxy.injected:  # it asked less often than the one that was counted
                    assert report.exit_code == 0
                    continue
                ended += 1
                assert report.exit_code == 1
                assert report.failure
                assert report.unfinished.missing or report.unfinished.unlisted or report.outcomes.total() == 4
            store = S3Store(bucket, prefix)
            check_consistency(store)
            assert publish(source, store).exit_code == 0
            assert objects(store) == expected
        assert ended


def start(bucket: Bucket, prefix: str, *sources: Path, options: Sequence[str] = (), workers: int = 2) -> Job:
    place = ("--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1")
    return Job([*sources, f"s3://{bucket.name}/{prefix}", *place, *options], workers=workers)


def test_a_job_waits_for_a_server_that_is_started_anew(tmp_path: Path, s3_server: S3Endpoint) -> None:
    """An orderly stop: SeaweedFS may lose what it took last when it is killed, which no client can make good."""
    source = write_inputs(tmp_path / "in", 24)
    server = S3Server(tmp_path / "server")
    server.start()
    try:
        bucket = server.make_bucket()
        job = start(bucket, "archive", source)
        while not list(S3Store(bucket, "archive").children("studies")):
            assert job.poll() is None
            time.sleep(0.05)
        server.stop()
        assert job.poll() is None
        server.start()
        job.finish()
        assert objects(S3Store(bucket, "archive")) == clean_objects(tmp_path, source)
    finally:
        server.stop()


def test_a_job_killed_at_any_moment_and_run_again_ends_in_the_same_objects(bucket: Bucket, tmp_path: Path) -> None:
    """Spread over the time in which instances and lists are written; the first one before."""
    source = write_inputs(tmp_path / "in", 5)
    expected = clean_objects(tmp_path, source)
    store = S3Store(bucket, "whole")
    start(bucket, "whole", source).finish()
    assert objects(store) == expected
    randomly = random.Random(11)
    count = TIMES or 8
    killed = 0
    for attempt in range(count):
        store = S3Store(bucket, f"killed{attempt}")
        job = start(bucket, store.prefix, source, workers=2 * (attempt % 3 == 1))
        if attempt:  # the first one at some moment before there is anything
            wait_for_objects(store, job, len(expected) * (attempt - randomly.random()) / count)
        else:
            time.sleep(randomly.random() / 5)
        killed += job.kill()
        check_consistency(store)
        assert publish(source, store).exit_code == 0
        assert objects(store) == expected
    assert killed > count // 2


def wait_for_objects(store: S3Store, job: Job, count: float = 1) -> None:
    """Wait until a job has written so many objects of instances, or has ended."""
    while job.poll() is None and sum(bool(parse_key(key).instance) for key, _ in store.list("studies")) < count:
        time.sleep(0.05)


def test_a_job_whose_workers_are_killed_goes_on_without_them(bucket: Bucket, tmp_path: Path) -> None:
    source = write_inputs(tmp_path / "in", 16)
    expected = clean_objects(tmp_path, source)
    randomly = random.Random(3)
    killed = 0
    for attempt in range(TIMES or 2):
        store = S3Store(bucket, f"a{attempt}")
        job = start(bucket, store.prefix, source)
        wait_for_objects(store, job)
        time.sleep(randomly.uniform(0, 0.8))
        for pid in workers_of_session(job.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        told = job.finish()
        assert "rejected" not in told
        assert objects(store) == expected
    assert killed


def test_four_jobs_side_by_side_complete_each_others_lists(bucket: Bucket, tmp_path: Path) -> None:
    """Overlapping parts of one series, another study beside it."""
    source = write_inputs(tmp_path / "in", 8)
    files = sorted(source.iterdir())
    expected = clean_objects(tmp_path, source)
    parts = (files[:4], files[2:7], files[5:], [*files[:2], *files[6:]])
    for attempt in range(TIMES or 3):
        prefix = f"a{attempt}"
        for job in [start(bucket, prefix, *part, workers=0 if attempt else 2) for part in parts]:
            job.finish()
        store = S3Store(bucket, prefix)
        check_consistency(store)
        assert objects(store) == expected


def conflicting_inputs(folder: Path, job: int) -> Path:
    """The same SOP Instance UIDs for every job, but other pixels: HTJ2K, and native frames all of one size."""
    for number in range(1, 5):
        pixels = np.stack([noise(100 * job + 10 * number + frame, (32, 32)) for frame in range(6)])
        write(folder, f"{job}/{number}.dcm", image(number, pixels if number < 3 else pixels.astype("u4")))
    return folder / str(job)


def by_instance(found: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    grouped: dict[str, dict[str, bytes]] = defaultdict(dict)
    for key, data in found.items():
        if parse_key(key).instance:
            grouped[parse_key(key).instance][key] = data
    return grouped


def check_unmixed(store: Store, clean: Sequence[dict[str, bytes]]) -> list[int]:
    """See that each instance is wholly one job's, and listed as that; which job's, instance by instance."""
    check_consistency(store)
    made = by_instance(objects(store))
    wanted = [by_instance(found) for found in clean]
    assert set(made) == set(wanted[0])
    winners = []
    for instance, found in sorted(made.items()):
        assert found in [one[instance] for one in wanted]
        winners.append([one[instance] for one in wanted].index(found))
    (study,) = store.children("studies")
    for series in store.children(f"studies/{study}/series"):
        listed = listed_instances(store, study, series)
        for instance, record in listed.items():
            (metadata,) = json.loads(made[instance][metadata_key(study, series, instance)])
            assert record == record_of(metadata)
    return winners


def test_jobs_with_other_pixels_for_the_same_instances_do_not_mix_them(bucket: Bucket, tmp_path: Path) -> None:
    sources = [conflicting_inputs(tmp_path, job) for job in (0, 1)]
    clean = [clean_objects(tmp_path / source.name, source) for source in sources]
    for attempt in range(TIMES or 3):
        store = S3Store(bucket, f"a{attempt}")
        jobs = [start(bucket, store.prefix, source, workers=0 if attempt else 2) for source in sources]
        told = [job.told() for job in jobs]
        winners = check_unmixed(store, clean)
        for number, job in enumerate(jobs):
            lost = len(winners) - winners.count(number)
            assert job.wait() == (2 if lost else 0)
            assert told[number].count("another object with this SOP Instance UID") == lost


@pytest.mark.parametrize("before", [False, True])
def test_a_process_that_stood_still_while_its_claim_ran_out_mixes_nothing(
    bucket: Bucket, tmp_path: Path, before: bool
) -> None:
    """Stopped with requests begun, it goes on when another job has published other pixels."""
    for seed in (0, 1, 2):
        frames = np.stack([noise(10 * seed + frame, (20, 30)) for frame in range(6)]).astype("u4")
        write(tmp_path, f"{seed}/1.dcm", image(1, frames))
    clean = [clean_objects(tmp_path / str(seed), tmp_path / str(seed) / "1.dcm") for seed in (0, 1)]
    stopped = 0
    for moment in range(0, 12, 1 if TIMES else 2):
        store = S3Store(bucket, f"{before}{moment}")
        if before:
            publish(tmp_path / "2" / "1.dcm", store)
        code = str(tmp_path / f"code{before}{moment}")
        job = forked_process(
            publish_and_stop, bucket, store.prefix, tmp_path / "0" / "1.dcm", LEASE, moment, code, before
        )
        job.start()
        assert job.pid is not None
        while job.is_alive() and not is_stopped(job.pid):
            time.sleep(0.01)
        stopped += job.is_alive()
        report = publish(tmp_path / "1" / "1.dcm", store, replace=before)
        if job.is_alive():
            os.kill(job.pid, signal.SIGCONT)
        job.join()
        check_unmixed(store, clean)
        assert {report.exit_code, int(Path(code).read_text())} <= {0, 2}
    assert stopped > 3


def is_stopped(pid: int) -> bool:
    """Whether a process stands still; one that has just ended does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False
