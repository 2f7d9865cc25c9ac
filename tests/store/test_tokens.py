from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.errors import StoreError
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket, S3Settings
from stillframe.store.tokens import has_token, leave_token, remove_tokens


def check_tokens(store: Store, other: Store) -> None:
    """Tokens are seen in the store where they are, and go with the first."""
    first = leave_token(store)
    second = leave_token(store, first)
    assert has_token(store, first)
    assert has_token(store, second)
    assert not has_token(other, first)
    assert not list(store.list(""))  # no objects of an archive
    remove_tokens(store, second)
    assert not has_token(store, second)
    leave_token(store, first)
    remove_tokens(store, first)
    assert not has_token(store, first)


def test_tokens_of_a_folder(tmp_path: Path) -> None:
    stores = [DirectoryStore(str(tmp_path / name)) for name in ("a", "b")]
    for store in stores:
        store.create()
    check_tokens(stores[0], stores[1])
    assert not list(tmp_path.glob("*/*"))


def test_tokens_of_a_bucket(bucket: Bucket) -> None:
    check_tokens(S3Store(bucket, "a"), S3Store(bucket, "b"))
    left = bucket.client.list_objects_v2(Bucket=bucket.name)
    assert "Contents" not in left


def test_a_bucket_of_aws_needs_none() -> None:
    store = S3Store(Bucket("anything", S3Settings(region="eu-west-1", no_sign_request=True)))
    assert leave_token(store) == ""
    assert has_token(store, "")
    remove_tokens(store, "")


def test_elsewhere_none_does_not_do(bucket: Bucket, tmp_path: Path) -> None:
    assert not has_token(S3Store(bucket), "")
    assert not has_token(DirectoryStore(str(tmp_path)), "")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none cannot be written"):
        leave_token(DirectoryStore(str(tmp_path / "none")))
