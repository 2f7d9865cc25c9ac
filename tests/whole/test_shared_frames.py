"""Frames of one instance made by several processes, which may die at any moment: the same objects come out."""

from __future__ import annotations

import os
import random
import signal
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.codec import htj2k
from stillframe.execute import SerialExecutor
from stillframe.layout import frame_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.dicom_files import DEFLATED, image, instance_uid, noise, write
from tests.support.jobs import Job
from tests.support.large import FRAMES, Helping, large_frames, write_large
from tests.support.multipart import unwrap_part
from tests.support.published import UIDS
from tests.support.trees import NoProgress, build_tree, contents, objects, processes_of_session, workers_of_session
from tests.support.zips import zip_bytes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tree that one process makes."""
    tree = tmp_path_factory.mktemp("expected") / "tree"
    assert build_tree(tree, source).outcomes == {Outcome.PUBLISHED: 1}
    return contents(tree)


# --- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_tree(
    tmp_path: Path, source: Path, expected: dict[str, bytes], workers: int
) -> None:
    with Helping(workers) as executor:
        report = build_tree(tmp_path / "tree", source, executor=executor, workers=workers)
        assert len(executor.helped) == workers - 1
        assert sum(executor.helped) >= (workers > 1)
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    assert report.noted == []
    assert contents(tmp_path / "tree") == expected


def packed(folder: Path, source: Path) -> Path:
    folder.mkdir()
    (folder / "a.zip").write_bytes(zip_bytes({"large.dcm": (source / "large.dcm").read_bytes()}))
    return folder


SOURCES: dict[str, Callable[[Path, Path], Path]] = {
    "member of an archive": packed,
    "deflated": lambda folder, _: write_large(folder, DEFLATED[0]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_sources_that_are_unpacked_first_are_shared_too(tmp_path: Path, source: Path, kind: str) -> None:
    packed_source = SOURCES[kind](tmp_path / "in", source)
    build_tree(tmp_path / "alone", packed_source)
    with Helping(2) as executor:
        report = build_tree(tmp_path / "tree", packed_source, executor=executor)
        assert sum(executor.helped) > 0
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    assert contents(tmp_path / "tree") == contents(tmp_path / "alone")


def test_a_replacement_is_rehearsed_and_written_by_all(tmp_path: Path, source: Path) -> None:
    """Both passes are shared, the one that only counts as well."""
    smaller = write(tmp_path, "before.dcm", image(1, noise(1), SOPInstanceUID=UIDS.instance, PatientID="made"))
    results = []
    for name in ("alone", "shared"):
        build_tree(tmp_path / name, smaller)
        with Helping(2 if name == "shared" else 1) as executor:
            report = build_tree(tmp_path / name, source, executor=executor, replace=True)
            assert (sum(executor.helped) > FRAMES // 2) == (name == "shared")
        results.append((report.outcomes, contents(tmp_path / name)))
    assert results[0] == results[1]
    assert results[0][0] == {Outcome.REPLACED: 1}


def build_remote(store: Store, *sources: str, bucket: Bucket, executor: Executor) -> Report:
    options = BuildOptions()
    request = BuildRequest(sources=sources, options=options, workers=2, s3=bucket.settings)
    return build(request, store, executor, NoProgress())


@pytest.mark.parametrize("remote", [False, True])
def test_a_bucket_gets_the_same_objects_from_files_and_objects(
    tmp_path: Path, bucket: Bucket, source: Path, remote: bool
) -> None:
    """An object is no file that another process could read: its frames are sent along."""
    places = [str(source)]
    if remote:
        with (source / "large.dcm").open("rb") as file:
            bucket.client.put_object(Bucket=bucket.name, Key="in/large.dcm", Body=file)
        places = [f"s3://{bucket.name}/in"]
    with Helping(2) as executor:
        report = build_remote(S3Store(bucket, "out"), *places, bucket=bucket, executor=executor)
        assert sum(executor.helped) > 0
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    alone = DirectoryStore(str(tmp_path / "alone"))
    build_remote(alone, *places, bucket=bucket, executor=SerialExecutor())
    assert objects(S3Store(bucket, "out")) == objects(alone)


def test_a_job_killed_at_any_moment_and_run_again_ends_in_the_same_objects(
    tmp_path: Path, bucket: Bucket, source: Path
) -> None:
    build_tree(tmp_path / "alone", source)
    place = ("--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1")
    randomly, killed = random.Random(9), 0
    for attempt in range(3):
        store = S3Store(bucket, f"a{attempt}")
        arguments: list[str | Path] = [source, f"s3://{bucket.name}/{store.prefix}", *place]
        job = Job(arguments)
        wanted = randomly.uniform(0.0, 0.9) * 2 * FRAMES
        while job.poll() is None and sum(1 for _ in store.list("studies")) < wanted:
            time.sleep(0.01)
        killed += job.kill()
        Job(arguments).finish()
        assert objects(store) == objects(DirectoryStore(str(tmp_path / "alone")))
    assert killed


# --- processes that die ----------------------------------------------------------------------------------------------


def wait_for_files(tree: Path, job: Job, count: float) -> None:
    """Wait until a job has written so many files, or has ended."""
    while job.poll() is None and sum(path.is_file() for path in tree.rglob("*")) < count:
        time.sleep(0.002)


def test_a_job_killed_at_any_moment_and_run_again_ends_in_the_same_tree(
    tmp_path: Path, source: Path, expected: dict[str, bytes]
) -> None:
    randomly, killed = random.Random(3), 0
    for attempt in range(4):
        tree = tmp_path / f"tree{attempt}"
        job = Job([source, tree])
        wanted = randomly.uniform(0.0, 0.95) * len(expected)
        wait_for_files(tree, job, wanted)
        killed += job.kill()
        Job([source, tree]).finish()
        assert contents(tree) == expected
    assert killed


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("seed", range(4))
def test_a_worker_that_is_killed_costs_nothing_but_time(
    tmp_path: Path, source: Path, expected: dict[str, bytes], seed: int
) -> None:
    """The one that publishes the instance, one that helps, or its sandbox's starter; no process is left behind."""
    randomly = random.Random(seed)
    job = Job([source, tmp_path / "tree"])
    wait_for_files(tmp_path / "tree", job, randomly.uniform(0.05, 0.6) * len(expected))
    workers = workers_of_session(job.pid)
    assert len(workers) >= 2
    os.kill(randomly.choice(workers), signal.SIGKILL)
    told = job.finish()
    assert "rejected" not in told
    assert contents(tmp_path / "tree") == expected
    deadline = time.monotonic() + 60
    while processes_of_session(job.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_session(job.pid) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_a_job_that_is_stopped(tmp_path: Path, source: Path, number: signal.Signals) -> None:
    job = Job([source, tmp_path / "tree"])
    wait_for_files(tmp_path / "tree", job, FRAMES / 4)
    os.kill(job.pid, number)
    assert job.wait() == (-signal.SIGKILL if number == signal.SIGKILL else 1)
    deadline = time.monotonic() + 60
    while processes_of_session(job.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_session(job.pid) == []


def crash_in_encoder(where: str, helps: bool) -> None:
    """From here on, the encoder ends this process at a frame in the middle: of who helps, of who publishes, or both."""
    encode, fatal = htj2k.encode_frame, large_frames()[FRAMES // 2]

    def crash(frame: Any, bits: int) -> bytes:
        if np.array_equal(frame, fatal) and where in ("all", "helper" if helps else "publisher"):
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(frame, bits)

    patch.object(htj2k, "encode_frame", crash).start()


def build_crashing(folder: Path, source: Path, where: str) -> tuple[Report, dict[str, bytes]]:
    """What comes of the large instance and a small one, where an encoder crashes."""
    small = write(folder, "small.dcm", image(7, noise(7), PatientID="made"))
    with Helping(2, partial(crash_in_encoder, where)) as executor:
        report = build_tree(folder / "tree", source, small, executor=executor)
    return report, contents(folder / "tree")


def test_an_instance_whose_frame_kills_every_process_is_rejected_alone(tmp_path: Path, source: Path) -> None:
    report, tree = build_crashing(tmp_path, source, "all")
    (rejected,) = report.rejected
    assert rejected.path == str(source / "large.dcm")
    assert "the process that worked on it died" in rejected.reason
    small = Path(tmp_path / "small.dcm")
    build_tree(tmp_path / "clean", small)
    assert tree == contents(tmp_path / "clean")
    assert instance_uid(7) in str(tree.keys())


def test_an_instance_whose_helper_crashed_is_published_by_one_process(
    tmp_path: Path, source: Path, expected: dict[str, bytes]
) -> None:
    report, tree = build_crashing(tmp_path, source, "helper")
    assert report.rejected == []
    assert {path: data for path, data in tree.items() if f"/{UIDS.instance}/" in path} == {
        path: data for path, data in expected.items() if f"/{UIDS.instance}/" in path
    }


# --- verification ----------------------------------------------------------------------------------------------------


def is_spoilt(seed: int, frame: Any) -> bool:
    return zlib.crc32(frame) % 16 == seed


def spoil(seed: int, helps: bool) -> None:
    """From here on, the encoder encodes other pixels than it is given, of some frames."""
    encode, chance = htj2k.encode_frame, random.Random(seed)

    def spoil_some(frame: Any, bits: int) -> bytes:
        return encode(with_other_pixel(frame, bits, chance) if is_spoilt(seed, frame) else frame, bits)

    patch.object(htj2k, "encode_frame", spoil_some).start()


def spoil_at_random(seed: int, helps: bool) -> None:
    """The same of any frame now and then, in workers that help."""
    encode, chance = htj2k.encode_frame, random.Random(seed)

    def spoil_sometimes(frame: Any, bits: int) -> bytes:
        return encode(with_other_pixel(frame, bits, chance) if helps and chance.random() < 0.1 else frame, bits)

    patch.object(htj2k, "encode_frame", spoil_sometimes).start()


def with_other_pixel(frame: Any, bits: int, chance: random.Random) -> Any:
    other = frame.copy()
    other.flat[chance.randrange(frame.size)] ^= 1 << chance.randrange(bits)
    return other


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_no_frame_is_published_that_an_encoder_spoilt_in_any_process(tmp_path: Path, source: Path, seed: int) -> None:
    numbers = [number for number, frame in enumerate(large_frames(), 1) if is_spoilt(seed, frame)]
    with Helping(2, partial(spoil, seed)) as executor:
        report = build_tree(tmp_path / "tree", source, executor=executor)
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    note = f"frame {numbers[0]}: it did not come back from its codestream as it went in"
    assert report.noted[0].notes == (f"published as native frames: {note}",)
    store = DirectoryStore(str(tmp_path / "tree"))
    for index, frame in enumerate(large_frames()):
        stored = store.get(frame_key(UIDS, index + 1))
        assert stored is not None
        assert unwrap_part(stored.data) == frame.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_a_helper_spoilt_are_made_anew_by_who_publishes_them(
    tmp_path: Path, source: Path, expected: dict[str, bytes], seed: int
) -> None:
    with Helping(2, partial(spoil_at_random, seed)) as executor:
        report = build_tree(tmp_path / "tree", source, executor=executor)
        assert sum(executor.helped) > 0
    assert report.noted == []
    assert contents(tmp_path / "tree") == expected
