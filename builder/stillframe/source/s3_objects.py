"""Objects of a bucket as inputs: which there are at a location, and ranges of the version that was listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stillframe.errors import InputError, NotFound, PreconditionFailed, Refused, UsageError
from stillframe.source.inputs import CHANGED, S3Object
from stillframe.store.base import ObjectHead
from stillframe.store.s3_client import Bucket, S3Settings, parse_location, split_location
from stillframe.store.s3_requests import head_object, iter_pages, read_version

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
    if next(_iter_patiently(location, settings, patience), None) is None:
        raise UsageError(f"no such object, and none below it: {location}")


def iter_objects(location: str, settings: S3Settings, *, alone: bool = False) -> Iterator[S3Object]:
    """The object that `s3://bucket/key` names and every one below `s3://bucket/key/`, as the store lists them.

    What stands for a folder, an empty object whose key ends with a slash, is left out. A location that ends with a
    slash, or names a bucket alone, is a prefix and nothing else. With `alone`, nothing is looked for below a key.

    Raises:
        UsageError: if it is no such location.
        StoreError: if the store fails.
    """
    return _iter_patiently(location, settings, settings.patience, alone=alone)


def is_of_one_line(error: Refused) -> bool:
    """Whether a store refuses what one line of a manifest names, so that others may still be read."""
    return error.code.startswith((*_OF_ONE_OBJECT, "NoSuchBucket"))


def _iter_patiently(location: str, settings: S3Settings, patience: float, *, alone: bool = False) -> Iterator[S3Object]:
    name, _ = parse_location(location)
    bucket = Bucket(name, settings)
    _, key = split_location(location)
    own, refusal = None, None
    if key and not key.endswith("/"):
        try:
            own = head_object(bucket, key, patience)
        except Refused as error:  # who may not list is told so even where there is no such object
            if alone:
                raise
            refusal = error
        if own is not None:
            yield S3Object(bucket, key, own.size, own.etag)
        if alone:
            return
        key += "/"
    listed = 0
    try:
        for listed, source in enumerate(_listed(bucket, key, patience), 1):  # noqa: B007
            yield source
    except Refused:
        if own is None or listed:
            raise
        return  # reading one object needs no right to list
    if refusal is not None and not listed:
        raise refusal


def _listed(bucket: Bucket, prefix: str, patience: float) -> Iterator[S3Object]:
    for page in iter_pages(bucket, prefix, patience):
        for content in page.get("Contents", ()):
            if content["Size"] or not content["Key"].endswith("/"):
                yield S3Object(bucket, content["Key"], content["Size"], content["ETag"])


def read_object(source: S3Object, bytes_range: tuple[int, int] | None = None) -> bytes:
    """All bytes of an object, or the range of them that begins at an offset and has a length, within the object.

    Raises:
        InputError: if the object is not the one that was listed any more, or may not be read.
        StoreError: if the store, and not only this object, cannot be read.
    """
    try:
        return read_version(source.bucket, source.key, ObjectHead(source.size, source.etag), bytes_range)
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
