"""Drafts in a folder: seen by nobody, put in their place as a whole, and one holder at a time."""

from __future__ import annotations

import errno
import fcntl
import io
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import ClaimLost, KeyRefused, LayoutError, StoreError
from stillframe.layout import bulk_data_key, frame_key, instance_key, key_of_path, metadata_key
from stillframe.store.base import Draft
from stillframe.store.directory import DirectoryStore
from tests.support.trees import contents

UIDS = InstanceUIDs("1.2", "1.3", "1.4")
RESOURCE = instance_key(UIDS)
FRAME = frame_key(UIDS, 1)
METADATA = metadata_key(UIDS.study, UIDS.series, UIDS.instance)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(str(tmp_path / "tree"))


def begin(store: DirectoryStore, stale: str = "") -> Draft:
    draft = store.draft(RESOURCE, stale)
    assert draft is not None
    return draft


def test_nothing_of_a_draft_is_seen_until_all_of_it_is(store: DirectoryStore) -> None:
    draft = begin(store)
    assert draft.put(FRAME, b"frame").size == 5
    assert draft.put(RESOURCE, io.BytesIO(b"DICM" * 1000)).size == 4000
    draft.put(METADATA, b"[]")
    assert list(store.list("")) == []
    assert list(store.children("studies/1.2/series/1.3/instances")) == []
    for path in contents(Path(store.root)):
        with pytest.raises(LayoutError):  # so no host that knows the layout sends it
            key_of_path(path)
    draft.commit()
    draft.close()
    assert dict(store.list("")) == {FRAME: 5, RESOURCE: 4000, METADATA: 2}
    assert store.get(FRAME).data == b"frame"  # type: ignore[union-attr]  # it was just listed
    assert not list(Path(store.root).rglob(".*"))


def test_what_is_deleted_or_not_committed_is_gone(store: DirectoryStore) -> None:
    draft = begin(store)
    draft.put(FRAME, b"frame")
    draft.delete(FRAME)
    draft.delete(FRAME)
    draft.put(METADATA, b"[]")
    draft.put(METADATA, b"")
    draft.close()
    assert contents(Path(store.root)) == {}
    begin(store).close()  # nobody holds it


def test_of_two_who_begin_one_makes_the_draft_and_the_other_sees_that_it_lives(store: DirectoryStore) -> None:
    assert store.drafted(RESOURCE) == ""
    draft = begin(store)
    with pytest.raises(ClaimLost):
        store.draft(RESOURCE)
    before = store.drafted(RESOURCE)
    assert before
    time.sleep(0.05)
    draft.renew()
    assert store.drafted(RESOURCE) not in ("", before)
    draft.close()
    assert store.drafted(RESOURCE) == ""


def test_what_is_there_already_has_no_draft(store: DirectoryStore) -> None:
    assert store.seems_new(RESOURCE)
    store.put(METADATA, b"[]")
    assert not store.seems_new(RESOURCE)
    assert store.draft(RESOURCE) is None


def test_a_place_that_another_job_has_taken_is_left_to_it(store: DirectoryStore) -> None:
    draft = begin(store)
    draft.put(FRAME, b"late")
    store.put(FRAME, b"first")
    with pytest.raises(ClaimLost):
        draft.commit()
    draft.close()
    assert list(contents(Path(store.root)).values()) == [b"first"]


def test_a_holder_that_stands_still_loses_its_draft_and_can_commit_nothing(store: DirectoryStore) -> None:
    old = begin(store)
    old.put(FRAME, b"old")
    new = begin(store, store.drafted(RESOURCE))
    with pytest.raises(ClaimLost):
        old.put(frame_key(UIDS, 2), b"late")
    with pytest.raises(ClaimLost):
        old.commit()
    new.put(FRAME, b"new")
    old.close()
    new.commit()
    new.close()
    assert contents(Path(store.root)) == {FRAME: b"new"}
    assert not list(Path(store.root).rglob(".*"))


def test_a_draft_that_was_renewed_is_not_taken_over(store: DirectoryStore) -> None:
    draft = begin(store)
    seen = store.drafted(RESOURCE)
    time.sleep(0.05)
    draft.renew()
    with pytest.raises(ClaimLost):
        store.draft(RESOURCE, seen)
    draft.put(FRAME, b"frame")
    draft.commit()


def begin_and_die(root: str) -> None:
    begin(DirectoryStore(root)).put(FRAME, b"half")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_what_a_killed_job_left_is_removed_by_the_next_and_by_a_deletion(store: DirectoryStore) -> None:
    other = metadata_key("1.2", "1.3", "1.5")
    for _ in range(2):
        job = multiprocessing.get_context("spawn").Process(target=begin_and_die, args=(store.root,))
        job.start()
        job.join()
        assert len(contents(Path(store.root))) == 1
        assert store.drafted(RESOURCE) == ""
    draft = begin(store)
    assert contents(Path(store.root)) == {}
    store.put(other, b"[]")
    store.delete(other)
    assert list(Path(store.root).rglob(".*"))  # it is held
    draft.close()
    job = multiprocessing.get_context("spawn").Process(target=begin_and_die, args=(store.root,))
    job.start()
    job.join()
    store.put(other, b"[]")
    store.delete(other)
    assert list(Path(store.root).iterdir()) == []


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(f"{tmp_path}{'/' + 'x' * 250 * 1}")
    draft = begin(store)
    deep = "/".join(["00400275", "1"] * 400)
    with pytest.raises(KeyRefused):
        draft.put(bulk_data_key(UIDS, f"{deep}/00420011"), b"x")
    draft.close()


def test_a_folder_that_cannot_be_written_is_an_error_with_its_name(store: DirectoryStore) -> None:
    (Path(store.root) / "studies/1.2/series/1.3").mkdir(parents=True)
    (Path(store.root) / "studies/1.2/series/1.3/instances").write_bytes(b"in the way")
    with pytest.raises(StoreError, match=r"instances/1\.4"):
        store.draft(RESOURCE)


def test_where_folders_cannot_be_locked_there_are_no_drafts(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # what NFS says

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert store.draft(RESOURCE) is None
    assert not list(Path(store.root).rglob(".*"))
