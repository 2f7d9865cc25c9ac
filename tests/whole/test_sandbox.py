"""A decoder that misbehaves costs its image, and nothing else."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from stillframe.execute import ProcessExecutor
from stillframe.options import BuildOptions
from tests.support.bad_decoders import BAD_ROWS, BadDecoders
from tests.support.dicom_files import (
    STUDY,
    encapsulated,
    encapsulated_value,
    image_attributes,
    instance_uid,
    jpeg,
    noise,
    write,
    write_dicom,
)
from tests.support.frame_encoders import rle
from tests.support.trees import build_tree, contents, processes_of_session

RLE = "1.2.840.10008.1.2.5"
EIGHT_OTHERS = range(2, 10)


def write_compressed(folder: Path, number: int, rows: int = 96, frames: int = 1) -> None:
    pixels = noise(number, shape=(rows, 80))
    write(folder, f"{number}.dcm", encapsulated(frames * [rle(pixels, 12)], RLE, number=number, pixels=pixels,
          **({"NumberOfFrames": frames} if frames > 1 else {})))  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An image whose decoder is bad, among others of its series."""
    folder = tmp_path / "in"
    write_compressed(folder, 1, BAD_ROWS)
    for number in EIGHT_OTHERS:
        write_compressed(folder, number)
    return folder


def without_the_bad_one(tmp_path: Path, source: Path) -> dict[str, bytes]:
    (source / "1.dcm").unlink()
    build_tree(tmp_path / "without", source)
    return contents(tmp_path / "without")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("__import__('ctypes').string_at(0)", "ended with SIGSEGV"),
        ("__import__('os').abort()", "ended with SIGABRT"),
        ("bytearray(8 << 30)", "needs more than 1024 MiB of memory; --max-decoder-memory allows more"),
        ("any(iter(int, 1))", "took more than 2 s of processor time; --max-decoder-seconds allows more"),
        ("__import__('socket').socket()", "ended its process with exit code 1"),
        ("open('/dev/null')", "ended its process with exit code 1"),
        ("__import__('os').environ['AWS_SECRET_ACCESS_KEY']", "ended its process with exit code 1"),
    ],
)
def test_a_bad_decoder_costs_one_image(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, expression: str, reason: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "for-workers")
    with BadDecoders(1, expression) as executor:
        pid = executor.submit(os.getpid).result(timeout=60)
        options = BuildOptions(max_decoder_seconds=1.0)
        report = build_tree(tmp_path / "tree", source, options=options, executor=executor)
        assert executor.submit(os.getpid).result(timeout=60) == pid
    assert report.exit_code == 2
    (rejected,) = report.rejected
    assert rejected.instance == instance_uid(1)
    assert rejected.reason.startswith(f"frame 1: cannot be decoded by the test (which {reason}")
    assert contents(tmp_path / "tree") == without_the_bad_one(tmp_path, source)


@pytest.mark.slow
def test_a_limit_is_not_taken_for_damage(tmp_path: Path) -> None:
    write_compressed(tmp_path / "in", 1, BAD_ROWS, frames=3)
    with BadDecoders(1, "bytearray(8 << 30)") as executor:
        options = BuildOptions(keep_damaged=True)
        report = build_tree(tmp_path / "tree", tmp_path / "in", options=options, executor=executor)
    (rejected,) = report.rejected
    assert rejected.reason.startswith("frame 1: cannot be decoded by the test (which needs more than")


def test_sandboxes_change_nothing_of_what_is_published(tmp_path: Path, source: Path) -> None:
    build_tree(tmp_path / "bare", source)
    with ProcessExecutor(2) as executor:
        build_tree(tmp_path / "tree", source, executor=executor)
    assert contents(tmp_path / "tree") == contents(tmp_path / "bare")


def run_bad_decoder(source: Path, destination: Path, expression: str, **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.bad_decoders", source, destination, expression],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **how,
    )


@pytest.mark.slow
def test_a_decoder_that_crashes_again_and_again_gets_by_with_64_descriptors(tmp_path: Path) -> None:
    for number in range(1, 100):
        write_compressed(tmp_path / "in", number, BAD_ROWS)
    write_compressed(tmp_path / "in", 100)
    job = run_bad_decoder(
        tmp_path / "in",
        tmp_path / "tree",
        "__import__('os').abort()",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    printed, _ = job.communicate(timeout=300)
    report = json.loads(printed)
    assert len(report["rejected"]) == 99
    assert all("ended with SIGABRT" in rejected["reason"] for rejected in report["rejected"])
    assert len(contents(tmp_path / "tree")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_job_that_is_stopped_leaves_no_process_behind(tmp_path: Path, source: Path, number: int) -> None:
    job = run_bad_decoder(source, tmp_path / "tree", "any(iter(int, 1))")
    deadline = time.monotonic() + 120
    while not any(busy_ticks(pid) > 100 and is_sandbox(pid) for pid in processes_of_session(job.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(job.pid, number)  # as a terminal does on Ctrl-C
    else:
        os.kill(job.pid, number)
    job.communicate(timeout=60)
    while processes_of_session(job.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def busy_ticks(pid: int) -> int:
    """Processor time of a process in user mode (proc(5))."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    except OSError:
        return 0


def is_sandbox(pid: int) -> bool:
    """Whether a process may open no files."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE) == (0, 0)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("family", ["JPEG-LS", "JPEG 2000"])
def test_a_large_frame_is_decoded_within_what_its_size_lets_expect(tmp_path: Path, family: str) -> None:
    """The default leaves another gigabyte beside that, and a minute."""
    side = 4_000
    rows = np.arange(side, dtype=np.uint32)
    pixels = (rows[:, None] * 37 + rows * 11 + (rows[:, None] ^ rows)).astype(np.uint16)
    if family == "JPEG-LS":
        data, syntax = bytes(imagecodecs.jpegls_encode(pixels)), jpeg(80)
    else:
        data, syntax = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k")), jpeg(90)
    (tmp_path / "in").mkdir()
    attributes = image_attributes(pixels, BitsStored=16) | {"SOPInstanceUID": instance_uid(1)}
    write_dicom(tmp_path / "in" / "large.dcm", syntax, attributes, encapsulated_value([data]))
    with ProcessExecutor(1) as executor:
        options = BuildOptions(max_decoder_memory=16 << 20, max_decoder_seconds=0.5)
        report = build_tree(tmp_path / "tree", tmp_path / "in", options=options, executor=executor)
    assert not report.rejected
    assert report.exit_code == 0
    (frame,) = (tmp_path / "tree" / "studies" / STUDY).glob("series/*/instances/*/frames/1")
    np.testing.assert_array_equal(imagecodecs.htj2k_decode(frame.read_bytes()), pixels)
