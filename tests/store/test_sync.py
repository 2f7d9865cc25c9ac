"""What reaches the disk, and when: before whatever speaks of it is written."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

import pytest

from stillframe.errors import StoreError
from stillframe.store import directory, sync
from stillframe.store.directory import DirectoryStore
from stillframe.store.sync import SYNCFS, GroupSync

KEY = "studies/1.2/series/1.3/instances/1.4/frames/1"


def test_threads_that_come_while_a_sync_runs_share_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []
    go = threading.Event()

    def slowly(descriptor: int) -> None:
        begun.append(time.monotonic())
        assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        go.wait(10)

    monkeypatch.setattr(sync, "_sync", slowly)
    group = GroupSync(str(tmp_path))
    threads = [threading.Thread(target=group) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(begun) < 1:
        time.sleep(0.01)
    time.sleep(0.1)  # the others have come by now
    go.set()
    for thread in threads:
        thread.join()
    assert len(begun) == 2


def test_a_sync_that_fails_fails_for_all_who_had_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of a failed write once (syncfs(2)); a sync that goes well after it does not bring it back."""
    go = threading.Event()
    outcomes = [OSError(5, "Input/output error")]
    told: list[str] = []

    def fail(_: int) -> None:
        go.wait(10)
        if outcomes:
            raise outcomes.pop()

    monkeypatch.setattr(sync, "_sync", fail)
    group = GroupSync(str(tmp_path))

    def wait() -> None:
        try:
            group()
        except OSError as error:
            told.append(str(error))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    go.set()
    for thread in threads:
        thread.join()
    with pytest.raises(OSError, match="Input/output"):
        group()
    assert told == ["[Errno 5] Input/output error"] * 4


def test_a_disk_that_fails_is_a_store_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sync, "_sync", fail)
    (tmp_path / "tree").mkdir()
    store = DirectoryStore(str(tmp_path / "tree"), durable=True)
    with pytest.raises(StoreError, match="cannot be synced: Input/output error"):
        store.sync()
    DirectoryStore(str(tmp_path / "other")).sync()  # not durable: nobody asks the disk


@pytest.mark.skipif(SYNCFS is None, reason="the C library has no syncfs")
def test_syncfs_is_the_systems_own(tmp_path: Path) -> None:
    assert SYNCFS is not None
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert SYNCFS(descriptor) == 0
    os.close(descriptor)
    assert SYNCFS(descriptor) == -1  # closed
    assert ctypes.get_errno() == 9


def test_without_syncfs_each_file_and_its_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(directory, "SYNCFS", None)
    monkeypatch.setattr(sync, "SYNCFS", None)
    store = DirectoryStore(str(tmp_path), durable=True)
    store.put(KEY, b"\xff\x4f")
    store.sync()
    assert synced == [str(tmp_path / KEY), str((tmp_path / KEY).parent)]
    DirectoryStore(str(tmp_path)).put(KEY, b"\xff\x4f")
    assert len(synced) == 2
