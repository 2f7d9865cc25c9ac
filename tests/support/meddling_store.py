"""A folder in which something happens just before an object is written, in its place or in a draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, override

from stillframe.dicom.files import ReadableFile
from stillframe.store.base import Draft, Written
from stillframe.store.directory import DirectoryStore


class MeddlingStore(DirectoryStore):
    """Calls `meddle` with the key of each object. Without `drafts`, every object is written in its place."""

    def __init__(self, root: str, meddle: Callable[[str], object], *, drafts: bool = True) -> None:
        super().__init__(root)
        self.meddle = meddle
        self.drafts = drafts

    @override
    def put(self, key: str, data: bytes | ReadableFile, **condition: Any) -> Written:
        self.meddle(key)
        return super().put(key, data, **condition)

    @override
    def draft(self, resource: str, stale: str = "") -> Draft | None:
        draft = super().draft(resource, stale) if self.drafts else None
        return None if draft is None else _MeddlingDraft(draft, self.meddle)


class _MeddlingDraft(Draft):
    def __init__(self, draft: Draft, meddle: Callable[[str], object]) -> None:
        self._draft = draft
        self._meddle = meddle

    @override
    def put(self, key: str, data: bytes | ReadableFile) -> Written:
        self._meddle(key)
        return self._draft.put(key, data)

    @override
    def delete(self, key: str) -> None:
        self._draft.delete(key)

    @override
    def renew(self) -> None:
        self._draft.renew()

    @override
    def commit(self) -> None:
        self._draft.commit()

    @override
    def close(self) -> None:
        self._draft.close()
