"""Documents of a store, read and updated so that no other job's change is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from stillframe.archive.frame_index import parse_frame_index
from stillframe.dicom.json_model import JSONDataset, dumps, named_uids, parse_datasets
from stillframe.dicom.uids import is_uid
from stillframe.errors import PreconditionFailed, StoreError
from stillframe.layout import Key, Kind, parse_key
from stillframe.store.base import Store, StoredObject

# A list that somebody else keeps changing: far more rounds than jobs that could share a store.
ROUNDS: Final = 1000


def read_document(store: Store, key: str) -> Any:
    """The JSON document at `key`; None if there is none, or it is damaged: not what the key promises."""
    stored = store.get(key)
    return None if stored is None else _parse(key, stored.data)


def update_document(
    store: Store,
    key: str,
    merge: Callable[[Any], Any],
    recover: Callable[[], Any] = lambda: None,
) -> None:
    """Replace the JSON document at `key` by `merge` of what is there, None if nothing is.

    `recover` makes anew what a damaged document said. Nothing is written if the bytes stay the same.
    """
    derive_document(store, key, lambda: None, lambda existing, _: merge(existing), lambda _: recover())


def derive_document[T](
    store: Store,
    key: str,
    read: Callable[[], T],
    merge: Callable[[Any, T], Any],
    recover: Callable[[T], Any] = lambda _: None,
) -> None:
    """As `update_document`, where `merge` and `recover` take what `read` reads of other documents, too.

    The document is merged until the others say the same after it was written: whoever changes them, and then finds
    nothing to change here, relies on that.
    """
    for attempt in range(ROUNDS):
        stored = store.get(key)
        existing = _parse(key, stored.data) if stored else None
        others = read()
        merged = merge(recover(others) if stored and existing is None else existing, others)
        try:
            changed = replace_document(store, key, merged, stored)
        except PreconditionFailed:
            give_way(store, attempt)
            continue
        if not changed or read() == others:
            return
    raise StoreError(f"{key} changed {ROUNDS} times while it was being updated")


def replace_document(store: Store, key: str, value: Any, before: StoredObject | None) -> bool:
    """As `replace_object`, with a JSON document."""
    data = dumps(value)
    changed = replace_object(store, key, data, before)
    if changed:
        _remember(key, data, value)
    return changed


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


class _Recent(threading.local):
    """The documents that a thread read or wrote last, with their bytes.

    A list is made from what was written just before, and parsing a large one costs more than reading it and comparing.
    """

    def __init__(self) -> None:
        self.documents: OrderedDict[str, tuple[bytes, Any]] = OrderedDict()


_RECENT: Final = _Recent()
_MOST_RECENT: Final = 4


def _parse(key: str, data: bytes) -> Any:
    """The value of a document's bytes, None if they are not what the key promises; not to be changed by who gets it."""
    known = _RECENT.documents.get(key)
    if known is not None and known[0] == data:
        return known[1]
    parsed = parse_key(key)
    value: Any = parse_frame_index(data) if parsed.kind is Kind.FRAME_INDEX else parse_datasets(data)
    if value is None or (
        parsed.kind is not Kind.FRAME_INDEX and not all(_belongs(dataset, parsed) for dataset in value)
    ):
        return None
    _remember(key, data, value)
    return value


def _belongs(dataset: JSONDataset, key: Key) -> bool:
    """Whether a record or the metadata of an instance belong into the document at a key."""
    named = named_uids(dataset)
    wanted = (key.study, key.series, key.instance)
    return is_uid(named[0]) and all(uid in ("", own) for uid, own in zip(wanted, named, strict=True))


def _remember(key: str, data: bytes, value: Any) -> None:
    recent = _RECENT.documents
    recent[key] = (data, value)
    recent.move_to_end(key)
    if len(recent) > _MOST_RECENT:
        recent.popitem(last=False)
