"""A series that is in step is told from one that is not; a rerun leaves the first alone and mends the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stillframe.archive.entries import Line, join_lines, split_lines
from stillframe.archive.in_step import is_in_step
from stillframe.layout import frame_index_key, instances_key, metadata_key, thumbnail_key
from stillframe.options import Thumbnails
from stillframe.store.base import Store, StoredObject
from tests.support.archives import publish
from tests.support.dicom_files import SERIES, STUDY, instance_uid, write_series
from tests.support.memory_store import MemoryStore
from tests.support.trees import objects

LIST = instances_key(STUDY, SERIES)
MIDDLE = thumbnail_key(STUDY, SERIES, instance_uid(2))
OTHER = thumbnail_key(STUDY, SERIES, instance_uid(1))
OF_SERIES = thumbnail_key(STUDY, SERIES)


INDEX = frame_index_key(STUDY, SERIES)
OF_BEFORE = b'"suggested":{"chunkSize":{"1":4096}},"crc32"'


def put_entries(store: MemoryStore, change: Callable[[Sequence[Line]], Sequence[Line]]) -> None:
    """Other entries of the metadata of the series, in lines."""
    key = metadata_key(STUDY, SERIES)
    store.put(key, join_lines(change(split_lines(store.objects[key].data) or ())))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_series(tmp_path / "in", 3)


def in_step(store: Store, *thumbnails: int, base_url: str = "") -> bool:
    return is_in_step(store, STUDY, SERIES, frozenset(map(instance_uid, thumbnails)), base_url)


def put_other(store: MemoryStore, key: str) -> None:
    """The picture of another image, with that one's mark."""
    store.put(key, store.objects[key].data.replace(b"blake3=", b"blake3=0"))


@pytest.mark.parametrize("thumbnails", [*Thumbnails])
def test_what_a_build_leaves_is_in_step(source: Path, thumbnails: Thumbnails) -> None:
    store = MemoryStore()
    publish(store, source, thumbnails=thumbnails)
    shown = {Thumbnails.SERIES: (2,), Thumbnails.INSTANCES: (1, 2, 3), Thumbnails.NONE: ()}
    assert in_step(store, *shown[thumbnails])


DAMAGE: dict[str, Callable[[MemoryStore], object]] = {
    "no list": lambda store: store.delete(LIST),
    "a list of less": lambda store: store.put(LIST, b"[]"),
    "no thumbnail of the middle": lambda store: store.delete(MIDDLE),
    "another thumbnail of the middle": lambda store: put_other(store, MIDDLE),
    "half a thumbnail": lambda store: store.put(MIDDLE, store.objects[MIDDLE].data[:-9]),
    "no thumbnail of the series": lambda store: store.delete(OF_SERIES),
    "another thumbnail of the series": lambda store: put_other(store, OF_SERIES),
    "metadata that name an instance twice": lambda store: put_entries(store, lambda lines: [*lines, lines[0]]),
    "metadata in another order": lambda store: put_entries(store, lambda lines: lines[::-1]),
    "no frame index": lambda store: store.delete(INDEX),
    "half a frame index": lambda store: store.put(INDEX, store.objects[INDEX].data[:-9]),
    "a frame index of before": lambda store: store.put(INDEX, store.objects[INDEX].data.replace(b'"crc32"', OF_BEFORE)),
    "one of a middle from before": lambda store: store.put(OTHER, store.objects[MIDDLE].data),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("parallel", [1, 8])
def test_what_is_not_in_step_is_mended_by_the_next_build(
    source: Path, damage: Callable[[MemoryStore], object], parallel: int
) -> None:
    store = MemoryStore(parallel)
    publish(store, source)
    before = objects(store)
    damage(store)
    shown = [number for number in (1, 2) if thumbnail_key(STUDY, SERIES, instance_uid(number)) in store.objects]
    assert not in_step(store, *shown)
    publish(store, source)
    assert objects(store) == before


def test_other_urls_are_written_anew(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    assert not in_step(store, 2, base_url="https://example.org/dicomweb")


def test_a_series_in_step_is_only_read_by_the_next_build(source: Path) -> None:
    class ReadOnly(MemoryStore):
        def __init__(self, objects: dict[str, StoredObject]) -> None:
            super().__init__(8)
            self.objects = objects
            self.read: list[str] = []

        def put(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise AssertionError

        def delete(self, key: str) -> None:
            raise AssertionError(key)

        def get(self, key: str) -> StoredObject | None:
            self.read.append(key)
            return super().get(key)

    store = MemoryStore(8)
    publish(store, source)
    again = ReadOnly(store.objects)
    publish(again, source)
    of_series = [key for key in again.read if SERIES in key]
    assert sorted(of_series) == sorted(
        [
            *(f"{LIST}/{instance_uid(number)}/metadata" for number in (1, 2, 3)),
            INDEX, INDEX, LIST, MIDDLE, OF_SERIES,
            *[metadata_key(STUDY, SERIES)] * of_series.count(metadata_key(STUDY, SERIES)),
        ]
    )  # fmt: skip
