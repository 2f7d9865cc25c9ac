"""Objects of a bucket as inputs: which there are at a location, and ranges of the version that was listed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from stillframe.errors import InputError, NotFound, PreconditionFailed, Refused, StoreError, UsageError
from stillframe.source.inputs import CHANGED, S3Object
from stillframe.store.s3_client import SCHEME, Bucket, S3Settings, iter_pages, parse_location, persist

_FIRST_CONTACT_SECONDS: Final = 10.0
# Refusals that are of one object. Every other is of the bucket, of the credentials or of all requests: the job's end.
_OF_ONE_OBJECT: Final = ("AccessDenied", "403", "InvalidObjectState", "InvalidRequest", "KMS.")
_ARCHIVED: Final = "InvalidObjectState"


def check_location(location: str, settings: S3Settings) -> None:
    """See that there is an object at a location, before a long job rather than within it.

    Raises:
        UsageError: if there is none.
        StoreError: if the store does not tell, within seconds.
    """
    patience = min(_FIRST_CONTACT_SECONDS, settings.patience)
    if next(_iter_objects(location, settings, patience), None) is None:
        raise UsageError(f"no such object, and none below it: {location}")


def list_objects(location: str, settings: S3Settings) -> list[S3Object]:
    """The object that `s3://bucket/key` names and every one below `s3://bucket/key/`, in the order of their keys.

    What stands for a folder, an empty object whose key ends with a slash, is left out. A location that ends with a
    slash, or names a bucket alone, is a prefix and nothing else.

    Raises:
        UsageError: if it is no such location.
        StoreError: if the store fails.
    """
    return sorted(_iter_objects(location, settings, settings.patience), key=lambda found: found.key)


def _iter_objects(location: str, settings: S3Settings, patience: float) -> Iterator[S3Object]:
    name, _ = parse_location(location)
    bucket = Bucket(name, settings)
    key = location.removeprefix(SCHEME).partition("/")[2]  # as it is: keys may begin with a slash
    own, refusal = None, None
    if key and not key.endswith("/"):
        try:
            own = _head(bucket, key, patience)
        except Refused as error:  # who may not list is told so even where there is no such object
            refusal = error
        if own is not None:
            yield own
        key += "/"
    listed = 0
    try:
        for listed, found in enumerate(_listed(bucket, key, patience), 1):  # noqa: B007
            yield found
    except Refused:
        if own is None or listed:
            raise
        return  # reading one object needs no right to list
    if refusal is not None and not listed:
        raise refusal


def _head(bucket: Bucket, key: str, patience: float) -> S3Object | None:
    request = partial(bucket.client.head_object, Bucket=bucket.name, Key=key)
    try:
        answer = persist(request, f"{SCHEME}{bucket.name}/{key}", patience)
    except NotFound:
        return None
    if "ETag" not in answer or "ContentLength" not in answer:
        raise StoreError(f"{SCHEME}{bucket.name}/{key}: what answers is no store of the S3 protocol")
    return S3Object(bucket, key, answer["ContentLength"], answer["ETag"])


def _listed(bucket: Bucket, prefix: str, patience: float) -> Iterator[S3Object]:
    for page in iter_pages(bucket, prefix, patience):
        for item in page.get("Contents", ()):
            if item["Size"] or not item["Key"].endswith("/"):
                yield S3Object(bucket, item["Key"], item["Size"], item["ETag"])


def read_object(source: S3Object) -> bytes:
    """All bytes of an object.

    Raises:
        InputError, StoreError: as `read_range` does.
    """
    return _read(source, source.size)


def read_range(source: S3Object, offset: int, length: int) -> bytes:
    """A range of an object's bytes, all of it within the object.

    Raises:
        InputError: if the object is not the one that was listed any more, or may not be read.
        StoreError: if the store, and not only this object, cannot be read.
    """
    return _read(source, length, Range=f"bytes={offset}-{offset + length - 1}")


def _read(source: S3Object, length: int, **arguments: str) -> bytes:
    if not length:
        return b""  # no range of an empty object exists
    bucket = source.bucket

    def request() -> bytes:
        answer: dict[str, Any] = bucket.client.get_object(
            Bucket=bucket.name, Key=source.key, IfMatch=source.etag, **arguments
        )
        with answer["Body"] as body:
            if answer["ContentLength"] != length:
                raise StoreError(f"{source}: asked for {length} bytes, the store sends {answer['ContentLength']}")
            data: bytes = body.read()
            return data

    try:
        return persist(request, str(source), bucket.settings.patience)
    except PreconditionFailed as error:
        raise InputError(CHANGED) from error
    except NotFound as error:
        raise InputError("is not there any more") from error
    except Refused as error:
        if error.code == _ARCHIVED:
            raise InputError(f"is archived: it must be restored before it can be read ({_ARCHIVED})") from error
        if error.code.startswith(_OF_ONE_OBJECT):
            raise InputError(f"cannot be read: {str(error).removeprefix(f'{source}: ')}") from error
        raise
