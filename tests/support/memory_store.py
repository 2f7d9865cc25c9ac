"""A store in memory, for tests: the smallest thing that is a store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import PreconditionFailed
from stillframe.layout import is_key
from stillframe.store.base import Store, StoredObject, Written


class MemoryStore(Store):
    """Keys to bytes in a dictionary; shared by the threads of a process, not by processes."""

    def __init__(self, parallel: int = 1) -> None:
        self._parallel = parallel
        self.objects: dict[str, StoredObject] = {}
        self._prefix = ""
        self._lock = threading.Lock()
        self._versions = [0]

    @property
    @override
    def parallel(self) -> int:
        return self._parallel

    @property
    @override
    def key_prefix(self) -> str:
        return self._prefix

    @override
    def below(self, name: str) -> MemoryStore:
        part = MemoryStore(self._parallel)
        part.objects, part._lock, part._versions = self.objects, self._lock, self._versions
        part._prefix = f"{self._prefix}{name}/"
        return part

    @override
    def get(self, key: str) -> StoredObject | None:
        return self.objects.get(self._prefix + key)

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        content = data if isinstance(data, bytes) else data.read()
        with self._lock:
            current = self.get(key)
            if if_none_match and current is not None:
                raise PreconditionFailed(f"{key} is there already")
            if if_match is not None and (current is None or current.etag != if_match):
                raise PreconditionFailed(f"{key} is another version by now")
            self._versions[0] += 1
            stored = StoredObject(content, f'"{self._versions[0]}"')
            self.objects[self._prefix + key] = stored
        return Written(len(content), stored.etag)

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        own = resource.rstrip("/")
        below = f"{own}/" if own else ""
        yield from ((key, size) for key, size in self._sizes() if (key.startswith(below) or key == own) and is_key(key))

    def _sizes(self) -> Iterator[tuple[str, int]]:
        """Everything in this part of the store, strangers' objects too, in order of keys."""
        with self._lock:
            sizes = sorted((key, len(stored.data)) for key, stored in self.objects.items())
        start = len(self._prefix)
        return ((key[start:], size) for key, size in sizes if key.startswith(self._prefix))

    @override
    def children(self, resource: str) -> Iterator[str]:
        below = f"{resource.rstrip('/')}/" if resource.rstrip("/") else ""
        inner = (key.removeprefix(below) for key, _ in self._sizes() if key.startswith(below))
        yield from sorted({key.partition("/")[0] for key in inner})

    @override
    def delete(self, key: str) -> None:
        with self._lock:
            self.objects.pop(self._prefix + key, None)
