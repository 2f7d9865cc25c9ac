"""Whether a store does what an archive needs of it: tried with a few small objects before anything is published.

S3 does. Not every store that speaks its protocol does: some take conditions without heeding them, and two jobs would
overwrite each other's lists; some do not list an object whose key is the prefix of another's.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from stillframe.errors import NotFound, PreconditionFailed, StoreError
from stillframe.store.s3 import FOLDER_TAG, S3Store
from stillframe.store.s3_requests import persist

_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn")


def is_aws(store: S3Store) -> bool:
    """Whether the store is S3 itself."""
    host = urlsplit(store.bucket.client.meta.endpoint_url).hostname or ""
    return host.endswith(_AWS)


def probe_store(store: S3Store) -> None:
    """Try conditions, and keys that are prefixes of others, with objects below `probe`, which are removed again.

    Raises:
        StoreError: naming what the store does not do, or if it refuses a request.
    """
    name = f"{store.prefix}/probe/{uuid.uuid4().hex}".lstrip("/")
    try:
        lacking = _lacking(store, name)
    finally:
        for key in (name, f"{name}/below", f"{name}-none", f"{name}-late", f"{name}-late/below"):
            request(store, "delete_object", Key=key)
    if lacking:
        raise StoreError(
            f"{store}: this store {lacking}, and an archive needs that (docs/how-to/host-on-other-stores.md)"
        )


def _lacking(store: S3Store, name: str) -> str:
    """What the store does not do; empty if nothing."""
    put = partial(request, store, "put_object")
    if not put(Key=name, Body=b"1", IfNoneMatch="*"):
        return "does not create objects under a condition"
    if put(Key=name, Body=b"2", IfNoneMatch="*"):
        return "overwrites an object that was only to be created (If-None-Match)"
    answer = request(store, "head_object", Key=name)
    if put(Key=name, Body=b"3", IfMatch='"0123456789abcdef0123456789abcdef"'):
        return "overwrites another version than the one that was named (If-Match)"
    if put(Key=f"{name}-none", Body=b"3", IfMatch='"0123456789abcdef0123456789abcdef"'):
        return "creates an object where a version was to be overwritten (If-Match)"
    if answer is None or not put(Key=name, Body=b"4", IfMatch=answer["ETag"]):
        return "does not overwrite the version that was named (If-Match)"
    put(Key=f"{name}/below", Body=b"5")
    listed = request(store, "list_objects_v2", Prefix=name).get("Contents", ())
    kept = request(store, "get_object", Key=name)
    if {content["Key"] for content in listed} != {name, f"{name}/below"} or not kept or kept["Body"].read() != b"4":
        return "does not hold, or not list, an object whose key is the beginning of another's"
    late = f"{name}-late"
    put(Key=f"{late}/below", Body=b"6")
    if not put(Key=late, Body=b"7", IfNoneMatch="*") and not put(Key=late, Body=b"7", IfMatch=FOLDER_TAG):
        return "does not create an object under a condition once its key is the beginning of another's"
    if put(Key=late, Body=b"8", IfNoneMatch="*") or put(Key=late, Body=b"8", IfMatch=FOLDER_TAG):
        return "overwrites an object that was only to be created, where its key is the beginning of another's"
    return ""


def request(store: S3Store, operation: str, **arguments: Any) -> Any:
    """The answer; None if a condition did not hold, or there is no such object."""
    method = getattr(store.bucket.client, operation)
    try:
        return persist(
            partial(method, Bucket=store.bucket.name, **arguments), str(store), store.bucket.settings.patience
        )
    except (PreconditionFailed, NotFound):
        return None
