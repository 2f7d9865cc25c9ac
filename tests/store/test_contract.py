"""What every store promises: one set of tests for a directory, memory, moto's S3 and a real S3 server."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.errors import PreconditionFailed
from stillframe.parallel import side_by_side
from stillframe.store.base import Store, StoredObject
from stillframe.store.counted import CountedStore
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Checksums
from stillframe.store.s3_parts import PART_BYTES
from tests.support.memory_store import MemoryStore
from tests.support.moto_server import run_moto_bucket

LIST = "studies"
SERIES = "studies/1.2/series"
INSTANCE = "studies/1.2/series/1.3/instances/1.4"
FRAME = f"{INSTANCE}/frames/1"
CODESTREAM = b"\xff\x4f" + b"frame" * 1000


_S3 = [pytest.param(name, marks=pytest.mark.s3) for name in ("moto", "server", "server without checksums")]


@pytest.fixture(params=["directory", "counted", "memory", *_S3])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kind: str = request.param
    if kind in ("directory", "counted"):
        made = DirectoryStore(str(tmp_path / "tree"))
        made.create()
        yield made if kind == "directory" else CountedStore(made)
    elif kind == "memory":
        yield MemoryStore()
    elif kind == "moto":
        with run_moto_bucket() as bucket:
            yield S3Store(bucket, "some/prefix")
    else:
        checksums = Checksums.ALWAYS if kind == "server" else Checksums.REQUIRED
        yield S3Store(request.getfixturevalue("s3_server").make_bucket(checksums=checksums), "some/prefix")


def data(store: Store, key: str) -> bytes | None:
    found = store.get(key)
    return None if found is None else found.data


def test_what_is_put_is_there_whole(store: Store) -> None:
    assert store.get(LIST) is None
    assert store.head(LIST) is None
    assert store.put(LIST, b"[]").size == 2
    assert store.put(FRAME, CODESTREAM).size == len(CODESTREAM)
    assert data(store, LIST) == b"[]"
    assert data(store, FRAME) == CODESTREAM
    store.put(LIST, b"[1]")
    assert data(store, LIST) == b"[1]"
    head = store.head(FRAME)
    assert head is not None
    assert head.size == len(CODESTREAM)
    assert head.etag == store.get(FRAME).etag  # type: ignore[union-attr]  # it was there a moment ago


def test_a_key_may_be_a_prefix_of_others(store: Store) -> None:
    """The layout asks for that: in a bucket keys are the URL paths."""
    keys = [FRAME, INSTANCE, f"{INSTANCE}/metadata", SERIES, LIST, "studies/1.2/series/1.3/instances"]
    contents = {key: CODESTREAM if key == FRAME else f'["{key}"]'.encode() for key in keys}
    for key, content in contents.items():
        store.put(key, content)
    assert {key: data(store, key) for key in keys} == contents
    assert {key for key, _ in store.list("studies")} == set(keys)
    store.delete(INSTANCE)
    assert data(store, INSTANCE) is None
    assert data(store, FRAME) == CODESTREAM


@pytest.mark.slow
def test_files_of_any_size_are_put_whole(store: Store) -> None:
    small = b"\xff\x4f" + bytes(range(256)) * 10
    large = b"\xff\x4f" + bytes(range(256)) * ((2 * PART_BYTES) // 256 + 100)
    for number, content in enumerate((small, large, large[:PART_BYTES], b"\xff\x4f"), 1):
        key = f"{INSTANCE}/frames/{number}"
        assert store.put(key, io.BytesIO(content)).size == len(content)
        assert data(store, key) == content
        assert store.head(key).size == len(content)  # type: ignore[union-attr]  # as above
    assert store.put(FRAME, large + b"bytes").size == len(large) + 5
    assert data(store, FRAME) == large + b"bytes"


def test_a_large_whole_object_joins_its_frames(store: Store) -> None:
    """Its key is the prefix of theirs."""
    whole = b"DICM" + bytes(range(256)) * (PART_BYTES // 256 + 5)
    store.put(FRAME, CODESTREAM)
    for content in (whole, whole[:-9], b"small"):
        assert store.put(INSTANCE, io.BytesIO(content)).size == len(content)
        assert data(store, INSTANCE) == content
    assert data(store, FRAME) == CODESTREAM


def test_what_has_no_key_of_the_layout_is_not_listed(store: Store) -> None:
    store.put(FRAME, CODESTREAM)
    put_foreign(store, f"{INSTANCE}/notes.txt")
    put_foreign(store, "studies/1.2/series/1.3/instances/notes.txt")
    assert [key for key, _ in store.list("")] == [FRAME]
    assert [key for key, _ in store.list(INSTANCE)] == [FRAME]


def put_foreign(store: Store, key: str) -> None:
    """An object that somebody else put there."""
    if isinstance(store, CountedStore):
        _, (counted,) = store.__reduce__()
        put_foreign(counted, key)
    elif isinstance(store, DirectoryStore):
        path = Path(store.root) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"foreign")
    elif isinstance(store, MemoryStore):
        store.objects[key] = StoredObject(b"foreign", "x")
    else:
        assert isinstance(store, S3Store)
        store.bucket.client.put_object(Bucket=store.bucket.name, Key=f"{store.prefix}/{key}", Body=b"foreign")


def test_ranges(store: Store) -> None:
    assert store.get_range(FRAME, 0, 10) is None
    store.put(FRAME, CODESTREAM)
    store.put(LIST, b'["a list"]')
    assert store.get_range(FRAME, 0, 10) == CODESTREAM[:10]
    assert store.get_range(FRAME, 100, 1) == CODESTREAM[100:101]
    assert store.get_range(FRAME, len(CODESTREAM) - 3, 10) == CODESTREAM[-3:]
    assert store.get_range(FRAME, len(CODESTREAM), 10) == b""
    assert store.get_range(FRAME, 7, 0) == b""
    assert store.get_range(LIST, 2, 6) == b"a list"  # of the content, however it is stored


def test_conditions(store: Store) -> None:
    first = store.put(LIST, b"[1]", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        store.put(LIST, b"[2]", if_none_match=True)
    assert store.get(LIST).etag == first.etag  # type: ignore[union-attr]  # as above
    second = store.put(LIST, b"[2]", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        store.put(LIST, b"[3]", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        store.put(SERIES, b"[3]", if_match=first.etag)
    assert data(store, LIST) == b"[2]"
    assert store.head(LIST).etag == second.etag  # type: ignore[union-attr]  # as above
    assert store.get(SERIES) is None


def test_listing_goes_by_resources_not_by_letters(store: Store) -> None:
    keys = ["studies/1.2", "studies/1.2.3", "studies/1.22"]
    for study in keys:
        store.put(f"{study}/metadata", b"[]")
        store.put(f"{study}/series/1/instances/2/frames/1", CODESTREAM)
    store.put("studies/1.2/series/1/instances/2", b"whole")
    store.put(LIST, b"[]")
    below = dict(store.list("studies/1.2"))
    assert below == dict(store.list("studies/1.2/"))
    assert set(below) == {
        "studies/1.2/metadata", "studies/1.2/series/1/instances/2", "studies/1.2/series/1/instances/2/frames/1"
    }  # fmt: skip
    assert below["studies/1.2/series/1/instances/2"] == 5
    assert set(dict(store.list("studies/1.2/series/1/instances/2/"))) == {
        "studies/1.2/series/1/instances/2", "studies/1.2/series/1/instances/2/frames/1"
    }  # fmt: skip
    assert set(dict(store.list(""))) == {LIST, *(key for study in keys for key in dict(store.list(study)))}
    assert list(store.list("studies/9")) == []
    assert sorted(store.children("studies")) == ["1.2", "1.2.3", "1.22"]
    assert sorted(store.children("studies/1.2/series/1/instances/")) == ["2"]
    assert list(store.children("studies/9")) == []
    order = [key.split("/")[1] for key, _ in store.list("studies") if key != LIST]
    assert [study for place, study in enumerate(order) if order.index(study) != place] == [
        study for study in dict.fromkeys(order) for _ in range(order.count(study) - 1)
    ]


@pytest.mark.slow
def test_lists_of_more_than_a_page(store: Store, request: pytest.FixtureRequest) -> None:
    """Real S3 servers give a thousand keys at once; one of them shows it."""
    last = 101 if request.node.callspec.params["store"] in ("moto", "server without checksums") else 1101
    keys = [f"{INSTANCE}/frames/{number}" for number in range(1, last + 1)]
    for key in keys:
        store.put(key, b"\xff\x4f")
    assert sorted(key for key, _ in store.list(INSTANCE)) == sorted(keys)
    assert len(list(store.children(f"{INSTANCE}/frames"))) == last
    store.delete_many(keys[1:])
    assert [key for key, _ in store.list(INSTANCE)] == keys[:1]


def test_deleting(store: Store) -> None:
    for key in (LIST, SERIES, FRAME):
        store.put(key, b"\xff\x4f")
    store.delete(SERIES)
    store.delete(SERIES)
    assert store.get(SERIES) is None
    store.delete_many([FRAME, "studies/9/metadata"])
    assert [key for key, _ in store.list("")] == [LIST]
    store.delete_many([])


def test_a_store_below_another(store: Store) -> None:
    inner = store.below("token")
    inner.put(LIST, b'["inner"]')
    store.put(LIST, b'["outer"]')
    assert data(inner, LIST) == b'["inner"]'
    assert [key for key, _ in inner.list("")] == [LIST]
    assert data(store, LIST) == b'["outer"]'
    assert [key for key, _ in store.list("studies")] == [LIST]
    assert inner.key_prefix == f"{store.key_prefix}token/"


def skip_where_conditions_are_not_atomic(store: Store) -> None:
    """Moto looks at a condition and writes in two steps."""
    if isinstance(store, S3Store) and store.bucket.name == "archive":
        pytest.skip("moto's conditions are not atomic")


def test_conditional_writes_side_by_side_lose_nothing(store: Store) -> None:
    skip_where_conditions_are_not_atomic(store)

    def append(mark: bytes) -> None:
        for _ in range(15):
            while True:
                found = store.get(LIST)
                try:
                    if found is None:
                        store.put(LIST, mark, if_none_match=True)
                    else:
                        store.put(LIST, found.data + mark, if_match=found.etag)
                except PreconditionFailed:
                    continue
                break

    jobs = [threading.Thread(target=append, args=(mark,)) for mark in (b"a", b"b", b"c", b"d")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(data(store, LIST) or b"") == sorted(b"abcd" * 15)


def test_of_many_who_create_an_object_one_does(store: Store) -> None:
    skip_where_conditions_are_not_atomic(store)
    for number in range(1, 6):
        won: list[bytes] = []

        def create(mark: bytes, key: str = f"{INSTANCE}/frames/{number}", won: list[bytes] = won) -> None:
            try:
                store.put(key, b"\xff\x4f" + mark, if_none_match=True)
            except PreconditionFailed:
                return
            won.append(mark)

        jobs = [threading.Thread(target=create, args=(bytes([mark]),)) for mark in range(8)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        (winner,) = won
        assert data(store, f"{INSTANCE}/frames/{number}") == b"\xff\x4f" + winner


def test_of_many_who_create_a_key_that_others_begin_with_one_does(store: Store) -> None:
    """SeaweedFS has something there already, which is no object."""
    skip_where_conditions_are_not_atomic(store)
    for number in range(1, 6):
        series = f"studies/1.{number}/series"
        store.put(f"{series}/1/metadata", b"[]")
        if number == 3:
            store.put(series, b"[]")
            store.delete(series)

        def create(mark: int, series: str = series) -> bool:
            try:
                store.put(series, b"[%d]" % mark, if_none_match=True)
            except PreconditionFailed:
                return False
            return True

        created = side_by_side(8, create, range(8))
        assert created.count(True) == 1
        assert data(store, series) == b"[%d]" % created.index(True)
        with pytest.raises(PreconditionFailed):
            store.put(series, b"[]", if_none_match=True)
        assert data(store, f"{series}/1/metadata") == b"[]"


def test_a_key_is_created_where_nothing_is_left_below_it(store: Store) -> None:
    store.put(f"{SERIES}/1/metadata", b"[]")
    store.delete(f"{SERIES}/1/metadata")
    written = store.put(SERIES, b"[1]", if_none_match=True)
    assert store.head(SERIES).etag == written.etag  # type: ignore[union-attr]  # as above


def test_a_store_crosses_processes(store: Store) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("a store in memory is one process's")
    store.put(LIST, b"[]")
    assert data(pickle.loads(pickle.dumps(store)), LIST) == b"[]"
