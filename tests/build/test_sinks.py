"""Uploads beside the work: what waits in memory is bounded, failures reach whoever waits, nothing comes too late."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import override

import pytest

from stillframe.archive.claims import CommitState, Lease
from stillframe.build.sinks import MAX_WAITING_BYTES, StoreSink, Uploads
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import ClaimLost, StoreError
from stillframe.layout import frame_key, instance_key
from stillframe.store.base import Written
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.memory_store import MemoryStore

UIDS = InstanceUIDs("1.2", "1.2.3", "1.2.3.4")
NOTHING = CommitState(None, None)


class SlowStore(MemoryStore):
    """Takes its time for each object, and keeps none of its bytes. `taken` are the bytes of frames that it has."""

    def __init__(self, parallel: int = 16) -> None:
        super().__init__(parallel)
        self.taken = 0

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        assert isinstance(data, bytes)
        if "/frames/" not in key:
            return super().put(key, data, if_match=if_match, if_none_match=if_none_match)
        time.sleep(0.005)
        with self._lock:
            self.taken += len(data)
        return Written(len(data), "tag")


@pytest.mark.parametrize("size", [1 << 20, 9 << 20, MAX_WAITING_BYTES + 1])
def test_a_slow_store_does_not_make_memory_grow(size: int) -> None:
    """Several instances at once, as the threads of a worker have them: together they hold no more than the bound."""
    store = SlowStore()
    count = max(4, 3 * MAX_WAITING_BYTES // size)
    frame = bytes(size)
    counting = threading.Lock()
    handed = most = 0

    def publish(number: int) -> None:
        nonlocal handed, most
        uids = InstanceUIDs(UIDS.study, UIDS.series, f"{UIDS.instance}.{number}")
        with Lease(store, uids, NOTHING) as lease:
            sink = StoreSink(store, lease)
            for index in range(count // 4):
                sink.put(frame_key(uids, index + 1), frame)
                with counting:
                    handed += size
                    most = max(most, handed - store.taken)
            sink.finish()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(publish, range(4)))
    assert store.taken == handed == size * (count // 4) * 4
    # What a store has taken is counted as waiting for a moment longer, until its thread is told.
    assert most <= max(MAX_WAITING_BYTES, size)


def test_an_object_waits_for_room_and_a_failure_makes_room() -> None:
    uploads = Uploads(4, limit=10)
    go = threading.Event()
    started: list[int] = []

    def fail() -> None:
        go.wait()
        raise StoreError("no")

    first = uploads.submit(8, fail)
    waiter = threading.Thread(target=lambda: started.append(uploads.submit(8, lambda: 7).result()))
    waiter.start()
    waiter.join(0.2)
    assert started == []
    go.set()
    waiter.join()
    assert started == [7]
    assert isinstance(first.exception(), StoreError)


def test_a_failed_upload_reaches_whoever_finishes() -> None:
    store = FaultyStore(MemoryStore(4), {2: Fault.REFUSED})
    with Lease(store, UIDS, NOTHING) as lease:
        sink = StoreSink(store, lease)
        with pytest.raises(StoreError, match="refused"):  # noqa: PT012  (one of the two tells)
            for number in range(1, 5):
                sink.put(frame_key(UIDS, number), b"\xff\x4f")
            sink.finish()
        sink.abandon()


def test_objects_are_not_put_over_those_of_another_job() -> None:
    store = MemoryStore(4)
    key = frame_key(UIDS, 1)
    with Lease(store, UIDS, NOTHING) as late:
        sink = StoreSink(store, late)
        record = CommitState(None, store.objects[late._key].etag, abandoned=True)
        with Lease(store, UIDS, record) as lease:
            other = StoreSink(store, lease)
            other.put(key, b"\xff\x4fother")
            other.finish()
            lease.commit(b"[]")
        sink.put(key, b"\xff\x4fown")
        with pytest.raises(ClaimLost):
            sink.finish()
    assert store.objects[key].data == b"\xff\x4fother"


def test_what_a_dead_job_left_is_written_over_while_the_claim_is_held() -> None:
    store = MemoryStore(4)
    keys = [frame_key(UIDS, number) for number in (1, 2, 3)]
    for key in keys[:2]:
        store.put(key, b"\xff\x4fleft")
    for known in ((), keys[:1], keys):
        with Lease(store, UIDS, CommitState(None, _etag(store))) as lease:
            sink = StoreSink(store, lease, known)
            for key in keys:
                sink.put(key, f"\xff\x4fown{len(known)}".encode("latin-1"))
            sink.finish()
        assert {store.objects[key].data for key in keys} == {f"\xff\x4fown{len(known)}".encode("latin-1")}


def _etag(store: MemoryStore) -> str | None:
    found = store.get("studies/1.2/series/1.2.3/instances/1.2.3.4/metadata")
    return found.etag if found else None


def test_a_key_with_others_below_it_is_created_all_the_same(bucket: Bucket) -> None:
    """SeaweedFS takes it for one that is there, since the claim is below it."""
    store = S3Store(bucket)
    with Lease(store, UIDS, NOTHING) as lease:
        sink = StoreSink(store, lease)
        sink.put(instance_key(UIDS), b"whole")
        sink.finish()
    stored = store.get(instance_key(UIDS))
    assert stored is not None
    assert stored.data == b"whole"
