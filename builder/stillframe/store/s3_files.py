"""Single files in a bucket that are no part of an archive, such as reports."""

from __future__ import annotations

from pathlib import Path

from stillframe.store.s3_client import Bucket, S3Settings, split_location
from stillframe.store.s3_parts import put_whole


def put_file(location: str, path: Path, media_type: str, settings: S3Settings) -> None:
    """Write an object from a file. Nobody is to keep copies of it.

    Raises:
        StoreError: if the store fails.
    """
    bucket, key = split_location(location)
    headers = {"ContentType": media_type, "CacheControl": "no-store"}
    with path.open("rb") as file:
        put_whole(Bucket(bucket, settings), key, headers, file, path.stat().st_size)
