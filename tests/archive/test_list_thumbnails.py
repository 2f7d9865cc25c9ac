"""Thumbnails that belong to lists: drawn, kept, and removed as the series around them changes."""

from __future__ import annotations

import os
from concurrent.futures import Future
from pathlib import Path
from typing import Any, override

import numpy as np
import pytest

from stillframe.archive.claims import Lease, settled_state
from stillframe.archive.delete import Scope
from stillframe.archive.drawing import Drawer, draw_here
from stillframe.archive.holdings import read_metadata
from stillframe.archive.reindex import index_archive
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import WorkerDied, WorkersLost
from stillframe.execute import SerialExecutor, WorkersElsewhere, fail
from stillframe.layout import frame_key, thumbnail_key
from stillframe.options import BuildOptions, Thumbnails
from stillframe.store.directory import DirectoryStore
from tests.support.archives import SECRET, Interrupted, objects_of_roots, publish, remove
from tests.support.dicom_files import SERIES, STUDY, image, instance_uid, noise, write, write_series
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, contents, objects

SERIES_KEY = thumbnail_key(STUDY, SERIES)


def key(number: int) -> str:
    return thumbnail_key(STUDY, SERIES, instance_uid(number))


def thumbnails(store: MemoryStore) -> set[str]:
    return {key for key, _ in store.list("") if key.endswith("/thumbnail")}


def of_lists(*numbers: int) -> set[str]:
    return {SERIES_KEY, thumbnail_key(STUDY), *map(key, numbers)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_series(tmp_path / "in", 7)


def files(source: Path, *numbers: int) -> list[Path]:
    return [source / f"{number:03}.dcm" for number in numbers]


def test_the_middle_moves_as_a_series_grows_and_shrinks(source: Path) -> None:
    store = MemoryStore()
    for numbers, middle in (((1,), 1), ((1, 2, 3), 2), ((1, 2, 3, 4, 5, 6, 7), 4)):
        publish(store, *files(source, *numbers))
        assert thumbnails(store) == of_lists(middle)
        clean = MemoryStore()
        publish(clean, *files(source, *numbers))
        assert objects(store) == objects(clean)
    for deleted, middle in ((1, 5), (5, 4), (7, 4)):
        remove(store, Scope(STUDY, SERIES, instance_uid(deleted)))
        assert thumbnails(store) == of_lists(middle)
    clean = MemoryStore()
    publish(clean, *files(source, 2, 3, 4, 6))
    assert objects(store) == objects(clean)


@pytest.mark.parametrize("halves", [((1, 3, 5, 7), (2, 4, 6)), ((1, 2, 3), (4, 5, 6, 7)), ((5, 6, 7), (1, 2, 3, 4))])
@pytest.mark.parametrize("late", ["/frame-index", f"{SERIES}/metadata", "/thumbnail", f"{SERIES}/thumbnail"])
def test_two_halves_at_once_end_as_one_build(source: Path, halves: Any, late: str) -> None:
    clean, shared = MemoryStore(), MemoryStore()
    publish(clean, source)
    other = Interrupted(late, lambda _: publish(shared, *files(source, *halves[1])), shared)
    publish(other, *files(source, *halves[0]))
    assert other.acted
    assert objects(shared) == objects(clean)


def test_unlisted_halves_end_as_one_build(source: Path) -> None:
    clean, store = MemoryStore(), MemoryStore()
    publish(clean, source, secret=SECRET)
    for half in ((2, 4, 6), (1, 3, 5, 7)):
        publish(store, *files(source, *half), secret=SECRET)
    assert objects_of_roots(store) == objects_of_roots(clean)


def test_thumbnails_of_all_instances_and_of_none_stay_beside_others(source: Path) -> None:
    store = MemoryStore()
    publish(store, *files(source, 1, 2), thumbnails=Thumbnails.INSTANCES)
    publish(store, *files(source, 6, 7), thumbnails=Thumbnails.NONE)
    publish(store, *files(source, 3, 4, 5))
    assert thumbnails(store) == of_lists(1, 2, 4)
    before = objects(store)
    index_archive(store, "", NoProgress())
    assert objects(store) == before


def test_an_index_draws_what_is_missing_and_removes_what_is_too_many(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    before = objects(store)
    store.put(key(2), b"of another middle")
    store.put(SERIES_KEY, before[SERIES_KEY][:-1])
    store.delete(key(4))
    index_archive(store, "", NoProgress())
    assert objects(store) == before


def test_a_build_removes_what_a_killed_one_left(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    before = objects(store)
    store.put(key(2), before[key(4)])
    publish(store, source)
    assert objects(store) == before


def test_frames_of_a_replacement_that_came_to_nothing_are_not_shown(source: Path, tmp_path: Path) -> None:
    """They are there when the middle moves to their instance, whose former input is then published again."""
    store, other, clean = MemoryStore(), MemoryStore(), MemoryStore()
    publish(store, *files(source, 1, 2, 3, 4, 5))
    publish(other, write(tmp_path, "other.dcm", image(4, noise(99))))
    uids = InstanceUIDs(STUDY, SERIES, instance_uid(4))
    with Lease(store, uids, settled_state(store, uids)) as lease:
        store.put(frame_key(uids, 1), other.objects[frame_key(uids, 1)].data)
        lease.give_up()
    publish(store, *files(source, 6, 7))
    assert key(4) not in thumbnails(store)
    publish(store, *files(source, 4))
    publish(clean, source)
    assert objects(store) == objects(clean)


def test_a_deletion_removes_what_a_killed_one_left(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    store.put(key(2), b"of another middle")
    remove(store, Scope(STUDY, SERIES, instance_uid(7)))
    assert thumbnails(store) == of_lists(4)


class CountingStore(MemoryStore):
    """Counts the frames that are read."""

    frames = 0

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        self.frames += "/frames/" in key
        return super().get_range(key, offset, length)


def test_a_thumbnail_is_drawn_once_and_not_again(source: Path) -> None:
    store = CountingStore()
    publish(store, source)
    assert store.frames == 1  # for the instance, its series and its study
    publish(store, source)
    index_archive(store, "", NoProgress())
    assert store.frames == 1


def test_a_damaged_frame_does_not_stand_for_others(tmp_path: Path) -> None:
    """It is published as zeros; the first one behind it is shown, whoever draws it."""
    frames = np.stack([noise(number, (40, 48)) for number in range(5)])
    frames[2] = 0
    path = write(tmp_path, "in.dcm", image(1, frames))
    shown = write(tmp_path, "shown.dcm", image(1, frames[3]))
    for name, options in (("series", BuildOptions()), ("all", BuildOptions(thumbnails=Thumbnails.INSTANCES))):
        tolerant = BuildOptions(thumbnails=options.thumbnails, keep_damaged=True)
        build_tree(tmp_path / name, path, options=tolerant)
        build_tree(tmp_path / f"{name} strict", path, options=options)
    build_tree(tmp_path / "shown", shown)
    pictures = {
        name: contents(tmp_path / name)[SERIES_KEY].partition(b"STILLFRAME")[2][100:]
        for name in ("series", "all", "series strict", "all strict", "shown")
    }
    assert pictures["series"] == pictures["all"] == pictures["shown"]
    assert pictures["series strict"] == pictures["all strict"] != pictures["series"]


class DeadlyStore(DirectoryStore):
    """Ends the process that reads a frame."""

    @override
    def __reduce__(self) -> Any:
        return DeadlyStore, (self.root,)

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        if "/frames/" in key:
            os._exit(9)
        return super().get_range(key, offset, length)


def build_and_read(source: Path, tree: Path) -> tuple[DirectoryStore, JSONDataset]:
    """A tree, and the metadata of the fourth instance in it."""
    build_tree(tree, source)
    store = DirectoryStore(str(tree))
    metadata = read_metadata(store, InstanceUIDs(STUDY, SERIES, instance_uid(4)))
    assert metadata is not None
    return store, metadata


@pytest.mark.slow
def test_thumbnails_are_drawn_in_processes_that_may_die(source: Path, tmp_path: Path) -> None:
    store, metadata = build_and_read(source, tmp_path / "tree")
    expected = contents(tmp_path / "tree")[key(4)]
    assert draw_here(store, metadata) == expected
    with Drawer(1) as draw:
        assert draw.apart
        assert draw(store, metadata) == expected
        assert draw(DeadlyStore(str(tmp_path / "tree")), metadata) is None
        assert draw(store, metadata) == expected
        assert draw.seconds > 0


class Dying(SerialExecutor, WorkersElsewhere):
    """Stands for workers on other machines of which each drawing has the same end."""

    workers = 2

    def __init__(self, error: Exception) -> None:
        self._error = error

    @override
    def submit_first(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        fail(future, self._error)
        return future

    @override
    def end_processes(self) -> None:
        pass


@pytest.mark.slow
def test_what_workers_elsewhere_are_lost_with_is_drawn_here(source: Path, tmp_path: Path) -> None:
    store, metadata = build_and_read(source, tmp_path / "tree")
    with Drawer(1, elsewhere=Dying(WorkersLost("4 of them"))) as draw:
        assert draw(store, metadata) == contents(tmp_path / "tree")[key(4)]
        assert draw(DeadlyStore(str(tmp_path / "tree")), metadata) is None
    with Drawer(1, elsewhere=Dying(WorkerDied("its process"))) as draw:
        assert draw(store, metadata) is None
