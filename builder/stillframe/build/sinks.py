"""Where the objects of an instance go on their way: into a store, nowhere, or beside what is published already."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from stillframe.archive.claims import Lease
from stillframe.build.same_frame import same_frame
from stillframe.dicom.files import ReadableFile
from stillframe.digests import ALGORITHM, digest_bytes, new_digest
from stillframe.errors import InputError, KeyRefused, PreconditionFailed, StoreError
from stillframe.layout import Kind, parse_key
from stillframe.options import DecoderLimits
from stillframe.parallel import made_once
from stillframe.store.base import Draft, ObjectHead, Store, Written

_CHUNK_BYTES: Final = 1 << 20
# Versions of one object that others may put there while a claim is held: left over from jobs that lost theirs.
_ATTEMPTS: Final = 20


MAX_WAITING_BYTES: Final = 64 << 20
"""Of objects on their way to a store, in one process; a larger object goes alone."""


class Uploads:
    """Threads that put objects. Whoever makes objects faster than they are taken waits."""

    def __init__(self, threads: int, limit: int = MAX_WAITING_BYTES) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        self._limit = limit
        self._waiting = 0
        self._room = threading.Condition()

    def submit(self, size: int, work: Callable[[], Any]) -> Future[Any]:
        """Have an object of `size` bytes put by `work`, as soon as there is room for it."""
        cost = min(size, self._limit)
        with self._room:
            self._room.wait_for(lambda: self._waiting + cost <= self._limit)
            self._waiting += cost
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._release(cost))
        return future

    def _release(self, cost: int) -> None:
        with self._room:
            self._waiting -= cost
            self._room.notify_all()


@made_once
def uploads_of_process(threads: int) -> Uploads:
    """The uploads that all stores of this process share."""
    return Uploads(threads)


@contextmanager
def _as_input() -> Iterator[None]:
    """Count what a store says against one object against the input that it comes from, not against the store.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except KeyRefused as error:
        raise InputError(f"the store does not take one of its objects: {error}") from error


class StoreSink:
    """Puts objects into the store while a claim is held, several at once where that is worth it.

    `held` are keys that may be there already. `sizes` are those of what was taken, in bytes, `digests` are made of it
    with `algorithm`; it is in the store when `finish` has returned.
    """

    def __init__(self, store: Store, lease: Lease, held: Container[str] = (), algorithm: str = ALGORITHM) -> None:
        self._store = store
        self._held = held
        self._lease = lease
        self._algorithm = algorithm
        self._uploads = uploads_of_process(store.parallel) if store.parallel > 1 else None
        self._pending: deque[Future[Written]] = deque()
        self.sizes: dict[str, int] = {}
        self.digests: dict[str, bytes] = {}

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `sink.Sink`.

        Raises:
            ClaimLost: if another job took the claim.
            InputError: if the store refuses this object, or one before it, and takes others.
            StoreError: if this object, or one before it, cannot be put.
        """
        self.digests[key] = _digest(data, self._algorithm)
        if not isinstance(data, bytes):
            self._lease.check()
            with _as_input():
                self.sizes[key] = self._store.put(key, data).size
            return
        if self._uploads is None:
            self.sizes[key] = self._put_fenced(key, data).size
            return
        self.sizes[key] = len(data)
        self._pending.append(self._uploads.submit(len(data), partial(self._put_fenced, key, data)))
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()

    def _put_fenced(self, key: str, data: bytes) -> Written:
        """Put an object on the condition that nobody else did.

        A process may stand still for longer than its claim lasts, many requests just begun, and go on once another job
        has put and committed other objects. Their condition then fails; that of the claim alone would come too late.
        """
        head = self._store.head(key) if key in self._held else None
        for _ in range(_ATTEMPTS):
            self._lease.check()
            try:
                with _as_input():
                    return self._store.put(key, data, if_match=head.etag if head else None, if_none_match=head is None)
            except PreconditionFailed:
                stored = self._store.get(key)
                if stored is not None and stored.data == data:
                    return Written(len(data), stored.etag)  # the answer got lost
                self._lease.renew()
                head = ObjectHead(len(stored.data), stored.etag) if stored is not None else None
        raise StoreError(f"{key} changed {_ATTEMPTS} times while it was being written")

    def abandon(self) -> None:
        """Begin nothing more, and wait for what is under way: it must not come after what another job writes."""
        for future in self._pending:
            future.cancel()
        wait(self._pending)
        self._pending.clear()

    def finish(self) -> None:
        """Wait for all that is under way.

        Raises:
            InputError: if the store refuses an object, and takes others.
            StoreError: if an object cannot be put.
        """
        wait(self._pending)
        while self._pending:
            self._pending.popleft().result()

    def restart(self) -> None:
        """See `sink.Sink`."""
        self.finish()
        self._store.delete_many(list(self.sizes))
        self.sizes.clear()
        self.digests.clear()


class DraftSink:
    """Puts objects into a draft, where nobody else does. `sizes` and `digests` are as those of `StoreSink`."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.sizes: dict[str, int] = {}
        self.digests: dict[str, bytes] = {}

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `sink.Sink`.

        Raises:
            ClaimLost: if another job took over.
            InputError: if the store refuses this object, and takes others.
            StoreError: if it cannot be put.
        """
        self.digests[key] = _digest(data, ALGORITHM)
        with _as_input():
            self.sizes[key] = self._draft.put(key, data).size

    def abandon(self) -> None:
        """Nothing is under way."""

    def finish(self) -> None:
        """Nothing is under way."""

    def restart(self) -> None:
        """See `sink.Sink`."""
        for key in self.sizes:
            self._draft.delete(key)
        self.sizes.clear()
        self.digests.clear()


def _digest(data: bytes | ReadableFile, algorithm: str) -> bytes:
    """The digest of an object; a file stays where it is."""
    if isinstance(data, bytes):
        return digest_bytes(data, algorithm)
    digest, place = new_digest(algorithm), data.tell()
    while chunk := data.read(_CHUNK_BYTES):
        digest.update(chunk)
    data.seek(place)
    return digest.digest()


class SizeSink:
    """Keeps the sizes of objects, and nothing else: a dry run, or a rehearsal before published objects are replaced."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `sink.Sink`; of a file only the length is asked."""
        self.sizes[key] = len(data) if isinstance(data, bytes) else data.seek(0, io.SEEK_END)

    def restart(self) -> None:
        """See `sink.Sink`."""
        self.sizes.clear()


class CompareSink:
    """Compares objects with those in the store, frames by the pixels they hold, decoded within limits.

    `frame` names the first frame that differs, `attributes` the bulk data that do; `same_video` tells whether
    a video that came is the one that is published, None if none came.
    """

    def __init__(self, store: Store, limits: DecoderLimits) -> None:
        self._store = store
        self._limits = limits
        self.frame = ""
        self.attributes: set[str] = set()
        self.same_video: bool | None = None

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """See `sink.Sink`."""
        parsed = parse_key(key)
        if parsed.kind is Kind.RENDERED and not isinstance(data, bytes):
            stored = self._store.get(key)
            self.same_video = stored is not None and _same_bytes(stored.data, data)
            return
        if parsed.kind not in (Kind.FRAME, Kind.BULK_DATA) or not isinstance(data, bytes):
            return
        stored = self._store.get(key)
        if parsed.kind is Kind.BULK_DATA:
            if stored is None or stored.data != data:
                self.attributes.add(parsed.path.partition("/")[0])
        elif not self.frame and (stored is None or not same_frame(stored.data, data, self._limits)):
            self.frame = f"frame {parsed.frame_number}"

    def restart(self) -> None:
        """See `sink.Sink`."""
        self.frame = ""
        self.attributes.clear()
        self.same_video = None


def _same_bytes(stored: bytes, file: ReadableFile) -> bool:
    """Whether a file, read to its end, holds the same bytes."""
    offset = 0
    while chunk := file.read(_CHUNK_BYTES):
        if stored[offset : offset + len(chunk)] != chunk:
            return False
        offset += len(chunk)
    return offset == len(stored)
