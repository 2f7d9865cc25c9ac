"""Frames of one instance made by several: what is published, noted and refused is what one process would."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.uid import SegmentationStorage

from stillframe.archive.claims import Watch
from stillframe.build import budget, sharing
from stillframe.build.channel import Channel
from stillframe.build.crew import Crew
from stillframe.build.frame_work import FrameWork
from stillframe.build.helper import help_with_frames
from stillframe.build.instance import build_instance
from stillframe.build.meeting import arrange_meeting
from stillframe.build.results import Built
from stillframe.build.sharing import MakeFrames, make_alone, sharing_with
from stillframe.build.tasks import InstanceTask
from stillframe.codec import htj2k
from stillframe.layout import frame_key
from stillframe.options import BuildOptions, Lossy
from stillframe.source.changes import state_of
from stillframe.source.inputs import InputRef, Rejected
from stillframe.store.directory import DirectoryStore
from tests.support.crews import crew_of
from tests.support.dicom_files import (
    BIG_ENDIAN,
    EXPLICIT,
    RLE,
    encapsulated_value,
    image_attributes,
    jpeg,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import (
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    jpegxl,
    jpegxl_of_jpeg,
    rle,
)
from tests.support.multipart import unwrap_part
from tests.support.published import UIDS
from tests.support.trees import contents

type Frame = npt.NDArray[Any]

COUNT = 40
SHAPE = (16, 24)
GREY = random_samples((COUNT, *SHAPE), "u2", 12)
BYTE = random_samples((COUNT, *SHAPE), "u1", 8)
BIT_POSITION = 0x0102
# Overlay Rows and Columns, Type, Origin, Bits Allocated, Bit Position (PS3.3-2004 C.9.2).
OVERLAY_ELEMENTS = [
    (0x0010, "US", 15), (0x0011, "US", 7), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]), (0x0100, "US", 16),
    (BIT_POSITION, "US", 0),
]  # fmt: skip
COLOUR = random_samples((COUNT, *SHAPE, 3), "u1", 8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of a few hundred bytes are worth sharing, some at a time, and only so many wait."""
    monkeypatch.setattr(sharing, "_SHARED_BYTES", 0)
    monkeypatch.setattr(budget, "_CHUNK_BYTES", 2000)
    monkeypatch.setattr(budget, "_WAITING_BYTES", 12000)


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Who made which frame, or tried to."""
    seen: list[tuple[str, int]] = []
    make = FrameWork.make

    def noted(self: FrameWork, index: int) -> Any:
        seen.append((threading.current_thread().name, index))
        return make(self, index)

    with monkeypatch.context() as patched:
        patched.setattr(FrameWork, "make", noted)
        yield seen


def publish(path: Path, tree: Path, make: MakeFrames, options: BuildOptions) -> Built | Rejected | Watch:
    store = DirectoryStore(str(tree))
    store.create()
    return build_instance(InstanceTask(store=store, source=InputRef(path=str(path)), uids=UIDS, options=options), make)


def told(result: Built | Rejected | Watch) -> Built | Rejected | Watch:
    """A result but for the time it took."""
    return replace(result, times={}) if isinstance(result, Built) else result


def publish_both(path: Path, folder: Path, members: int = 2, **options: Any) -> Built | Rejected | Watch:
    """What became of a file, which is the same whether one or several made its frames."""
    chosen = BuildOptions(**options)
    alone = publish(path, folder / "alone", make_alone, chosen)
    with crew_of(members) as crew:
        shared = publish(path, folder / "shared", sharing_with(crew), chosen)
    assert told(shared) == told(alone)
    assert contents(folder / "shared") == contents(folder / "alone")
    return shared


def native(folder: Path, frames: Frame, syntax: str = EXPLICIT, **attributes: Any) -> Path:
    data = frames.astype(frames.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<")).tobytes()
    return write_dicom(folder / "file", syntax, image_attributes(frames[0], len(frames), **attributes), data)


def compressed(folder: Path, syntax: str, frames: list[bytes], like: Frame, **attributes: Any) -> Path:
    value = encapsulated_value(frames)
    like_all = image_attributes(like, len(frames), **attributes)
    return write_dicom(folder / "file", syntax, like_all, value, vr="OB", native=False)


def encoded(encode: Callable[[Frame, int], bytes], frames: Frame, bits: int) -> list[bytes]:
    return [encode(frame, bits) for frame in frames]


# --- the same, whoever makes them ------------------------------------------------------------------------------------

YBR = {"PhotometricInterpretation": "YBR_FULL"}
KINDS: dict[str, Callable[[Path], Path]] = {
    "native": lambda folder: native(folder, GREY, BitsStored=12),
    "big endian": lambda folder: native(folder, GREY, BIG_ENDIAN, BitsStored=12),
    "colour": lambda folder: native(folder, COLOUR, **YBR),
    "bits beside the samples": lambda folder: native(folder, GREY | 1 << 14, BitsStored=12),
    "segmentation": lambda folder: write_dicom(
        folder / "file",
        EXPLICIT,
        image_attributes(BYTE[0], COUNT, BitsAllocated=1, BitsStored=1, HighBit=0, SOPClassUID=SegmentationStorage),
        np.packbits(BYTE & 1, bitorder="little").tobytes(),
        vr="OB",
    ),
    "samples at the top of their cells": lambda folder: native(folder, GREY << 4, BitsStored=12, HighBit=15),
    "JPEG-LS": lambda folder: compressed(folder, jpeg(80), encoded(jpegls, GREY, 12), GREY[0], BitsStored=12),
    "RLE": lambda folder: compressed(folder, RLE, encoded(rle, COLOUR, 8), COLOUR[0]),
    "HTJ2K as published": lambda folder: compressed(
        folder, jpeg(202), encoded(htj2k.encode_frame, GREY, 12), GREY[0], BitsStored=12
    ),
    "kept JPEG": lambda folder: compressed(
        folder, jpeg(50), encoded(jpeg_lossy, COLOUR, 8), COLOUR[0], PhotometricInterpretation="YBR_FULL_422"
    ),
    "transcoded HTJ2K": lambda folder: compressed(
        folder, jpeg(203), encoded(htj2k_lossy, BYTE.view("i1"), 8), BYTE.view("i1")[0]
    ),
    "restored JPEG XL": lambda folder: compressed(
        folder, jpeg(111), encoded(jpegxl_of_jpeg, COLOUR, 8), COLOUR[0], PhotometricInterpretation="YBR_FULL_422"
    ),
    "lossless JPEG XL": lambda folder: compressed(folder, jpeg(110), encoded(jpegxl, BYTE, 8), BYTE[0]),
    "unknown": lambda folder: compressed(folder, "1.2.826.0.1.3680043.9.9.9", [b"frame"] * COUNT, BYTE[0]),
}

COPIED = ("segmentation", "unknown")
"""Kinds of frames that are copied faster than given to somebody."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_the_same_whoever_made_it(
    tmp_path: Path, makers: list[tuple[str, int]], kind: str
) -> None:
    built = publish_both(KINDS[kind](tmp_path), tmp_path, reduced=(1, 2))
    assert isinstance(built, Built), built
    assert built.frames == COUNT
    made_by_members = [index for name, index in makers if name == "member"]
    assert bool(made_by_members) == (kind not in COPIED)
    assert len(made_by_members) == len(set(made_by_members))
    assert {index for name, index in makers if name != "member"} == set(range(COUNT))  # alone


@pytest.mark.parametrize("members", [1, 3])
def test_any_number_of_members_gives_the_same(tmp_path: Path, members: int) -> None:
    assert isinstance(publish_both(KINDS["JPEG-LS"](tmp_path), tmp_path, members), Built)


def test_a_crew_without_members_makes_all(tmp_path: Path) -> None:
    assert isinstance(publish_both(KINDS["native"](tmp_path), tmp_path, 0), Built)


def test_overlays_out_of_the_pixels_are_the_same(tmp_path: Path) -> None:
    """Of 15 x 7 pixels, so that the bits of a frame begin within a byte."""
    cells = random_samples((COUNT, 15, 7), "u2", 14)
    path = native(tmp_path, cells, BitsStored=12)
    dataset = dcmread(path)
    for group, bit in ((0x6000, 12), (0x6002, 13)):
        for element, vr, value in OVERLAY_ELEMENTS:
            dataset.add_new((group, element), vr, bit if element == BIT_POSITION else value)
    dataset.save_as(path)
    built = publish_both(path, tmp_path)
    assert isinstance(built, Built), built
    assert sum("the overlay in bit" in note for note in built.notes) == 2


# --- what goes wrong -------------------------------------------------------------------------------------------------


def damaged_at(frames: list[bytes], *indices: int) -> list[bytes]:
    """Frames of which some are cut off in their middle."""
    return [data[: len(data) // 2 & ~1] if index in indices else data for index, data in enumerate(frames)]


@pytest.mark.parametrize("index", [0, 1, 17, COUNT - 1])
def test_a_damaged_frame_is_named_the_same(tmp_path: Path, index: int) -> None:
    frames = damaged_at(encoded(j2k, GREY, 12), index, COUNT - 1)
    result = publish_both(compressed(tmp_path, jpeg(90), frames, GREY[0], BitsStored=12), tmp_path)
    assert isinstance(result, Rejected)
    assert result.reason.startswith(f"frame {index + 1}: ")


@pytest.mark.slow
@pytest.mark.parametrize("indices", [(3,), (0, 20, 21, COUNT - 1), tuple(range(COUNT // 2 - 1, COUNT))])
def test_damaged_frames_that_are_tolerated_are_the_same(tmp_path: Path, indices: tuple[int, ...]) -> None:
    """The picture is that of the middle frame, or of the first good one behind it."""
    frames = damaged_at(encoded(j2k, GREY, 12), *indices)
    path = compressed(tmp_path, jpeg(90), frames, GREY[0], BitsStored=12)
    built = publish_both(path, tmp_path, keep_damaged=True)
    assert isinstance(built, Built), built
    assert sum("damaged: " in note for note in built.notes) >= 1


@pytest.mark.slow
def test_frames_that_are_all_damaged_are_refused_the_same(tmp_path: Path) -> None:
    frames = damaged_at(encoded(j2k, GREY, 12), *range(COUNT))
    path = compressed(tmp_path, jpeg(90), frames, GREY[0], BitsStored=12)
    assert isinstance(publish_both(path, tmp_path, keep_damaged=True), Rejected)


@pytest.mark.parametrize("index", [0, 2, 25, COUNT - 1])
def test_a_frame_that_contradicts_the_data_set_begins_all_anew(tmp_path: Path, index: int) -> None:
    """Its samples need more bits than the data set says (PS3.5 8.2.4)."""
    frames = GREY.copy()
    frames[index, 3, 4] = 0xFFF0
    path = compressed(tmp_path, jpeg(80), [jpegls(frame, 16) for frame in frames], GREY[0], BitsStored=12)
    built = publish_both(path, tmp_path)
    assert isinstance(built, Built), built
    assert any("16 bits" in note for note in built.notes), built.notes


@pytest.mark.parametrize("index", [0, 4, COUNT - 1])
def test_a_lossy_frame_among_others_begins_all_anew(tmp_path: Path, index: int) -> None:
    frames = [jpeg_ls_near(frame, 8) if number == index else jpegls(frame, 8) for number, frame in enumerate(BYTE)]
    built = publish_both(compressed(tmp_path, jpeg(81), frames, BYTE[0]), tmp_path)
    assert isinstance(built, Built), built
    assert b'"00282110"' in built.line


@pytest.mark.parametrize("index", [1, COUNT - 1])
@pytest.mark.parametrize("lossy", [Lossy.AUTO, Lossy.KEEP])
def test_a_frame_that_cannot_be_kept_is_treated_the_same(tmp_path: Path, index: int, lossy: Lossy) -> None:
    frames = [j2k_lossy(frame, 8) if number == index else jpeg_lossy(frame, 8) for number, frame in enumerate(BYTE)]
    result = publish_both(compressed(tmp_path, jpeg(50), frames, BYTE[0]), tmp_path, lossy=lossy)
    assert isinstance(result, Built if lossy is Lossy.AUTO else Rejected), result


@pytest.mark.slow
def test_a_file_that_became_shorter_is_refused_the_same(tmp_path: Path) -> None:
    """It is cut off behind its 30th frame when the 10th is made."""
    reasons = []
    for name, members in (("alone", None), ("shared", 2)):
        folder = tmp_path / name
        folder.mkdir()
        path = native(folder, random_samples((COUNT, 700, 700), "u2", 12), BitsStored=12)  # too large for memory
        reasons.append(publish_cut(path, folder / "tree", members))
    assert reasons[0] == reasons[1]
    assert "changed while it was being read" in reasons[0]


def publish_cut(path: Path, tree: Path, members: int | None) -> str:
    """Why a file is not published that is cut off meanwhile."""

    def cut(make: MakeFrames) -> MakeFrames:
        def made(work: FrameWork, indices: Any) -> Iterator[Any]:
            for frame in make(work, indices):
                if frame.index == 9:
                    os.truncate(path, path.stat().st_size - 10 * 700 * 700 * 2)
                yield frame

        return made

    source = InputRef(path=str(path), state=state_of(path.stat()), size=path.stat().st_size)
    task = InstanceTask(store=DirectoryStore(str(tree)), source=source, uids=UIDS, options=BuildOptions(reduced=()))
    if members is None:
        result = build_instance(task, cut(make_alone))
    else:
        with crew_of(members) as crew:
            result = build_instance(task, cut(sharing_with(crew)))
    assert isinstance(result, Rejected), result
    assert contents(tree) == {}
    return result.reason


# --- verification ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("members", [None, 2])
def test_no_frame_is_published_that_its_encoder_spoilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, members: int | None
) -> None:
    """Some codestreams are of other pixels than they should be. All frames come out right, and the note is true."""
    chance = random.Random(seed)
    spoilt = set(chance.sample(range(COUNT), 1 + seed % 3))
    good = {frame.tobytes(): index for index, frame in enumerate(GREY)}
    encode = htj2k.encode_frame

    def encode_badly(frame: Frame, bits: int) -> bytes:
        if good[frame.tobytes()] in spoilt:
            frame = frame.copy()
            frame.flat[7 * seed] ^= 1 << seed
        return encode(frame, bits)

    monkeypatch.setattr(htj2k, "encode_frame", encode_badly)
    path, tree = native(tmp_path, GREY, BitsStored=12), tmp_path / "tree"
    if members is None:
        built = publish(path, tree, make_alone, BuildOptions())
    else:
        with crew_of(members) as crew:
            built = publish(path, tree, sharing_with(crew), BuildOptions())
    assert isinstance(built, Built), built
    note = f"frame {min(spoilt) + 1}: it did not come back from its codestream as it went in"
    assert built.notes == (f"published as native frames: {note}",)
    store = DirectoryStore(str(tree))
    for index, frame in enumerate(GREY):
        stored = store.get(frame_key(UIDS, index + 1))
        assert stored is not None
        assert unwrap_part(stored.data) == frame.tobytes()


# --- members ---------------------------------------------------------------------------------------------------------


class _Gone(BaseException):
    """Ends a member as a crash would."""


@pytest.mark.parametrize("kind", ["native", "JPEG-LS", "kept JPEG"])
@pytest.mark.parametrize("first", [1, 7, COUNT - 1])
def test_members_who_die_leave_their_frames_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, first: int
) -> None:
    """A member ends when it gets to a frame from some on."""
    make = FrameWork.make

    def die(self: FrameWork, index: int) -> Any:
        if threading.current_thread().name == "member" and index >= first:
            raise _Gone
        return make(self, index)

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(FrameWork, "make", die)
    assert isinstance(publish_both(KINDS[kind](tmp_path), tmp_path), Built)


@pytest.mark.parametrize("kind", ["native", "kept JPEG"])
def test_the_middle_frame_is_shown_although_a_member_failed_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """By then, who publishes the frames has made some behind it, of which the first would be shown otherwise."""
    make, middle = FrameWork.make, COUNT // 2
    failed = []

    def fail(self: FrameWork, index: int) -> Any:
        if threading.current_thread().name == "member" and index in (middle - 1, middle):
            time.sleep(0.3)
            failed.append(index)
            raise MemoryError
        return make(self, index)

    monkeypatch.setattr(FrameWork, "make", fail)
    for attempt in range(10):  # until a member came in time
        folder = tmp_path / str(attempt)
        folder.mkdir()
        assert isinstance(publish_both(KINDS[kind](folder), folder, 3), Built)
        if failed:
            return
    pytest.fail("no member ever got to the middle frame")


@pytest.mark.parametrize("thread", ["frames-in", "frames-out"])
def test_nobody_waits_for_a_member_whose_words_find_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    """What is sent or received is as large as frames are; the process that publishes them may have no room for it."""
    lacked = []
    send, receive = Channel.send, Channel.receive

    def lack() -> None:
        if threading.current_thread().name == thread:
            lacked.append(thread)
            raise MemoryError

    def send_much(self: Channel, *arguments: Any) -> None:
        lack()
        send(self, *arguments)

    def receive_much(self: Channel) -> Any:
        received = receive(self)
        lack()
        return received

    monkeypatch.setattr(Channel, "send", send_much)
    monkeypatch.setattr(Channel, "receive", receive_much)
    assert isinstance(publish_both(KINDS["native"](tmp_path), tmp_path), Built)
    assert lacked


def test_frames_are_made_although_no_file_can_be_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have as many files open as it is allowed to; one that is publishing frames already goes on."""
    refused = []

    def refuse(descriptor: int) -> int:
        refused.append(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    path = native(tmp_path, random_samples((COUNT, 700, 700), "u2", 12), BitsStored=12)  # too large for memory
    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", refuse)
        source = InputRef(path=str(path), state=state_of(path.stat()), size=path.stat().st_size)
        task = InstanceTask(
            store=DirectoryStore(str(tmp_path / "tree")), source=source, uids=UIDS, options=BuildOptions(reduced=())
        )
        with crew_of(2) as crew:
            built = build_instance(task, sharing_with(crew))
    assert isinstance(built, Built), built
    assert built.frames == COUNT
    assert refused


def test_who_does_not_know_the_key_is_no_member(tmp_path: Path) -> None:
    with Crew(meeting := arrange_meeting()) as crew:
        crew.open()
        stranger = threading.Thread(target=help_with_frames, args=(replace(meeting, key=bytes(len(meeting.key))),))
        stranger.start()
        deadline = time.monotonic() + 60
        while stranger.is_alive():
            assert not list(crew.answers(wait=False))
            assert time.monotonic() < deadline
        assert crew.members == []


def test_a_meeting_that_was_held_before_is_not_opened_again() -> None:
    meeting = arrange_meeting()
    died = Crew(meeting)
    assert died.open()
    assert not Crew(meeting).open()
    died.__exit__()
    assert not meeting.is_open()


def test_nobody_is_asked_for_help_with_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_SHARED_BYTES", (COUNT - 1) * GREY[0].nbytes + 1)
    with Crew(meeting := arrange_meeting()) as crew:
        built = publish(native(tmp_path, GREY, BitsStored=12), tmp_path / "tree", sharing_with(crew), BuildOptions())
        assert isinstance(built, Built)
        assert not meeting.is_open()


@pytest.mark.slow
def test_frames_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the second frame takes its time, others are made, but not more than may wait."""
    begun, most = set[int](), 0
    make = FrameWork.make
    with crew_of(2) as crew:

        def slow(self: FrameWork, index: int) -> Any:
            nonlocal most
            begun.add(index)
            if index == 1:
                time.sleep(1)
                most = max(begun)
            return make(self, index)

        monkeypatch.setattr(FrameWork, "make", slow)
        path = native(tmp_path, GREY, BitsStored=12)
        assert isinstance(publish(path, tmp_path / "tree", sharing_with(crew), BuildOptions()), Built)
    assert 3 <= most <= 1 + 12000 // GREY[0].nbytes
