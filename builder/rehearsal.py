"""A store for a rehearsal: it reads from another one, keeps what is written to itself, and counts.

The lists of a build are made in it by those who write them in earnest, so that they merge with what is published, and
their sizes and requests are what they would be.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from threading import Lock
from typing import BinaryIO, override

from builder.errors import PreconditionFailed
from builder.estimate import Tally
from builder.layout import Kind, is_json, parse_key
from builder.prices import Requests, requests_of_list, requests_of_put
from builder.store import ObjectHead, Store, StoredObject, Written

# The bytes of a JSON document as a store holds it.
type Encode = Callable[[bytes], bytes]


class Journal:
    """What was written during a rehearsal, and which requests that and reading took. Shared by stores within another.

    None is the place of an object that was removed.
    """

    def __init__(self, encode: Encode) -> None:
        self.encode = encode
        self.lock = Lock()
        self.objects: dict[str, StoredObject | None] = {}
        self.packed: dict[str, tuple[bytes, str]] = {}
        self.sizes: dict[str, tuple[Kind, int]] = {}
        self.requests = Requests()
        self.version = 0

    def count(self, requests: Requests) -> None:
        """Add requests."""
        with self.lock:
            self.requests += requests

    def tallies(self) -> dict[Kind, Tally]:
        """The objects that were written and not removed again, by kind."""
        found: dict[Kind, Tally] = {}
        for kind, size in self.sizes.values():
            found[kind] = found.get(kind, Tally()) + Tally(1, size)
        return found


class RehearsalStore(Store):
    """Reads from `base`; nothing is written to it. Not picklable: workers have no part in lists."""

    def __init__(self, base: Store, journal: Journal, prefix: str = "") -> None:
        self.base = base
        self.journal = journal
        self._prefix = prefix

    @override
    def below(self, name: str) -> RehearsalStore:
        return RehearsalStore(self.base.below(name), self.journal, f"{self._prefix}{name}/")

    def _own(self, key: str) -> tuple[bool, StoredObject | None]:
        """Whether the rehearsal knows better than the store, and what."""
        name = self._prefix + key
        if name in self.journal.packed:
            data, etag = self.journal.packed[name]
            return True, StoredObject(zlib.decompress(data), etag)
        return name in self.journal.objects, self.journal.objects.get(name)

    @override
    def get(self, key: str) -> StoredObject | None:
        self.journal.count(Requests(get=1))
        known, stored = self._own(key)
        return stored if known else self.base.get(key)

    @override
    def head(self, key: str) -> ObjectHead | None:
        self.journal.count(Requests(get=1))
        known, stored = self._own(key)
        if not known:
            return self.base.head(key)
        return None if stored is None else ObjectHead(len(stored.data), stored.etag)

    @override
    def put(
        self, key: str, data: bytes | BinaryIO, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        """See `Store.put`; the object stays in memory."""
        content = data if isinstance(data, bytes) else data.read()
        kind = parse_key(key).kind
        size = len(self.journal.encode(content) if is_json(kind) else content)
        self.journal.count(Requests(put=requests_of_put(size) if if_match is None and not if_none_match else 1))
        known, stored = self._own(key)
        if if_none_match and known and stored is not None:
            raise PreconditionFailed(f"{key} is there already")
        journal, name = self.journal, self._prefix + key
        with journal.lock:
            journal.version += 1
            written = StoredObject(content, f"rehearsed {journal.version}")
            journal.packed.pop(name, None)
            journal.objects[name], journal.sizes[name] = written, (kind, size)
        return Written(len(content), written.etag)

    def provide(self, key: str, data: bytes) -> None:
        """Have an object there that is counted elsewhere."""
        self.journal.objects[self._prefix + key] = StoredObject(data, "provided")

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        found = dict(self.base.list(resource))
        self.journal.count(Requests(get=1, list=requests_of_list(len(found))))
        own, below = self._prefix + resource.rstrip("/"), f"{self._prefix}{resource}".rstrip("/") + "/"
        for name, stored in list(self.journal.objects.items()):
            if name == own or name.startswith(below):
                found.pop(name[len(self._prefix) :], 0)
                if stored is not None:
                    found[name[len(self._prefix) :]] = len(stored.data)
        yield from sorted(found.items())

    @override
    def children(self, resource: str) -> Iterator[str]:
        self.journal.count(Requests(list=1))
        below = f"{self._prefix}{resource}".rstrip("/") + "/"
        names = [*self.journal.packed, *(name for name, stored in list(self.journal.objects.items()) if stored)]
        own = {name[len(below) :].partition("/")[0] for name in names if name.startswith(below)}
        yield from sorted(own.union(self.base.children(resource)))

    @override
    def delete(self, key: str) -> None:
        self.journal.count(Requests(delete=1))
        name = self._prefix + key
        self.journal.packed.pop(name, None)
        self.journal.objects[name] = None
        self.journal.sizes.pop(name, None)

    def forget(self, resource: str, kept: str) -> None:
        """Drop the bytes of everything below a resource that is complete; those of `kept` are packed."""
        journal, below = self.journal, f"{self._prefix}{resource}/"
        stored = journal.objects.pop(self._prefix + kept, None)
        if stored is not None:
            journal.packed[self._prefix + kept] = (zlib.compress(stored.data, 1), stored.etag)
        for name in [name for name in journal.objects if name.startswith(below)]:
            del journal.objects[name]
