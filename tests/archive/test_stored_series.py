"""One listing of a study tells of each of its series what a listing of that one does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import override

import pytest

from stillframe.archive import stored_series
from stillframe.archive.holdings import held_in_series
from stillframe.archive.stored_series import StudyListing
from stillframe.parallel import side_by_side
from tests.support.memory_store import MemoryStore

_STUDY = "1.2"
_SERIES = [f"1.2.{number}" for number in range(1, 30)] + ["1.2.1.5", "1.2.10.7", "1.2.3.4.5"]


class _Listed(MemoryStore):
    """A store in the order of keys, as S3 lists; it counts how often it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        self.asked.append(resource)
        return iter(sorted(super().list(resource)))


def _store() -> _Listed:
    store, sizes = _Listed(), random.Random(1)
    for series in _SERIES:
        root = f"studies/{_STUDY}/series/{series}"
        store.put(f"{root}/metadata", b"[]")
        store.put(f"{root}/instances", b"[]")
        for instance in ("1.3.1", "1.3.1.2")[: sizes.randint(0, 2)]:
            for name in ("metadata", "frames/1", "frames/2", "reduced/2/frames/1", "thumbnail", "rendered"):
                store.put(f"{root}/instances/{instance}/{name}", bytes(sizes.randint(1, 99)))
    store.put(f"studies/{_STUDY}/instances", b"[]")
    store.put("studies/1.2.9/series/1.2.1/instances/1/metadata", b"[]")
    return store


@pytest.mark.parametrize("order", [sorted, lambda series: sorted(series, reverse=True)])
def test_every_series_is_told_in_any_order_by_one_listing(order: type[list[str]]) -> None:
    store, other = _store(), _store()
    listing = StudyListing(store, _STUDY)
    for series in order(_SERIES):
        assert listing.held(series) == held_in_series(other, _STUDY, series)
    assert store.asked == [f"studies/{_STUDY}/series/"]


def test_threads_may_ask_side_by_side() -> None:
    store, other = _store(), _store()
    held = side_by_side(8, StudyListing(store, _STUDY).held, _SERIES)
    assert held == [held_in_series(other, _STUDY, series) for series in _SERIES]


def test_a_series_that_is_not_there_is_empty() -> None:
    listing = StudyListing(_store(), _STUDY)
    assert listing.held("1.2.77") == {}
    assert listing.held(_SERIES[0]) == held_in_series(_store(), _STUDY, _SERIES[0])


def test_what_is_far_away_in_the_listing_is_listed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_series, "_MOST_PASSED", 20)
    monkeypatch.setattr(stored_series, "_MOST_KEPT", 30)
    store, other = _store(), _store()
    listing = StudyListing(store, _STUDY)
    for series in sorted(_SERIES, reverse=True):
        assert listing.held(series) == held_in_series(other, _STUDY, series)
    assert 1 < len(store.asked) <= 1 + len(_SERIES)
