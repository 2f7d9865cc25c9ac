"""Files that are written to while a job reads them, or that another takes the place of."""

from __future__ import annotations

import os
import pickle
import struct
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, override

import numpy as np
import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.dicom.files import ReadableFile
from stillframe.errors import InputError
from stillframe.execute import SerialExecutor, make_executor
from stillframe.options import BuildOptions
from stillframe.source.changes import let_settle, state_of
from stillframe.source.find import iter_inputs
from stillframe.source.inputs import InputRef
from stillframe.source.nested_archives import MEMORY_BYTES
from stillframe.source.open import open_input
from stillframe.source.zip_inputs import SPOOL_BYTES
from stillframe.store.directory import DirectoryStore
from tests.support.command import run
from tests.support.dicom_files import image, to_bytes, write, write_series
from tests.support.told_store import ToldStore
from tests.support.trees import NoProgress, build_tree
from tests.support.zips import zip_bytes

REASON: Final = "changed while it was being read; build again once it is whole"
STAGES: Final = ("reading headers", "publishing")
OLD: Final = 1_000_000_000


class Meddling(NoProgress):
    """Does something when a stage of the job begins."""

    def __init__(self, stage: str, meddle: Callable[[], object]) -> None:
        self._stage = stage
        self._meddle = meddle

    @override
    def stage(self, name: str, total: int) -> None:
        if name == self._stage:
            self._meddle()


def build_during(source: Path, stage: str, meddle: Callable[[], object]) -> Report:
    store = DirectoryStore(str(source.parent / "tree"))
    store.create()
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), destination=store.root)
    return build(request, store, SerialExecutor(), Meddling(stage, meddle))


def aged(path: Path) -> Path:
    """The file, written long ago."""
    os.utime(path, (OLD, OLD))
    return path


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0\0")


def overwrite(path: Path) -> None:
    """Other bytes behind the first ones, as many as before."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data[:300] + data[:299:-1])


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_rename(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    other.rename(path)


CHANGES: Final = (append, overwrite, shrink, replace_by_rename)


def inputs_of(path: Path) -> list[InputRef]:
    return [item for item in iter_inputs([str(path)]) if isinstance(item, InputRef)]


def large_image() -> bytes:
    return to_bytes(image(1, np.random.default_rng(1).integers(0, 4096, (33, 512, 512), "u2")))


# --- noticed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["file", "zip", "zip in zip"])
def test_a_change_between_finding_and_reading_is_told(
    tmp_path: Path, kind: str, change: Callable[[Path], None], stage: str
) -> None:
    data = to_bytes(image(1))
    archive = zip_bytes({"IM": data})
    path = tmp_path / ("in.dcm" if kind == "file" else "in.zip")
    path.write_bytes({"file": data, "zip": archive, "zip in zip": zip_bytes({"a.zip": archive})}[kind])
    report = build_during(aged(path), stage, lambda: change(path))
    assert ({item.reason for item in report.rejected}, report.exit_code) == ({REASON}, 2)
    assert not list((tmp_path / "tree").glob("studies/*/series/*/instances/*"))


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_large_file_that_changes_is_told(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(large_image())
    assert path.stat().st_size > SPOOL_BYTES
    report = build_during(aged(path), "publishing", lambda: change(path))
    assert [item.reason for item in report.rejected] == [REASON]


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_objects_are_written_leaves_nothing(
    tmp_path: Path, change: Callable[[Path], None], large: bool
) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(large_image() if large else to_bytes(image(1)))
    aged(path)

    class MeddlingStore(ToldStore):
        changed = False

        @override
        def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
            if "/frames/" in key and not self.changed:
                self.changed = True
                change(path)
            return data

    store = MeddlingStore(str(tmp_path / "tree"))
    report = build(BuildRequest(sources=(str(path),), options=BuildOptions()), store, SerialExecutor(), NoProgress())
    assert [item.reason for item in report.rejected] == [REASON]
    assert not list((tmp_path / "tree").glob("studies/*/series/*/instances/*"))


def test_half_a_file_is_no_conflict_with_the_whole_one(tmp_path: Path) -> None:
    path = write(tmp_path, "in.dcm", image(1))
    assert build_tree(tmp_path / "tree", path).exit_code == 0
    aged(path)
    data = path.read_bytes()

    def write_half() -> None:
        path.write_bytes(data[:-5000] + bytes(5000))

    report = build_during(path, "publishing", write_half)
    assert [item.reason for item in report.rejected] == [REASON]


def test_a_pipe_in_the_place_of_a_file_blocks_nothing(tmp_path: Path) -> None:
    path = aged(write(tmp_path, "in.dcm", image(1)))

    def put_pipe() -> None:
        path.unlink()
        os.mkfifo(path)

    report = build_during(path, "publishing", put_pipe)
    assert [item.reason for item in report.rejected] == [REASON]


def test_a_file_that_is_not_written_yet_is_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(bytes(20_000))  # room for it was made
    report = build_during(aged(path), "reading headers", lambda: append(path))
    assert [item.reason for item in report.rejected] == [REASON]


# --- no change of what is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_rights_links_and_names_are_no_change(tmp_path: Path, stage: str) -> None:
    path = aged(write(tmp_path, "in.dcm", image(1)))

    def touch() -> None:
        path.chmod(0o600)
        os.link(path, tmp_path / "link")

    assert build_during(path, stage, touch).outcomes == {Outcome.PUBLISHED: 1}


def test_another_inode_number_alone_is_no_change(tmp_path: Path) -> None:
    """Network file systems may forget the one that they gave."""
    (found,) = inputs_of(aged(write(tmp_path, "in.dcm", image(1))))
    assert found.state is not None
    renumbered = found.state._replace(inode=found.state.inode + 1)
    with open_input(InputRef(path=found.path, size=found.size, state=renumbered)) as file:
        assert file.read() == Path(found.path).read_bytes()


def test_a_log_that_grows_is_passed_over(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", 1)
    log = folder / "scanner.log"
    log.write_text("started\n" * 20)
    report = build_during(folder, "reading headers", lambda: append(aged(log)))
    assert (report.outcomes, report.exit_code) == ({Outcome.PUBLISHED: 1}, 0)
    assert [item.reason for item in report.skipped] == ["not DICOM"]


# --- time to become whole --------------------------------------------------------------------------------------------


def settled(path: Path, seconds: float) -> tuple[list[Any], float]:
    started = time.monotonic()
    items = [*let_settle([InputRef(path=str(path), size=path.stat().st_size, state=state_of(path.stat()))], seconds)]
    return items, time.monotonic() - started


def test_old_files_and_those_of_the_future_are_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path, "in.dcm", image(1))
    for modified in (time.time() - 31, time.time() + 1000):
        os.utime(path, (modified, modified))
        items, seconds = settled(path, 30)
        assert (items[0].state, seconds < 5) == (state_of(path.stat()), True)


def test_a_file_is_waited_for_no_longer_than_it_takes_to_be_old(tmp_path: Path) -> None:
    path = write(tmp_path, "in.dcm", image(1))
    modified = time.time() - 29.7
    os.utime(path, (modified, modified))
    _, seconds = settled(path, 30)
    assert 0.1 < seconds < 10


@pytest.mark.parametrize(("age", "whole"), [(16, True), (14, False)])
def test_a_file_that_becomes_whole_meanwhile_is_read(tmp_path: Path, age: float, whole: bool) -> None:
    """Not one that was written to less than half as long ago as is waited."""
    data = to_bytes(image(1))
    path = tmp_path / "in.dcm"
    path.write_bytes(data[:1000])

    def go_on(seconds: float) -> None:
        assert 0 < seconds <= 30
        path.write_bytes(data)
        os.utime(path, (time.time() - age, time.time() - age))

    (found,) = let_settle([InputRef(path=str(path), size=1000, state=state_of(path.stat()))], 30, go_on)
    assert isinstance(found, InputRef)
    if whole:
        assert found.size == len(data)
        with open_input(found) as file:
            assert file.read() == data
    else:
        with pytest.raises(InputError, match=REASON):
            open_input(found)


def test_a_file_that_is_still_being_written_is_rejected(tmp_path: Path) -> None:
    data = to_bytes(image(1))
    path = tmp_path / "in.dcm"
    path.write_bytes(data)
    stop = threading.Event()

    def write_on() -> None:
        with path.open("r+b") as file:
            while not stop.wait(0.01):
                file.seek(0)
                file.write(data)
                file.flush()

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        done = run("build", path, tmp_path / "tree", "--settle", "0.4", "--workers", "0")
    finally:
        stop.set()
        writer.join()
    assert done.returncode == 2
    assert f"in.dcm: {REASON}" in done.stderr


# --- archives within archives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, pytest.param(MEMORY_BYTES // 15, marks=pytest.mark.slow)])
def test_archives_within_archives_are_unpacked_once(tmp_path: Path, more: int) -> None:
    """Twenty of them, more than anything keeps open; workers find them where the search put them.

    With something that is not DICOM in each, a few are more than memory takes.
    """
    inner = [
        zip_bytes({"IM": to_bytes(image(number)), "more": bytes(more)}, zipfile.ZIP_STORED) for number in range(1, 21)
    ]
    path = tmp_path / "in.zip"
    path.write_bytes(zip_bytes({f"{number:02}.zip": data for number, data in enumerate(inner)}))
    found = inputs_of(path)
    places = [item.nested for item in found if item.nested is not None and item.member.endswith("IM")]
    assert [place.size for place in places] == [len(data) for data in inner]
    held = {place.path: Path(place.path).stat().st_size for place in places}
    assert sum(held.values()) == sum(map(len, inner))
    assert len(held) == (2 if more else 1)
    executor = make_executor(2)
    try:
        report = build_tree(tmp_path / "tree", path, executor=executor)
    finally:
        executor.shutdown()
    assert report.outcomes == {Outcome.PUBLISHED: 20}


@pytest.mark.parametrize("methods", [(0, 0, 0), (0, 8, 0), (8, 0, 0), (0, 0, 8)])
def test_archives_that_are_not_packed_are_read_where_they_lie(tmp_path: Path, methods: tuple[int, int, int]) -> None:
    """Within archives that are, too; one that is packed and those in it lie in memory."""
    data = to_bytes(image(1))
    archive = zip_bytes({"before": b"x" * 77, "IM": data}, methods[2])
    archive = zip_bytes({"before": b"y" * 55, "b.zip": archive}, methods[1])
    path = tmp_path / "in.zip"
    path.write_bytes(zip_bytes({"before": b"z" * 33, "a.zip": archive}, methods[0]))
    found = [item for item in inputs_of(path) if str(item).endswith("a.zip!b.zip!IM")]
    for item in pickle.loads(pickle.dumps(found)):  # as workers get it
        with open_input(item) as file:
            assert file.read() == data
    assert [item.nested.path == "" for item in found if item.nested is not None] == [not any(methods[:2])]
    assert build_tree(tmp_path / "tree", path).outcomes == {Outcome.PUBLISHED: 1}


def test_an_archive_that_is_not_whole_in_another_is_told(tmp_path: Path) -> None:
    packed = bytearray(zip_bytes({"a.zip": zip_bytes({"IM": b"x"}, zipfile.ZIP_STORED)}, zipfile.ZIP_STORED))
    entry = packed.rindex(b"PK\x01\x02")
    struct.pack_into("<LL", packed, entry + 20, 5000, 5000)
    path = tmp_path / "in.zip"
    path.write_bytes(packed)
    report = build_tree(tmp_path / "tree", path)
    assert [item.reason for item in report.rejected] == ["the archive ends before the member does"]


def test_where_nothing_tells_of_open_files_what_is_unpacked_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.zip"
    path.write_bytes(zip_bytes({"a.zip": zip_bytes({"IM": to_bytes(image(1))})}))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getpid", lambda: 1 << 30)  # of no process
    found = inputs_of(path)
    (place,) = [item.nested for item in found if item.nested is not None]
    assert Path(place.path).parent == tmp_path
    with open_input(found[0]) as file:
        assert file.read() == to_bytes(image(1))
    del place
    found.clear()
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.zip"]


def test_what_is_unpacked_goes_with_the_inputs(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    path.write_bytes(zip_bytes({"a.zip": zip_bytes({"IM": to_bytes(image(1))})}))
    found = inputs_of(path)
    (place,) = [item.nested.path for item in found if item.nested is not None]
    inode = os.stat(place).st_ino  # noqa: PTH116
    found.clear()
    open_files = [os.stat(f"/proc/self/fd/{name}").st_ino for name in os.listdir("/proc/self/fd") if _is_open(name)]  # noqa: PTH116, PTH208
    assert inode not in open_files


def _is_open(name: str) -> bool:
    return Path(f"/proc/self/fd/{name}").exists()
