"""Documents of a store, read and updated so that no other job's change is lost."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stillframe.archive.entries import Entries, Made, parse_entries
from stillframe.archive.frame_index import parse_frame_index
from stillframe.dicom.json_model import JSONDataset, named_uids, parse_datasets
from stillframe.dicom.uids import is_uid
from stillframe.errors import PreconditionFailed, StoreError
from stillframe.layout import Key, Kind, parse_key
from stillframe.store.base import Store, StoredObject

# Larger documents are not kept in memory once they were read.
_KEPT_BYTES: Final = 4 << 20
# A list that somebody else keeps changing: far more rounds than jobs that could share a store.
ROUNDS: Final = 1000


type Version = str | bytes
"""What names a version of a document: its tag; of one that is near and short its bytes, which cost less than a tag."""


class Before:
    """A document as it is before it is replaced. Bytes that were taken are let go if they are many."""

    def __init__(self, store: Store, key: str) -> None:
        self.key = key
        self._store = store
        self._stored = store.get(key)
        self._etag = ""
        self._digest = b""
        self.is_there = self._stored is not None

    def take(self) -> bytes | None:
        """The bytes, None if there is no such object; only once."""
        stored = self._stored
        if stored is None:
            return None
        if len(stored.data) > _KEPT_BYTES:
            self._etag, self._digest, self._stored = stored.etag, hashlib.sha256(stored.data).digest(), None
        return stored.data

    def take_entries(self) -> Entries | None:
        """As `take`, the entries; None if there is no such object, or it is damaged."""
        stored, data = self._stored, self.take()
        return None if stored is None or data is None else _entries_of(self._store, self.key, stored, keep=False)

    def replace(self, data: bytes, summaries: Sequence[JSONDataset] | None = None) -> bool:
        """Write it where it is the same still (or still missing); whether its bytes change.

        Args:
            data: the new document.
            summaries: those of its entries, where they are known.

        Raises:
            PreconditionFailed: if another one is there.
        """
        current = self._stored or StoredObject(data, self._etag)
        if changed := not self._is(data):
            etag = current.etag if self.is_there else None
            written = self._store.put(self.key, data, if_match=etag, if_none_match=not self.is_there)
            current = StoredObject(data, written.etag)
        if summaries is not None:
            _KNOWN.remember(self.key, _Known(self._store, _version(self._store, current), summaries))
        return changed

    def _is(self, data: bytes) -> bool:
        if self._stored is not None:
            return self._stored.data == data
        return self.is_there and self._digest == hashlib.sha256(data).digest()


def version_of(store: Store, key: str) -> Version | None:
    """What names the version of a document that is there, None if none is."""
    if store.parallel > 1:
        head = store.head(key)
        return head.etag if head else None
    stored = store.get(key)
    return _version(store, stored) if stored else None


def _version(store: Store, stored: StoredObject) -> Version:
    return stored.data if store.parallel <= 1 and len(stored.data) <= _KEPT_BYTES else stored.etag


def read_document(store: Store, key: str) -> Any:
    """The JSON document at `key`; None if there is none, or it is damaged: not what the key promises."""
    stored = store.get(key)
    if stored is None:
        return None
    parsed = parse_key(key)
    if parsed.kind is Kind.FRAME_INDEX:
        return parse_frame_index(stored.data)
    datasets = parse_datasets(stored.data)
    return datasets if datasets is not None and all(_belongs(dataset, parsed) for dataset in datasets) else None


def read_entries(store: Store, key: str) -> tuple[Entries, Version | None]:
    """The entries of a document, and its version; no entries of one that is damaged, or not there."""
    stored = store.get(key)
    if stored is None:
        return Entries(), None
    return _entries_of(store, key, stored) or Entries(), _version(store, stored)


def read_summaries(store: Store, key: str) -> Sequence[JSONDataset]:
    """The summaries of the entries of a document; none of one that is damaged, or not there."""
    return read_versioned(store, key)[0]


def read_versioned(store: Store, key: str) -> tuple[Sequence[JSONDataset], Version | None]:
    """As `read_summaries`, and the version of the document."""
    known = _KNOWN.get(store, key)
    if known is not None and store.parallel > 1:
        version = version_of(store, key)  # what is far away is not fetched again
        if version is None or version == known.version:
            return known.summaries if version else (), version
    entries, version = read_entries(store, key)
    return entries.summaries, version


def update_document(store: Store, key: str, make: Callable[[Before], Made]) -> None:
    """Replace the document at `key` by what `make` makes of it. Nothing is written if the bytes stay the same."""
    derive_document(store, key, lambda before: (make(before), None), lambda: None)


def derive_document[T](store: Store, key: str, make: Callable[[Before], tuple[Made, T]], look: Callable[[], T]) -> None:
    """As `update_document`, of a document that is made from others, too.

    `make` tells which versions of the others it read, `look` which are there. The document is made until the others are
    the same after it was written: whoever changes them, and then finds nothing to change here, relies on that.
    """
    for attempt in range(ROUNDS):
        before = Before(store, key)
        made, versions = make(before)
        try:
            changed = before.replace(made.data, made.summaries)
        except PreconditionFailed:
            give_way(store, attempt)
            continue
        del made
        if not changed or look() == versions:
            return
    raise StoreError(f"{key} changed {ROUNDS} times while it was being updated")


def replace_object(store: Store, key: str, data: bytes, before: StoredObject | None) -> bool:
    """Write an object where the one that was there `before` still is (None: none); whether its bytes change.

    Raises:
        PreconditionFailed: if another one is there.
    """
    if before is not None and before.data == data:
        return False
    store.put(key, data, if_match=before.etag if before else None, if_none_match=before is None)
    return True


def give_way(store: Store, attempt: int) -> None:
    """Let the others go first, where a round takes as long as the requests to a store that is far away."""
    if store.parallel > 1:
        # Jobs that met once must not meet again; nobody has to guess when.
        time.sleep(random.uniform(0, min(2.0, 0.02 * 2 ** min(attempt, 10))))  # noqa: S311


@dataclass(frozen=True, slots=True)
class _Known:
    """The summaries of a document that was read or written before, and which version of it."""

    store: Store
    version: Version
    summaries: Sequence[JSONDataset]


class _KnownDocuments:
    """The documents that were read or written last. Lists are made from what was just written, by several threads.

    Parsing a large document costs far more than a look at which version is there.
    """

    def __init__(self) -> None:
        self._documents: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, store: Store, key: str) -> _Known | None:
        """What is known of a document of that store."""
        with self._lock:
            known = self._documents.get(key)
        return known if known is not None and known.store is store else None

    def remember(self, key: str, known: _Known) -> None:
        """Keep a document, and forget others for it."""
        with self._lock:
            documents = self._documents
            documents[key] = known
            documents.move_to_end(key)
            while len(documents) > _FEWEST_DOCUMENTS and (
                len(documents) > _MOST_DOCUMENTS
                or sum(len(document.summaries) for document in documents.values()) > _MOST_SUMMARIES
                or sum(len(document.version) for document in documents.values()) > _MOST_BYTES
            ):
                documents.popitem(last=False)


_KNOWN: Final = _KnownDocuments()
# Summaries take about 3 KB each, those of a study and of its series the same ones.
_MOST_SUMMARIES: Final = 8000
_MOST_DOCUMENTS: Final = 64
_MOST_BYTES: Final = 32 << 20
_FEWEST_DOCUMENTS: Final = 2


def _entries_of(store: Store, key: str, stored: StoredObject, *, keep: bool = True) -> Entries | None:
    """The entries of a document, None if its bytes are not what the key promises; `keep` them in mind or not."""
    known, version = _KNOWN.get(store, key), _version(store, stored)
    if known is not None and known.version == version and (entries := parse_entries(stored.data, known.summaries)):
        return entries
    entries, parsed = parse_entries(stored.data), parse_key(key)
    if entries is None or not all(_belongs(summary, parsed) for summary in entries.summaries):
        return None
    if keep:
        _KNOWN.remember(key, _Known(store, version, entries.summaries))
    return entries


def _belongs(dataset: JSONDataset, key: Key) -> bool:
    """Whether a record or the metadata of an instance belong into the document at a key."""
    named = named_uids(dataset)
    wanted = (key.study, key.series, key.instance)
    return is_uid(named[0]) and all(uid in ("", own) for uid, own in zip(wanted, named, strict=True))
