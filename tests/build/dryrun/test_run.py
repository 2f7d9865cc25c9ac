"""Dry runs beside the builds they foretell: the same objects, nearly the same bytes, nothing written."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner

from stillframe.build.decide import Decision
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.dryrun.prices import S3_STANDARD, Requests, requests_of_put
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.cli.main import cli
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import PreconditionFailed
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.layout import (
    Kind,
    frame_key,
    instances_key,
    key_of_path,
    metadata_key,
    parse_key,
    thumbnail_key,
)
from stillframe.options import BuildOptions, Part10, Thumbnails
from stillframe.store.base import Store, Written
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import FOLDER_TAG, S3Store, compress_json
from stillframe.store.s3_client import Bucket
from tests.support.dicom_files import ROOT, SERIES, STUDY, encapsulated, image, instance_uid, noise, write, write_series
from tests.support.faulty_proxy import FaultyProxy
from tests.support.faulty_store import FaultyStore
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, contents, objects


def dry_run(
    tree: Path, *sources: Path, workers: int = 0, replace: bool = False, **options: Any
) -> tuple[Report, Forecast]:
    request = BuildRequest(
        sources=tuple(map(str, sources)),
        options=BuildOptions(**options),
        workers=max(1, workers),
        replace=replace,
        destination=str(tree),
    )
    store = DirectoryStore(str(tree))
    with ProcessExecutor(workers) if workers else SerialExecutor() as executor:
        return forecast_build(request, Destination(store), executor, NoProgress())


def held(tree: Path) -> tuple[Counter[Kind], Counter[Kind]]:
    """Objects and bytes of a tree by kind."""
    count: Counter[Kind] = Counter()
    size: Counter[Kind] = Counter()
    for path, data in contents(tree).items():
        kind = parse_key(key_of_path(path)).kind
        count[kind] += 1
        size[kind] += len(data)
    return count, size


def assert_foretold(forecast: Forecast, tree: Path, bound: float) -> None:
    """Every object is foretold, and their bytes within a part of them."""
    count, size = held(tree)
    assert {kind: forecast.objects.count[kind] for kind in Kind} == {kind: count[kind] for kind in Kind}
    assert forecast.objects.size.total() == pytest.approx(size.total(), rel=bound)
    assert forecast.objects.size[Kind.FRAME] == pytest.approx(size[Kind.FRAME], rel=bound)
    assert_lists_foretold(forecast, size)


def assert_lists_foretold(forecast: Forecast, size: Counter[Kind]) -> None:
    """The bytes of lists are foretold within 30 %."""
    for kind in (Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.THUMBNAIL):
        assert forecast.objects.size[kind] == pytest.approx(size[kind], rel=0.30)


@pytest.mark.slow
@pytest.mark.parametrize("study", ["ct-volume", "mr-enhanced", "mr-seg-sr-pdf", "wsi-tiles"])
def test_a_real_study_is_foretold(tmp_path: Path, shared_data: Path, study: str) -> None:
    report, forecast = dry_run(tmp_path / "tree", shared_data / study, workers=2)
    assert not (tmp_path / "tree").exists()
    with ProcessExecutor(2) as executor:
        built = build_tree(tmp_path / "tree", shared_data / study, executor=executor)
    assert_foretold(forecast, tmp_path / "tree", 0.10)
    assert (forecast.frames, report.exit_code) == (built.frames, built.exit_code)


@pytest.mark.slow
@pytest.mark.parametrize("part10", list(Part10))
def test_a_folder_of_everything_is_foretold(tmp_path: Path, pydicom_files: list[Path], part10: Part10) -> None:
    report, forecast = dry_run(tmp_path / "tree", *pydicom_files, workers=2, part10=part10)
    with ProcessExecutor(2) as executor:
        options = BuildOptions(part10=part10)
        built = build_tree(tmp_path / "tree", *pydicom_files, executor=executor, options=options)
    assert_foretold(forecast, tmp_path / "tree", 0.05)
    told = {(item.path, item.reason) for item in report.rejected}
    conflicts = {(item.path, item.reason) for item in built.rejected if "is published already" in item.reason}
    assert told == {(item.path, item.reason) for item in built.rejected} - conflicts
    assert len(report.skipped) == len(built.skipped)
    assert forecast.inputs[Decision.DUPLICATE] + forecast.inputs[Decision.COMPARE] == (
        len(built.duplicates) + len(conflicts)
    )


def test_of_a_long_object_few_frames_are_made(tmp_path: Path) -> None:
    pixels = np.stack([noise(number, (64, 64)) for number in range(200)])
    source = write(tmp_path, "in.dcm", image(1, pixels))
    _, forecast = dry_run(tmp_path / "tree", source)
    assert (forecast.frames, forecast.sample["instances"], forecast.sample["frames"]) == (200, 1, 15)
    build_tree(tmp_path / "tree", source)
    assert_foretold(forecast, tmp_path / "tree", 0.05)


def test_kept_frames_have_the_sizes_of_the_source(tmp_path: Path) -> None:
    frames = [bytes([number % 251]) * (100 + 37 * number) for number in range(120)]
    source = write(tmp_path, "in.dcm", encapsulated(frames, "1.2.3.4.5", NumberOfFrames=120, Rows=64, Columns=64))
    _, forecast = dry_run(tmp_path / "tree", source)
    report = build_tree(tmp_path / "tree", source)
    assert report.exit_code == 0
    assert_foretold(forecast, tmp_path / "tree", 0.05)


def test_the_same_inputs_give_the_same_answer(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 30)
    for number in range(5):
        write(source, f"other{number}.dcm", image(1, SeriesInstanceUID=f"{ROOT}.1.{number + 7}"))
    _, serial = dry_run(tmp_path / "tree", source)
    for _ in range(2):
        _, forecast = dry_run(tmp_path / "tree", source, workers=2)
        assert forecast.as_json() == serial.as_json()


def test_series_beyond_a_number_are_judged_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillframe.build.dryrun.run._MOST_SERIES", 2)
    for number in range(8):
        shape = (96, 80) if number % 2 else (64, 120)
        study = f"{ROOT}.{number + 7}"
        pixels = noise(number, shape)
        write(tmp_path, f"in/{number}.dcm", image(1, pixels, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1"))
    colour, study = noise(8, (50, 40, 3), 8), f"{ROOT}.77"
    write(tmp_path, "in/8.dcm", image(1, colour, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1"))
    _, forecast = dry_run(tmp_path / "tree", tmp_path / "in")
    assert forecast.sample["instances"] < 9
    build_tree(tmp_path / "tree", tmp_path / "in")
    assert_foretold(forecast, tmp_path / "tree", 0.10)


def test_what_is_published_already_is_told_and_not_touched(tmp_path: Path) -> None:
    tree, source = tmp_path / "tree", write_series(tmp_path / "in", 6)
    build_tree(tree, source)
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in tree.rglob("*")}
    write(source, "002.dcm", image(2, noise(99)))  # another content
    write(source, "007.dcm", image(7))
    shutil.copy(source / "001.dcm", source / "copy.dcm")
    write(source, "zother.dcm", image(1, noise(98)))
    _, forecast = dry_run(tree, source)
    assert forecast.inputs == {
        Decision.PUBLISH: 1, Decision.UNCHANGED: 5, Decision.DUPLICATE: 1, Decision.COMPARE: 2,
    }  # fmt: skip
    assert forecast.objects.count[Kind.FRAME] == 1
    assert forecast.objects.count[Kind.METADATA] == 3  # its own, and those of series and study with it
    _, replaced = dry_run(tree, source, replace=True)
    assert (replaced.inputs[Decision.REPLACE], replaced.objects.count[Kind.FRAME]) == (1, 2)
    _, rebuilt = dry_run(tree, source, reduced=(1,))
    assert (rebuilt.inputs[Decision.REBUILD], rebuilt.inputs[Decision.COMPARE]) == (5, 2)
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in tree.rglob("*")}
    assert after == before


def test_what_a_killed_job_left_would_be_listed(tmp_path: Path) -> None:
    tree, source = tmp_path / "tree", write_series(tmp_path / "in", 3)
    build_tree(tree, source)
    for path in [path for path in tree.rglob("*") if path.is_file() and "/instances/" not in path.as_posix()]:
        path.unlink()
    _, forecast = dry_run(tree, source)
    assert forecast.inputs == {Decision.RESUME: 3}
    assert (forecast.objects.count[Kind.FRAME], forecast.objects.count[Kind.FRAME_INDEX]) == (0, 1)


def test_what_would_be_rejected_is_told_from_headers_and_of_the_sample(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 4)
    write(source, "short.dcm", image(7, NumberOfFrames=9))
    damaged = encapsulated([b"\xff\xd8\xff\xd9"], "1.2.840.10008.1.2.4.70", SeriesInstanceUID=f"{ROOT}.1.9")
    write(source, "damaged.dcm", damaged)
    report, forecast = dry_run(tmp_path / "tree", source)
    assert {Path(item.path).name for item in report.rejected} == {"short.dcm", "damaged.dcm"}
    assert report.exit_code == 2
    build_tree(tmp_path / "tree", source)
    assert_foretold(forecast, tmp_path / "tree", 0.10)


def test_an_input_in_place_of_a_rejected_one_is_foretold(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write(source, "1.dcm", image(1, NumberOfFrames=9))
    write(source, "2.dcm", image(1))
    report, forecast = dry_run(tmp_path / "tree", source)
    assert (forecast.inputs, len(report.rejected)) == ({Decision.PUBLISH: 1}, 1)
    build_tree(tmp_path / "tree", source)
    assert_foretold(forecast, tmp_path / "tree", 0.05)


def test_the_command_tells_it_and_writes_nothing_but_the_report(tmp_path: Path) -> None:
    source, tree, file = write_series(tmp_path / "in", 3), tmp_path / "tree", tmp_path / "report.json"
    arguments = ["build", str(source), str(tree), "--dry-run", "--workers", "0"]
    result = CliRunner().invoke(cli, [*arguments, "--report", str(file)])
    assert result.exit_code == 0
    assert "3 would be published" in result.output
    assert "frame index" in result.output
    assert "USD" not in result.output
    assert not tree.exists()
    report = json.loads(file.read_text())
    assert report["dryRun"]["inputs"]["publish"] == report["dryRun"]["objects"]["frame"]["count"] == 3
    assert report["summary"]["published"] == 0
    assert "cost" not in report["dryRun"]


@pytest.fixture(params=["folder", "memory", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "folder":
            folder = DirectoryStore(str(tmp_path / "tree"))
            folder.create()
            return folder
        case "memory":
            return MemoryStore()
    return S3Store(request.getfixturevalue("bucket"), "archive")


class WatchedStore(FaultyStore):
    """A store without a fault that tells what was written, or would have been if the same bytes were not there."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.written: set[str] = set()

    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        try:
            written = super().put(key, data, if_match=if_match, if_none_match=if_none_match)
        except PreconditionFailed:
            stored = self.get(key)
            if stored is not None and stored.data == data:
                self.written.add(key)
            raise
        self.written.add(key)
        return written


def assert_next_build_is_foretold(
    store: Store, source: Path, *, replace: bool = False, kept: frozenset[Kind] = frozenset(), **options: Any
) -> Forecast:
    """A build writes the objects that a dry run tells, by kind exactly, their bytes within 10 %, those of lists 25 %.

    Of the kinds in `kept` a build may write fewer: what a dry run cannot tell to be the same.
    """
    request = BuildRequest(sources=(str(source),), options=BuildOptions(**options), replace=replace)
    remote = isinstance(store, S3Store)
    destination = Destination(store, compress_json, S3_STANDARD) if remote else Destination(store)
    before = objects(store)
    report, forecast = forecast_build(request, destination, SerialExecutor(), NoProgress())
    assert objects(store) == before
    watched = WatchedStore(store)
    built = build(request, watched, SerialExecutor(), NoProgress())
    count: Counter[Kind] = Counter()
    size: Counter[Kind] = Counter()
    for key, stored in store.list(""):
        if key in watched.written:
            count[parse_key(key).kind] += 1
            size[parse_key(key).kind] += stored
    assert all(forecast.objects.count[kind] >= count[kind] for kind in kept)
    exact = set(Kind) - kept
    assert {kind: forecast.objects.count[kind] for kind in exact} == {kind: count[kind] for kind in exact}
    told, made = (sum(of_kind[kind] for kind in exact) for of_kind in (forecast.objects.size, size))
    assert told == pytest.approx(made, rel=0.10 if count[Kind.FRAME] else 0.25)
    for kind in {Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.THUMBNAIL} - kept:
        assert forecast.objects.size[kind] == pytest.approx(size[kind], rel=0.25)
    assert report.exit_code == built.exit_code
    assert len(report.rejected) == len(built.rejected)
    return forecast


def test_every_build_into_a_store_is_foretold(store: Store, tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 6)
    assert_next_build_is_foretold(store, source)
    again = assert_next_build_is_foretold(store, source)
    assert (again.inputs, again.objects.count.total()) == ({Decision.UNCHANGED: 6}, 0)
    # An instance more, which becomes the middle one; another series; another study.
    for number in (7, 8):
        write(source, f"{number:03}.dcm", image(number))
    write(source, "series.dcm", image(1, SeriesInstanceUID=f"{ROOT}.1.2", SeriesNumber=2))
    write(source, "study.dcm", image(1, StudyInstanceUID=f"{ROOT}.2", SeriesInstanceUID=f"{ROOT}.2.1"))
    more = assert_next_build_is_foretold(store, source)
    assert more.inputs == {Decision.UNCHANGED: 6, Decision.PUBLISH: 4}
    # Other options, then other pixels of the image that stands for its series, and of one that does not.
    rebuilt = assert_next_build_is_foretold(store, source, reduced=())
    assert rebuilt.inputs == {Decision.REBUILD: 10}
    for number in (1, 5):
        write(source, f"{number:03}.dcm", image(number, noise(90 + number)))
    replaced = assert_next_build_is_foretold(store, source, replace=True, kept=frozenset({Kind.QUERY}), reduced=())
    assert replaced.inputs == {Decision.UNCHANGED: 8, Decision.REPLACE: 2}
    # The same objects at another address, and none of the pictures.
    moved = assert_next_build_is_foretold(store, source, reduced=(), base_url="https://example.org/dicomweb")
    assert set(moved.objects.count) == {Kind.QUERY}
    assert_next_build_is_foretold(store, source, reduced=(), thumbnails=Thumbnails.NONE)


def test_what_is_missing_in_a_store_is_foretold(store: Store, tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 5)
    assert_next_build_is_foretold(store, source)
    one, other = (InstanceUIDs(STUDY, SERIES, instance_uid(number)) for number in (2, 3))
    store.delete(frame_key(one, 1))
    missing = assert_next_build_is_foretold(store, source)
    assert missing.inputs == {Decision.UNCHANGED: 4, Decision.REBUILD: 1}
    store.delete(metadata_key(STUDY, SERIES, other.instance))
    assert assert_next_build_is_foretold(store, source).inputs == {Decision.UNCHANGED: 4, Decision.PUBLISH: 1}
    store.delete_many([metadata_key(STUDY, SERIES), thumbnail_key(STUDY), instances_key(STUDY)])
    # Without the metadata of a series nothing tells what its other lists hold.
    lists = frozenset({Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.THUMBNAIL})
    resumed = assert_next_build_is_foretold(store, source, kept=lists)
    assert (resumed.inputs, resumed.objects.count.total()) == ({Decision.RESUME: 5}, 8)


def test_what_has_no_room_for_a_record_would_be_rejected(tmp_path: Path) -> None:
    dataset = image(1)
    for block in range(0x10, 0x100):
        dataset.private_block(0x0099, f"OWNER {block}", create=True)
    source = write(tmp_path, "in.dcm", dataset)
    report, _ = dry_run(tmp_path / "tree", source)
    built = build_tree(tmp_path / "tree", source)
    assert report.exit_code == 2
    assert [item.reason for item in report.rejected] == [item.reason for item in built.rejected]


class CountedRequests:
    """Counts what reaches a server, whichever client sent it, as S3 would get it. `bucket` is the way through here.

    Left out are the claims that a slow machine holds so long as to renew them, and what SeaweedFS alone is asked: where
    it refuses to create a key that others begin with, whether it is there, and the request that it takes.
    """

    def __init__(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        self._proxy = proxy
        self.bucket = replace(bucket, settings=replace(bucket.settings, endpoint_url=proxy.endpoint_url))

    def forget(self) -> None:
        """Begin to count anew."""
        self._proxy.requests.clear()

    @property
    def requests(self) -> Requests:
        sent: Counter[tuple[str, str]] = Counter()
        for request in self._proxy.requests:
            sent[request.method, request.target] += 1
            if FOLDER_TAG.encode() in request.head:
                sent["PUT", request.target] -= 1
                sent["HEAD", request.target] -= 1
        found: Counter[str] = Counter()
        for (method, target), count in sent.items():
            claims = method == "PUT" and "/instances/" in target and target.endswith("/metadata")
            kept = min(count, 2) if claims else count  # a claim and a commit are two; what is more was renewed
            deletes = method == "DELETE" or (method == "POST" and "delete" in urlsplit(target).query)
            lists = method == "GET" and "list-type" in urlsplit(target).query
            found["delete" if deletes else "list" if lists else method] += kept
        assert found.keys() <= {"PUT", "POST", "GET", "HEAD", "list", "delete"}
        return Requests(found["PUT"] + found["POST"], found["list"], found["GET"] + found["HEAD"], found["delete"])


@pytest.fixture
def counted(bucket: Bucket) -> Iterator[CountedRequests]:
    """Of an empty bucket."""
    with FaultyProxy(bucket.settings.endpoint_url or "") as proxy:
        yield CountedRequests(bucket, proxy)


def assert_requests(foretold: Requests, made: Requests) -> None:
    """The rules of `docs/reference/report.md` come near to what a build asks; threads also ask in vain now and then."""
    assert foretold.put == pytest.approx(made.put, rel=0.10)
    assert foretold.get == pytest.approx(made.get, rel=0.25)
    assert (foretold.list, foretold.delete) == (made.list, made.delete)


def remote_dry_run(store: S3Store, source: Path) -> Forecast:
    request = BuildRequest(sources=(str(source),), options=BuildOptions())
    destination = Destination(store, compress_json, S3_STANDARD)
    return forecast_build(request, destination, SerialExecutor(), NoProgress())[1]


@pytest.mark.parametrize("study", ["ct-volume", "mr-seg-sr-pdf"])
def test_requests_and_bytes_of_a_build_into_s3_are_foretold(
    counted: CountedRequests, shared_data: Path, study: str
) -> None:
    store = S3Store(counted.bucket, "archive")
    counted.forget()
    forecast = remote_dry_run(store, shared_data / study)
    asked = counted.requests
    assert (asked.put, asked.delete) == (0, 0)
    assert not list(store.list(""))
    counted.forget()
    build(
        BuildRequest(sources=(str(shared_data / study),), options=BuildOptions()), store, SerialExecutor(), NoProgress()
    )
    made = counted.requests
    assert_requests(forecast.requests, made)
    objects = list(store.list(""))
    assert Counter(parse_key(key).kind for key, _ in objects) == {
        kind: forecast.objects.count[kind] for kind in Kind if forecast.objects.count[kind]
    }
    assert forecast.objects.size.total() == pytest.approx(sum(size for _, size in objects), rel=0.10)
    again = remote_dry_run(store, shared_data / study)
    assert set(again.inputs) == {Decision.UNCHANGED}
    assert not again.objects.count
    counted.forget()
    build(
        BuildRequest(sources=(str(shared_data / study),), options=BuildOptions()), store, SerialExecutor(), NoProgress()
    )
    made = counted.requests
    assert_requests(again.requests, made)


def test_a_study_that_is_published_anew_in_s3_is_foretold(counted: CountedRequests, tmp_path: Path) -> None:
    store, source = S3Store(counted.bucket), write_series(tmp_path / "in", 5)
    build(BuildRequest(sources=(str(source),), options=BuildOptions()), store, SerialExecutor(), NoProgress())
    request = BuildRequest(sources=(str(source),), options=BuildOptions(reduced=()))
    before = {key: store.get(key) for key, _ in store.list("")}
    destination = Destination(store, compress_json, S3_STANDARD)
    _, forecast = forecast_build(request, destination, SerialExecutor(), NoProgress())
    assert {key: store.get(key) for key, _ in store.list("")} == before
    counted.forget()
    build(request, store, SerialExecutor(), NoProgress())
    made = counted.requests
    assert forecast.inputs == {Decision.REBUILD: 5}
    # The lists of records and the frame index stay as they are.
    assert (
        forecast.objects.count[Kind.QUERY],
        forecast.objects.count[Kind.FRAME_INDEX],
        forecast.objects.count[Kind.METADATA],
    ) == (0, 0, 7)
    assert (forecast.requests.put, forecast.requests.delete) == (made.put, made.delete)
    assert forecast.requests.get == pytest.approx(made.get, rel=0.25)


def test_the_command_tells_prices_and_leaves_a_bucket_as_it_is(bucket: Bucket, tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 3)
    place = [f"s3://{bucket.name}/a", "--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1"]
    result = CliRunner().invoke(cli, ["build", str(source), *place, "--dry-run", "--workers", "0"])
    assert result.exit_code == 0
    assert "3 would be published" in result.output
    assert "USD a month" in result.output
    assert "at list prices of Amazon S3 Standard, us-east-1, 2025" in result.output
    assert not bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 1)
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli, ["build", str(source), str(tmp_path / "file" / "tree"), "--dry-run"])
    assert result.exit_code != 0


def test_unlisted_roots_are_foretold(tmp_path: Path) -> None:
    tree, source = tmp_path / "tree", write_series(tmp_path / "in", 4)
    request = BuildRequest(
        sources=(str(source),), options=BuildOptions(), destination=str(tree), secret=b"sixteen bytes at least"
    )
    store = DirectoryStore(str(tree))
    _, forecast = forecast_build(request, Destination(store), SerialExecutor(), NoProgress())
    assert not tree.exists()
    store.create()
    build(request, store, SerialExecutor(), NoProgress())
    assert_foretold(forecast, next(tree.iterdir()), 0.05)


def test_prices() -> None:
    assert S3_STANDARD.requests(Requests(put=900, list=100, get=1000, delete=10**6)) == pytest.approx(0.0054)
    terabyte = 1 << 40
    assert S3_STANDARD.storage_month(terabyte) == pytest.approx(1024 * 0.023)
    assert S3_STANDARD.storage_month(60 * terabyte) == pytest.approx(1024 * (50 * 0.023 + 10 * 0.022))
    assert S3_STANDARD.storage_month(600 * terabyte) == pytest.approx(1024 * (50 * 0.023 + 450 * 0.022 + 100 * 0.021))
    assert (requests_of_put(5), requests_of_put(32 << 20)) == (1, 1)
    assert requests_of_put((32 << 20) + 1) == 5
