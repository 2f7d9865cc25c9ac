from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from stillframe.errors import StoreError
from stillframe.store.s3 import S3Store
from stillframe.store.s3_check import is_aws, probe_store
from stillframe.store.s3_client import Bucket, S3Settings
from tests.support.moto_server import run_moto_bucket


def without(header: str) -> Callable[..., None]:
    """Take a header out of every request, as if the store did not heed it."""

    def remove(params: dict[str, Any], **_: Any) -> None:
        params["headers"].pop(header, None)

    return remove


@pytest.fixture
def moto_store() -> Iterator[S3Store]:
    with run_moto_bucket() as bucket:
        # Settings of its own, since clients are kept by their settings, and this one is tampered with.
        settings = replace(bucket.settings, patience=float(id(object()) % 1000))
        yield S3Store(replace(bucket, settings=settings), "some/prefix")


def test_a_store_that_does_all_passes_and_keeps_nothing(bucket: Bucket) -> None:
    store = S3Store(bucket, "some/prefix")
    probe_store(store)
    assert list(store.list("")) == []
    assert not is_aws(store)


def test_s3_itself_is_known() -> None:
    assert is_aws(S3Store(Bucket("archive", S3Settings(region="us-east-1"))))
    assert not is_aws(S3Store(Bucket("archive", S3Settings(endpoint_url="http://amazonaws.com.example.org:1"))))


@pytest.mark.parametrize(
    ("header", "lacking"),
    [("If-None-Match", "only to be created"), ("If-Match", "than the one that was named")],
)
def test_a_store_that_does_not_heed_conditions_is_refused(moto_store: S3Store, header: str, lacking: str) -> None:
    events = moto_store.bucket.client.meta.events
    handler = without(header)
    events.register("before-call.s3.PutObject", handler)
    try:
        with pytest.raises(StoreError, match=lacking):
            probe_store(moto_store)
    finally:
        events.unregister("before-call.s3.PutObject", handler)
    assert list(moto_store.list("")) == []


def test_a_store_that_does_not_list_what_is_a_prefix_too_is_refused(moto_store: S3Store) -> None:
    def hide(parsed: dict[str, Any], **_: Any) -> None:
        keys = [item["Key"] for item in parsed.get("Contents", ())]
        parsed["Contents"] = [
            item for item in parsed.get("Contents", ()) if not any(key.startswith(f"{item['Key']}/") for key in keys)
        ]

    events = moto_store.bucket.client.meta.events
    events.register("after-call.s3.ListObjectsV2", hide)
    try:
        with pytest.raises(StoreError, match="the beginning of another"):
            probe_store(moto_store)
    finally:
        events.unregister("after-call.s3.ListObjectsV2", hide)
