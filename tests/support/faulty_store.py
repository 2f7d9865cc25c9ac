"""A store that fails by plan: the seam at which faults are put into a build."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Self, override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import PreconditionFailed, StoreError
from stillframe.store.base import ObjectHead, Store, StoredObject, Written


class Fault(StrEnum):
    """What may become of a request."""

    REFUSED = "refused"  # nothing happens
    CUT_OFF = "cut off"  # it takes place, the answer never comes
    LOST = "lost"  # a conditional write takes place, is made again as its answer got lost, and meets itself
    SLOW = "slow"


class FaultyStore(Store):
    """Passes requests on to another store, but for those whose number in the plan has a fault.

    `calls` are the requests so far, `injected` the faults that really took place; `watch` is called after every request
    that may have changed something.
    """

    def __init__(
        self, inner: Store, plan: Mapping[int, Fault] | None = None, watch: Callable[[], None] = lambda: None
    ) -> None:
        self._inner = inner
        self._plan = plan or {}
        self._watch = watch
        self._lock = threading.Lock()
        self._root: FaultyStore = self
        self.calls: list[str] = []
        self.injected: list[Fault] = []

    @property
    @override
    def parallel(self) -> int:
        return self._inner.parallel

    @override
    def below(self, name: str) -> Self:
        part = type(self)(self._inner.below(name), self._plan, self._watch)
        part._root = self._root
        return part

    def _request[T](self, what: str, act: Callable[[], T], *, writes: bool = False, conditional: bool = False) -> T:
        root = self._root
        planned = threading.current_thread().name != "claims"  # renewals beside the work come when they come
        with root._lock:
            fault = root._plan.get(len(root.calls)) if planned else None
            if planned:
                root.calls.append(what)
            if fault is Fault.LOST and not conditional:
                fault = None
            if fault is not None:
                root.injected.append(fault)
        if fault is Fault.REFUSED:
            raise StoreError(f"{what}: refused")
        if fault is Fault.SLOW:
            time.sleep(0.01)
        try:
            result = act()
        finally:
            if writes:
                root._watch()
        if fault is Fault.CUT_OFF:
            raise StoreError(f"{what}: no answer")
        if fault is Fault.LOST:
            raise PreconditionFailed(f"{what}: is another version by now")
        return result

    @override
    def get(self, key: str) -> StoredObject | None:
        return self._request(f"get {key}", lambda: self._inner.get(key))

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        return self._request(f"get {key}", lambda: self._inner.get_range(key, offset, length))

    @override
    def head(self, key: str) -> ObjectHead | None:
        return self._request(f"head {key}", lambda: self._inner.head(key))

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        return self._request(
            f"put {key}",
            lambda: self._inner.put(key, data, if_match=if_match, if_none_match=if_none_match),
            writes=True,
            conditional=if_none_match or if_match is not None,
        )

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        return iter(self._request(f"list {resource}", lambda: [*self._inner.list(resource)]))

    @override
    def children(self, resource: str) -> Iterator[str]:
        return iter(self._request(f"list {resource}", lambda: [*self._inner.children(resource)]))

    @override
    def delete(self, key: str) -> None:
        self._request(f"delete {key}", lambda: self._inner.delete(key), writes=True)

    @override
    def delete_many(self, keys: Iterable[str]) -> None:
        listed = [*keys]
        self._request(f"delete {', '.join(listed)}", lambda: self._inner.delete_many(listed), writes=True)
