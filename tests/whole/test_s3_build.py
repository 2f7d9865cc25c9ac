"""Builds into a real S3 server: the same objects as in a directory, the right headers, ranges over HTTP."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.layout import Kind, cache_control, is_json, is_list, media_type, parse_key
from stillframe.options import BuildOptions, Thumbnails
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.dicom_files import image, write, write_series
from tests.support.trees import NoProgress, objects


def publish(store: Store, *sources: Path, workers: int = 0, **options: Any) -> Report:
    request = BuildRequest(sources=tuple(map(str, sources)), options=BuildOptions(**options), workers=max(1, workers))
    with ProcessExecutor(workers) if workers else SerialExecutor() as executor:
        return build(request, store, executor, NoProgress())


def same_in_a_directory(tmp_path: Path, *sources: Path, **options: Any) -> dict[str, bytes]:
    store = DirectoryStore(str(tmp_path / "same"))
    publish(store, *sources, **options)
    return objects(store)


@pytest.mark.parametrize("study", ["ct-volume", "mr-seg-sr-pdf"])
def test_the_bucket_holds_what_a_directory_would(bucket: Bucket, tmp_path: Path, shared_data: Path, study: str) -> None:
    store = S3Store(bucket, "archive")
    report = publish(store, shared_data / study, workers=2)
    assert report.exit_code == 0
    assert objects(store) == same_in_a_directory(tmp_path, shared_data / study)
    again = publish(store, shared_data / study, workers=2)
    assert set(again.outcomes) == {Outcome.UNCHANGED}


def test_every_header_is_right(bucket: Bucket, pydicom_files: list[Path]) -> None:
    wanted = {
        "CT_small.dcm", "color3d_jpeg_baseline.dcm", "liver.dcm", "reportsi.dcm", "examples_palette.dcm",
        "JPEG-lossy.dcm", "rtplan.dcm",
    }  # fmt: skip
    store = S3Store(bucket, "archive")
    publish(store, *(path for path in pydicom_files if path.name in wanted))
    kinds = set()
    for key, _ in store.list(""):
        kind = parse_key(key).kind
        kinds.add(kind)
        answer = bucket.client.get_object(Bucket=bucket.name, Key=f"archive/{key}")
        body = answer["Body"].read()
        if is_json(kind):
            assert answer["ContentEncoding"] == "gzip"
            assert body[4:8] == bytes(4)  # no time in it
            gzip.decompress(body)
        else:
            assert "ContentEncoding" not in answer
        assert answer["ContentType"] == media_type(kind, body[:512])
        assert answer["CacheControl"] == cache_control(kind)
        assert (answer["CacheControl"] == "no-cache") == is_list(kind)
    assert kinds >= {Kind.FRAME, Kind.REDUCED_FRAME, Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.PART10}


def test_private_caches_alone_may_keep_what_is_private(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(bucket, public=False)
    publish(store, write(tmp_path, "1.dcm", image(1)))
    classes = {bucket.client.head_object(Bucket=bucket.name, Key=key)["CacheControl"] for key, _ in store.list("")}
    assert classes == {"private, max-age=31536000, immutable", "no-cache"}


def test_frames_come_in_ranges_over_http(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(bucket, "archive")
    publish(store, write(tmp_path, "1.dcm", image(1)))
    key = next(key for key, _ in store.list("") if key.endswith("/frames/1"))
    whole = store.get(key)
    assert whole is not None
    url = bucket.client.generate_presigned_url("get_object", Params={"Bucket": bucket.name, "Key": f"archive/{key}"})
    with urlopen(Request(url, headers={"Range": "bytes=2-9"})) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 2-9/{len(whole.data)}"
        assert answer.headers["Content-Type"] == "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"
        assert answer.read() == whole.data[2:10]


def test_rejected_inputs_leave_nothing_in_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(bucket)
    report = publish(store, write(tmp_path, "in/1.dcm", image(1, NumberOfFrames=9)))
    assert report.exit_code == 2
    assert objects(store) == same_in_a_directory(tmp_path, tmp_path / "in") == {"studies": b"[]"}


def test_other_options_replace_the_objects(bucket: Bucket, tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 3)
    store = S3Store(bucket)
    publish(store, source)
    report = publish(store, source, reduced=(1, 3), thumbnails=Thumbnails.NONE)
    assert set(report.outcomes) == {Outcome.REBUILT}
    assert objects(store) == same_in_a_directory(tmp_path, source, reduced=(1, 3), thumbnails=Thumbnails.NONE)
    assert sorted(report.changed) == sorted({key for key in report.changed if not is_list(parse_key(key).kind)})
    assert any("/reduced/2/" in key for key in report.changed)


def test_nobody_reads_but_whom_the_policy_of_the_bucket_lets(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(bucket, "open")
    publish(store, write(tmp_path, "1.dcm", image(1)))
    S3Store(bucket, "closed").put("studies", b"[]")
    urls = {name: f"{bucket.client.meta.endpoint_url}/{bucket.name}/{name}/studies" for name in ("open", "closed")}
    for url in urls.values():
        assert status(url) == 403  # nothing that is published is public by that
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket.name}/open/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=policy)
    assert status(urls["open"]) == 200
    assert status(urls["closed"]) == 403
    with urlopen(urls["open"]) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"] == "application/dicom+json"
        assert gzip.decompress(answer.read()) == store.get("studies").data  # type: ignore[union-attr]  # just published


def status(url: str) -> int:
    try:
        with urlopen(url) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
