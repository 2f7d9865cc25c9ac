"""A store that counts the bytes that are put through it. It is used where one process writes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import override

from stillframe.dicom.files import ReadableFile
from stillframe.store.base import Draft, KeptVersions, ObjectHead, Store, StoredObject, Written


class CountedStore(Store):
    """Another store, of which it says how many bytes were put through this. Drafts are not counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._count = [0]  # of this store and of those below it

    @override
    def __reduce__(self) -> tuple[type[CountedStore], tuple[Store]]:
        """In another process it counts anew."""
        return CountedStore, (self._store,)

    @property
    def written(self) -> int:
        """Bytes of content that were put."""
        return self._count[0]

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        written = self._store.put(key, data, if_match=if_match, if_none_match=if_none_match)
        with self._lock:
            self._count[0] += written.size
        return written

    @override
    def below(self, name: str) -> Store:
        store = CountedStore(self._store.below(name))
        store._lock, store._count = self._lock, self._count
        return store

    @property
    @override
    def durable(self) -> bool:  # type: ignore[override]  # others have it as an attribute
        return self._store.durable

    @property
    @override
    def parallel(self) -> int:
        return self._store.parallel

    @property
    @override
    def key_prefix(self) -> str:
        return self._store.key_prefix

    @override
    def get(self, key: str) -> StoredObject | None:
        return self._store.get(key)

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        return self._store.get_range(key, offset, length)

    @override
    def head(self, key: str) -> ObjectHead | None:
        return self._store.head(key)

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        return self._store.list(resource)

    @override
    def children(self, resource: str) -> Iterator[str]:
        return self._store.children(resource)

    @override
    def delete(self, key: str) -> None:
        self._store.delete(key)

    @override
    def delete_many(self, keys: Iterable[str]) -> None:
        self._store.delete_many(keys)

    @override
    def sync(self) -> None:
        self._store.sync()

    @override
    def kept_versions(self, key: str) -> KeptVersions | None:
        return self._store.kept_versions(key)

    @override
    def seems_new(self, resource: str) -> bool:
        return self._store.seems_new(resource)

    @override
    def draft(self, resource: str, stale: str = "") -> Draft | None:
        return self._store.draft(resource, stale)

    @override
    def drafts(self, resource: str) -> Iterator[str]:
        return self._store.drafts(resource)

    @override
    def drafted(self, resource: str) -> str:
        return self._store.drafted(resource)
