"""A directory that is told of every write before it takes place, of those into drafts, too."""

from __future__ import annotations

from collections.abc import Collection
from typing import override

from stillframe.dicom.files import ReadableFile
from stillframe.store.base import Draft, Written
from stillframe.store.directory import DirectoryStore


class ToldStore(DirectoryStore):
    """A store whose subclasses look at writes, change them, or let none take place any more."""

    def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
        """What is to be put in the place of some data."""
        return data

    def before_delete(self, key: str) -> None:
        """An object is to be deleted."""

    def before_commit(self, resource: str) -> None:
        """A draft is to get its place."""

    def committed(self, keys: Collection[str]) -> None:
        """A draft has got its place; `keys` were put into it."""

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        return super().put(key, self.before_put(key, data), if_match=if_match, if_none_match=if_none_match)

    @override
    def delete(self, key: str) -> None:
        self.before_delete(key)
        super().delete(key)

    @override
    def draft(self, resource: str, stale: str = "") -> Draft | None:
        begun = super().draft(resource, stale)
        return None if begun is None else _ToldDraft(self, begun, resource)


class _ToldDraft(Draft):
    def __init__(self, store: ToldStore, draft: Draft, resource: str) -> None:
        self._store = store
        self._draft = draft
        self._resource = resource
        self._keys: set[str] = set()

    @override
    def put(self, key: str, data: bytes | ReadableFile) -> Written:
        written = self._draft.put(key, self._store.before_put(key, data))
        self._keys.add(key)
        return written

    @override
    def delete(self, key: str) -> None:
        self._store.before_delete(key)
        self._draft.delete(key)
        self._keys.discard(key)

    @override
    def renew(self) -> None:
        self._draft.renew()

    @override
    def commit(self) -> None:
        self._store.before_commit(self._resource)
        self._draft.commit()
        self._store.committed(self._keys)

    @override
    def close(self) -> None:
        self._draft.close()
