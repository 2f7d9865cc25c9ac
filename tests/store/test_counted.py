"""Bytes that are put through a store are counted, by whichever thread and below whichever name."""

from __future__ import annotations

import pickle

import pytest

from stillframe.errors import PreconditionFailed
from stillframe.parallel import side_by_side
from stillframe.store.counted import CountedStore
from tests.support.memory_store import MemoryStore


def test_every_put_counts() -> None:
    store = CountedStore(MemoryStore())
    below = store.below("root")
    side_by_side(4, lambda number: store.put(f"studies/1.{number}/metadata", bytes(number)), range(50))
    below.put("studies", b"[]")
    below.put("studies", b"[1]")
    with pytest.raises(PreconditionFailed):
        store.put("studies/1.2/metadata", b"[]", if_none_match=True)
    assert store.written == sum(range(50)) + 5


def test_another_process_counts_anew() -> None:
    store = CountedStore(MemoryStoreOfNothing())
    store.put("studies", b"[]")
    other = pickle.loads(pickle.dumps(store))
    assert isinstance(other, CountedStore)
    assert (store.written, other.written) == (2, 0)


class MemoryStoreOfNothing(MemoryStore):
    """A store that other processes find empty."""

    def __reduce__(self) -> tuple[type[MemoryStoreOfNothing], tuple[()]]:
        """Without what it holds."""
        return MemoryStoreOfNothing, ()
