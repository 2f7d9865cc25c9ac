from __future__ import annotations

import io
import multiprocessing
import pickle
from pathlib import Path

import pytest

from stillframe.errors import PreconditionFailed, StoreError
from stillframe.store.directory import DirectoryStore

KEY = "studies/1.2/series"
OTHER = "studies/1.2/series/1.3/instances/1.4/frames/1"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    made = DirectoryStore(str(tmp_path / "tree"))
    made.create()
    return made


def test_what_is_put_is_there_whole_and_where_the_format_says(store: DirectoryStore) -> None:
    assert store.get(KEY) is None
    assert store.put(KEY, b"list").size == 4
    assert store.put(OTHER, io.BytesIO(b"frame" * 1000)).size == 5000
    found = store.get(KEY)
    assert found is not None
    assert found.data == b"list"
    assert (Path(store.root) / "studies/1.2/series/index.json").read_bytes() == b"list"
    assert (Path(store.root) / OTHER).read_bytes() == b"frame" * 1000
    store.put(KEY, b"new")
    assert store.get(KEY).data == b"new"  # type: ignore[union-attr]  # it was there a moment ago


def test_conditions(store: DirectoryStore) -> None:
    store.put(KEY, b"1", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        store.put(KEY, b"2", if_none_match=True)
    first = store.get(KEY)
    assert first is not None
    store.put(KEY, b"2", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        store.put(KEY, b"3", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        store.put(OTHER, b"3", if_match=first.etag)
    assert store.get(KEY).data == b"2"  # type: ignore[union-attr]  # as above
    assert {path.name for path in Path(store.root).rglob("*") if path.is_file()} == {"index.json"}


def test_listing_and_deleting(store: DirectoryStore) -> None:
    store.put(KEY, b"list")
    store.put(OTHER, b"frame")
    store.put("studies/1.2/series/1.3/instances/1.4", b"DICM")
    (Path(store.root) / "studies/1.2/series/1.3/instances/1.4/frames/.2.part").write_bytes(b"left by a killed job")
    assert list(store.list("studies/1.2/series/1.3/instances/1.4/")) == [
        (OTHER, 5),
        ("studies/1.2/series/1.3/instances/1.4", 4),
    ]
    assert list(store.list("studies/9/")) == []
    store.delete("studies/1.2/series/1.3/instances/1.4")
    store.delete("studies/1.2/series/1.3/instances/1.4")
    store.delete(OTHER)
    assert [key for key, _ in store.list("studies/")] == [KEY]


def test_a_file_in_the_way_of_a_folder_is_an_error_with_its_key(store: DirectoryStore) -> None:
    (Path(store.root) / "studies").write_bytes(b"")
    with pytest.raises(StoreError, match=KEY):
        store.put(KEY, b"list")


def append(store: DirectoryStore, mark: bytes, times: int) -> None:
    """Read, add, write on condition, until it works: what two jobs do to one list."""
    for _ in range(times):
        while True:
            found = store.get(KEY)
            try:
                if found is None:
                    store.put(KEY, mark, if_none_match=True)
                else:
                    store.put(KEY, found.data + mark, if_match=found.etag)
            except PreconditionFailed:
                continue
            break


@pytest.mark.slow
def test_conditional_writes_of_many_processes_lose_nothing(store: DirectoryStore) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=append, args=(store, mark, 60)) for mark in (b"a", b"b", b"c")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert sorted(store.get(KEY).data) == sorted(b"abc" * 60)  # type: ignore[union-attr]  # three wrote it


def overwrite(store: DirectoryStore, mark: bytes, times: int) -> None:
    for _ in range(times):
        store.put(OTHER, mark * 200_000)


@pytest.mark.slow
def test_readers_never_see_a_mixture(store: DirectoryStore) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=overwrite, args=(store, mark, 150)) for mark in (b"a", b"b")]
    for job in jobs:
        job.start()
    seen = set()
    while any(job.is_alive() for job in jobs):
        found = store.get(OTHER)
        if found is not None:
            assert found.data in (b"a" * 200_000, b"b" * 200_000)
            seen.add(found.data[:1])
    for job in jobs:
        job.join()
    assert seen
    assert [path.name for path in (Path(store.root) / OTHER).parent.iterdir()] == ["1"]


def test_what_a_killed_job_left_half_written_is_taken_over(store: DirectoryStore) -> None:
    path = Path(store.root) / OTHER
    path.parent.mkdir(parents=True)
    leftover = path.parent / f".{path.name}.part"
    leftover.write_bytes(b"longer than what comes now")
    assert store.get(OTHER) is None
    store.put(OTHER, b"short")
    assert path.read_bytes() == b"short"
    assert not leftover.exists()
    leftover.write_bytes(b"again")
    with pytest.raises(PreconditionFailed):
        store.put(OTHER, b"no", if_none_match=True)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def put_and_delete(store: DirectoryStore, key: str, times: int) -> None:
    for _ in range(times):
        store.put(key, b"x")
        store.delete(key)


@pytest.mark.slow
def test_folders_that_come_and_go_under_other_jobs_cost_no_write(store: DirectoryStore) -> None:
    context = multiprocessing.get_context("spawn")
    keys = [OTHER, OTHER, OTHER.replace("frames/1", "frames/2"), OTHER.replace("1.4", "1.5")]
    jobs = [context.Process(target=put_and_delete, args=(store, key, 300)) for key in keys]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert [job.exitcode for job in jobs] == [0] * 4
    assert list(Path(store.root).iterdir()) == []


def test_a_store_crosses_processes(store: DirectoryStore) -> None:
    store.put(KEY, b"list")
    assert pickle.loads(pickle.dumps(store)).get(KEY).data == b"list"
