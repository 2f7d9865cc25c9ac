"""What a store holds of many series of a study, from one listing of the study: a request for a thousand objects.

Stores list in an order of their own, and series are asked for in another, much like it. So the listing is read as far
as it takes, and what it passes is kept for a while.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from stillframe.archive.holdings import HeldInstance, held_in_series
from stillframe.layout import parse_key, study_series_key
from stillframe.store.base import Store

# Objects of other series that are passed for one series; then it is listed by itself.
_MOST_PASSED: Final = 4000
# Objects of series that were passed and are kept.
_MOST_KEPT: Final = 20_000

type Held = dict[str, HeldInstance]


class StudyListing:
    """The listing of one `study`, for any thread."""

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self.study = study
        self._series = self._iter_series()
        self._kept: OrderedDict[str, tuple[Held, int]] = OrderedDict()
        self._objects = 0
        self._lock = threading.Lock()

    def held(self, series: str) -> Held:
        """What the store holds of each instance of a series, as `held_in_series`.

        Raises:
            StoreError: if the store fails.
        """
        with self._lock:
            held = self._take(series)
        return held_in_series(self._store, self.study, series) if held is None else held

    def _take(self, series: str) -> Held | None:
        """The series, if it was passed or comes soon."""
        if series in self._kept:
            held, objects = self._kept.pop(series)
            self._objects -= objects
            return held
        passed = 0
        for name, held, objects in self._series:
            if name == series:
                return held
            self._keep(name, held, objects)
            passed += objects
            if passed > _MOST_PASSED:
                break
        return None

    def _keep(self, series: str, held: Held, objects: int) -> None:
        self._kept[series] = held, objects
        self._objects += objects
        while self._objects > _MOST_KEPT:
            self._objects -= self._kept.popitem(last=False)[1][1]

    def _iter_series(self) -> Iterator[tuple[str, Held, int]]:
        listed = ((parse_key(key), key, size) for key, size in self._store.list(f"{study_series_key(self.study)}/"))
        for series, objects in groupby(listed, lambda item: item[0].series):
            held: Held = {}
            count = 0
            for parsed, key, size in objects:
                count += 1
                if parsed.instance:
                    held.setdefault(parsed.instance, HeldInstance()).add(key, size)
            yield series, held, count
