"""What one instance may come to: bytes of objects, seconds of work, and what they follow from."""

from __future__ import annotations

import struct
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stillframe.build.budget import Budget
from stillframe.build.content import Producer
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome, StageClock
from stillframe.build.sinks import SizeSink
from stillframe.dicom.read import read_instance
from stillframe.errors import InputError
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    DEFLATED_FRAMES,
    RLE,
    encapsulated,
    encapsulated_value,
    image,
    image_attributes,
    noise,
    write,
    write_dicom,
)
from tests.support.frame_encoders import deflated, rle
from tests.support.published import UIDS
from tests.support.trees import NoProgress, build_tree, contents

SIDE = 512


def write_blank(path: Path, frames: int, dtype: str, bits: int = 0, **attributes: Any) -> Path:
    """Deflated frames of zeros, of so many bits: each byte of the file holds a thousand of pixels."""
    blank = np.zeros((SIDE, SIDE), dtype)
    return write_frames(path, [deflated(blank.tobytes())] * frames, blank, BitsStored=bits or None, **attributes)


def write_frames(path: Path, frames: list[bytes], blank: npt.NDArray[Any], **attributes: Any) -> Path:
    described = image_attributes(blank, len(frames), **attributes)
    if described["BitsStored"] is None:
        described["BitsStored"] = described["BitsAllocated"]
    path.parent.mkdir(exist_ok=True)
    return write_dicom(path, DEFLATED_FRAMES, described, encapsulated_value(frames))


# --- in arithmetic ---------------------------------------------------------------------------------------------------


def test_the_bytes_follow_from_the_option_and_from_the_data_set() -> None:
    assert Budget(size=2_000_000, max_unpacked=8_000_000_000).most_bytes == 8_000_000_000
    assert Budget(size=2_000_000_000, max_unpacked=8_000_000_000).most_bytes == 20_000_000_000
    assert Budget(size=200_000, max_unpacked=50_000_000).most_bytes == 50_000_000


def test_the_seconds_follow_from_pixels_as_far_as_the_data_set_can_hold_them() -> None:
    budget = Budget(size=2_000_000, max_unpacked=8_000_000_000)
    assert budget.most_seconds == 300 + 2000
    budget.justify(400_000_000)
    assert budget.most_seconds == 300 + 2000 + 100
    budget.justify(10**15)  # two million gigabytes of pixels in two megabytes
    assert budget.most_seconds == 300 + 2000 + 500


def test_the_last_byte_is_allowed_and_one_more_is_not() -> None:
    budget = Budget(size=10, max_unpacked=1000)
    budget.spend(999)
    budget.spend(1)
    with pytest.raises(InputError, match=r"^exceeds its budget of 1000 bytes of published objects; --max-unpacked "):
        budget.expect(1)
    budget.restart()
    budget.spend(1000)


def ticking(seconds: float) -> StageClock:
    """A clock that goes on by so many seconds whenever somebody looks at it."""
    return StageClock(now=map(seconds.__mul__, count()).__next__)


def test_time_is_that_of_the_work_since_it_began() -> None:
    now = [1000.0]
    budget = Budget(size=10, max_unpacked=4_000_000, now=lambda: now[0])
    now[0] += 301
    budget.check_time()
    now[0] += 1
    with pytest.raises(InputError, match=r"^exceeds its budget of 301 seconds of work; --max-unpacked raises it$"):
        budget.check_time()


# --- of instances ----------------------------------------------------------------------------------------------------


def test_native_frames_out_of_a_few_bytes_are_rejected_before_the_first(tmp_path: Path) -> None:
    path = write_blank(tmp_path / "in" / "1.dcm", 20, "u4")
    assert path.stat().st_size < 50_000
    options = BuildOptions(max_unpacked=10_000_000)
    report = build_tree(tmp_path / "tree", path, options=options)
    (rejected,) = report.rejected
    assert rejected.reason == "exceeds its budget of 10000000 bytes of published objects; --max-unpacked raises it"
    assert list(contents(tmp_path / "tree")) == ["studies/index.json"]
    store = DirectoryStore(str(tmp_path / "tree"))
    request = BuildRequest(sources=(str(path),), options=options)
    told, _ = forecast_build(request, Destination(store), SerialExecutor(), NoProgress())
    assert [item.reason for item in told.rejected] == [rejected.reason]
    more = build_tree(tmp_path / "tree", path, options=BuildOptions(max_unpacked=30_000_000))
    assert (more.outcomes, more.frames) == ({Outcome.PUBLISHED: 1}, 20)


def test_many_frames_that_come_to_little_are_published(tmp_path: Path) -> None:
    """A blank slide: its pixels are far more than is allowed, its codestreams are not."""
    path = write_blank(tmp_path / "1.dcm", 40, "u2")
    report = build_tree(tmp_path / "tree", path, options=BuildOptions(max_unpacked=1_000_000))
    assert (report.outcomes, report.frames) == ({Outcome.PUBLISHED: 1}, 40)
    assert 40 * SIDE * SIDE * 2 > 20_000_000 > report.bytes_written


def test_zeros_in_the_place_of_damaged_frames_count(tmp_path: Path) -> None:
    blank = np.zeros((SIDE, SIDE), "u4")
    path = write_frames(tmp_path / "1.dcm", [deflated(blank.tobytes()), *[b"\0\0"] * 40], blank)
    options = BuildOptions(max_unpacked=10_000_000, keep_damaged=True)
    (rejected,) = build_tree(tmp_path / "tree", path, options=options).rejected
    assert "budget of 10000000 bytes" in rejected.reason


def test_overlays_out_of_unused_bits_count(tmp_path: Path) -> None:
    """Eight planes of twenty frames, a bit a pixel (PS3.5 8.1.2), held until the last frame."""
    blank = np.zeros((SIDE, SIDE), "u2")
    segment = b"\x81\0" * (SIDE * SIDE // 128)  # runs of 128 zeros, for each of two bytes (PS3.5 G.3.1)
    frame = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    dataset = encapsulated([frame] * 20, RLE, pixels=blank, NumberOfFrames=20, BitsStored=8, HighBit=7)
    for bit in range(8, 16):
        group = 0x6000 + 2 * (bit - 8)
        for number, vr, value in (
            (0x10, "US", SIDE), (0x11, "US", SIDE), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 16),
            (0x102, "US", bit),
        ):  # fmt: skip
            dataset.add_new(group << 16 | number, vr, value)
    path = write(tmp_path, "1.dcm", dataset)
    planes = 8 * 20 * SIDE * SIDE // 8
    assert planes > 10 * path.stat().st_size
    for limit, expected in ((planes - 1, 2), (planes + 600_000, 0)):
        report = build_tree(tmp_path / str(limit), path, options=BuildOptions(max_unpacked=limit))
        assert report.exit_code == expected


def test_a_data_set_that_is_mostly_pixels_may_be_larger_than_the_option(tmp_path: Path) -> None:
    """Honest pixels of a file that nothing unpacks: the option is none of theirs."""
    path = write(tmp_path, "1.dcm", image(1, np.random.default_rng(1).integers(0, 4096, (256, 256), "u2")))
    assert build_tree(tmp_path / "tree", path, options=BuildOptions(max_unpacked=1)).exit_code == 0


def test_runs_of_bytes_are_within_what_they_hold(tmp_path: Path) -> None:
    path = write(tmp_path, "1.dcm", encapsulated([rle(noise(1), 16)], RLE, pixels=noise(1)))
    assert build_tree(tmp_path / "tree", path, options=BuildOptions(max_unpacked=1)).exit_code == 0


@pytest.mark.parametrize(("seconds", "whole"), [(0.1, True), (30.0, False)])
def test_an_instance_that_takes_too_long_is_given_up(tmp_path: Path, seconds: float, whole: bool) -> None:
    path = write_blank(tmp_path / "1.dcm", 40, "u1")
    sink = SizeSink()
    with path.open("rb") as file:
        producer = Producer(UIDS, BuildOptions(max_unpacked=10**6), sink, ticking(seconds))
        if whole:
            assert producer.produce(read_instance(file), file).frames == 40
            return
        with pytest.raises(InputError, match=r"^exceeds its budget of \d+ seconds of work; --max-unpacked raises it$"):
            producer.produce(read_instance(file), file)
    assert len(sink.sizes) < 40


def test_frames_that_are_read_to_find_their_bits_take_time_as_well(tmp_path: Path) -> None:
    """Nothing is put before all of them were looked at."""
    path = write_blank(tmp_path / "1.dcm", 40, "u2", 12, HighBit=13)
    sink = SizeSink()
    with path.open("rb") as file:
        producer = Producer(UIDS, BuildOptions(max_unpacked=1), sink, ticking(30.0))
        with pytest.raises(InputError, match="seconds of work"):
            producer.produce(read_instance(file), file)
    assert sink.sizes == {}
