"""Documents are replaced where they are as they were read; what is known of them is of the version that is there."""

from __future__ import annotations

import pytest

from stillframe.archive.documents import (
    Before,
    derive_document,
    read_entries,
    read_summaries,
    read_versioned,
    version_of,
)
from stillframe.archive.entries import Made, encode_list, join_lines
from stillframe.dicom.json_model import JSONDataset
from stillframe.errors import PreconditionFailed
from stillframe.layout import metadata_key
from tests.support.memory_store import MemoryStore

KEY = metadata_key("1", "2")
SHORT, LONG = 10, 5 << 20
SIZES = pytest.mark.parametrize("size", [SHORT, LONG], ids=["short", "long"])
STORES = pytest.mark.parametrize("parallel", [1, 8], ids=["near", "far"])


def instance(number: int, size: int = SHORT) -> JSONDataset:
    uids = {"00080018": f"3.{number}", "0020000D": "1", "0020000E": "2"}
    text = {"vr": "UT", "Value": ["x" * size]}
    return {**{tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}, "00431000": text}


def uids_of(summaries: object) -> list[str]:
    assert isinstance(summaries, list | tuple)
    return [summary["00080018"]["Value"][0] for summary in summaries]


@SIZES
@STORES
def test_a_document_is_replaced_only_where_it_is_as_it_was_read(size: int, parallel: int) -> None:
    store = MemoryStore(parallel)
    first, second = encode_list([instance(1, size)]), encode_list([instance(1, size), instance(2)])
    new = Before(store, KEY)
    assert new.take() is None
    assert not new.is_there
    late = Before(store, KEY)
    assert new.replace(first)
    with pytest.raises(PreconditionFailed):
        late.replace(second)
    before, late = Before(store, KEY), Before(store, KEY)
    for reader in (before, late):
        assert reader.take() == first
    assert not before.replace(first)
    assert before.replace(second)
    with pytest.raises(PreconditionFailed):
        late.replace(encode_list([instance(3)]))
    assert store.objects[KEY].data == second


@SIZES
@STORES
def test_what_is_read_is_what_is_there_now(size: int, parallel: int) -> None:
    """However often, and whoever wrote it."""
    store, other = MemoryStore(parallel), MemoryStore(parallel)
    assert read_versioned(store, KEY) == ((), None)
    versions = []
    for count in (1, 2, 1, 3):
        store.put(KEY, encode_list([instance(number, size) for number in range(count)]))
        other.put(KEY, encode_list([instance(9)]))
        for _ in range(2):
            summaries, version = read_versioned(store, KEY)
            assert uids_of(summaries) == [f"3.{number}" for number in range(count)]
            assert version == version_of(store, KEY)
            assert join_lines(read_entries(store, KEY)[0].lines) == store.objects[KEY].data
            assert uids_of(read_summaries(other, KEY)) == ["3.9"]
        versions.append(version)
    assert len(set(versions[:2])) == 2
    store.delete(KEY)
    assert read_versioned(store, KEY) == ((), None)


@STORES
def test_what_belongs_elsewhere_is_no_entry(parallel: int) -> None:
    store = MemoryStore(parallel)
    data = encode_list([instance(1), instance(2)])
    for key in (metadata_key("1", "7"), metadata_key("7")):
        store.put(key, data)
        assert read_entries(store, key)[0].lines == ()
        before = Before(store, key)
        assert before.take_entries() is None
        assert before.is_there


def test_a_document_is_made_until_what_it_is_made_from_stays() -> None:
    """Somebody changes that twice while it is being written."""
    store = MemoryStore()
    source = metadata_key("1", "2", "3.1")
    rounds: list[str] = []

    def look() -> str:
        return str(store.get(source))

    def make(_: Before) -> tuple[Made, str]:
        seen = look()
        rounds.append(seen)
        if len(rounds) <= 2:
            store.put(source, str(len(rounds)).encode())
        return Made(encode_list([instance(len(rounds))])), seen

    derive_document(store, KEY, make, look)
    assert len(rounds) == 3
    assert rounds[-1] == look()
    assert uids_of(read_summaries(store, KEY)) == ["3.3"]
