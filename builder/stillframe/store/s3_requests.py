"""Requests to S3 and to stores that speak its protocol, and which of their failures are waited out.

`s3_quick` makes those about single small objects once, and leaves to this module what it has no clear answer to.
botocore's own retries (its `standard` mode: exponential backoff with jitter) cover what passes in seconds. Around them
`persist` goes on for as long as the settings allow, so that a store that is gone for a minute does not end a job.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stillframe.errors import KeyRefused, NotFound, PreconditionFailed, Refused, StoreError, blame_machine
from stillframe.plain_text import without_secrets
from stillframe.store.base import ObjectHead
from stillframe.store.s3_client import SCHEME, Bucket, Checksums
from stillframe.store.s3_quick import QuickClient, Unclear, try_quickly
from stillframe.wait_log import waiting

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_FIRST_PAUSE: Final = 0.5
_LAST_PAUSE: Final = 15.0
# A request that takes longer is waited for, not only large.
_SLOW_SECONDS: Final = 20.0
# Failures that may be of the store or of every request alike: a few tries tell.
_FEW_TRIES: Final = 4

# Codes of answers below 500 that mean: later.
_LATER: Final = frozenset(
    (
        "SlowDown",
        "RequestTimeout",
        "RequestTimeoutException",
        "Throttling",
        "ThrottlingException",
        "OperationAborted",
        "RequestLimitExceeded",
        "ConditionalRequestConflict",
        "TooManyRequests",
        "PriorRequestNotComplete",
        "BandwidthLimitExceeded",
    )
)
# Refusals that are of one object: its key, or how large it is. MinIO has words of its own.
_OF_ONE_OBJECT: Final = frozenset(
    (
        "KeyTooLongError",
        "KeyTooLong",
        "InvalidArgument",
        "InvalidURI",
        "InvalidObjectName",
        "XMinioInvalidObjectName",
        "EntityTooLarge",
        "MaxMessageLengthExceeded",
    )
)
_WRITING: Final = frozenset(("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"))
# The bytes were damaged on their way, or something between changes all of them.
_DAMAGED: Final = frozenset(("BadDigest", "IncompleteBody", "InvalidDigest", "XAmzContentSHA256Mismatch"))


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure that may pass: why in full, why in a word or two, and whether a few tries tell that it does not."""

    reason: str
    word: str
    few: bool = False


def persist[T](call: Callable[[], T], what: str, patience: float) -> T:
    """The result of a request, made again while the store fails, for `patience` seconds in a row.

    Args:
        call: the request; it is made several times.
        what: names the object in messages.
        patience: seconds.

    Raises:
        PreconditionFailed: if a condition of the request does not hold.
        Refused: if the store answers that it will not carry out the request; `KeyRefused` where that is of one object.
        StoreError: if the store fails for longer, or no request can be made.
        NotFound: if there is no such object.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    started: float | None = None
    tries = 0
    with waiting("/".join(what.split("/")[:3]), "no answer yet", _SLOW_SECONDS) as wait:
        while True:
            try:
                return call()
            except ClientError as error:
                failure = _judge(error, what)
            except (BotoCoreError, HTTPError, ConnectionError, TimeoutError) as error:
                failure = _judge_connection(error, what)
            tries += 1
            now = time.monotonic()
            started = now if started is None else started
            pause = random.uniform(0.5, 1.0) * min(_LAST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, 10))  # noqa: S311
            if (failure.few and tries >= _FEW_TRIES) or now - started + pause > patience:
                raise StoreError(f"{what}: {failure.reason}")
            wait.fail(failure.word, started, patience)
            time.sleep(pause)


def iter_pages(bucket: Bucket, prefix: str, patience: float, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The pages of a listing (ListObjectsV2) of what a prefix begins with, as they come.

    Raises:
        StoreError: as `persist` does.
    """
    position: dict[str, str] = {}
    while True:
        request = partial(bucket.client.list_objects_v2, Bucket=bucket.name, Prefix=prefix, **arguments, **position)
        page = persist(request, f"{SCHEME}{bucket.name}/{prefix}", patience)
        yield page
        if not page.get("IsTruncated"):
            return
        position = {"ContinuationToken": page["NextContinuationToken"]}


def head_object(bucket: Bucket, key: str, patience: float) -> ObjectHead | None:
    """Size and tag of an object, or None if there is none.

    Raises:
        StoreError: as `persist` does, or if what answers is no such store.
    """
    ask = partial(_head_patiently, bucket, key, patience)
    try:
        if patience < bucket.settings.patience:
            return ask()
        return try_quickly(bucket, key, lambda client: client.head(key), ask)
    except NotFound:
        return None


def _head_patiently(bucket: Bucket, key: str, patience: float) -> ObjectHead:
    what = f"{SCHEME}{bucket.name}/{key}"
    answer = persist(partial(bucket.client.head_object, Bucket=bucket.name, Key=key), what, patience)
    if "ETag" not in answer or "ContentLength" not in answer:
        raise StoreError(f"{what}: what answers is no store of the S3 protocol")
    return ObjectHead(answer["ContentLength"], answer["ETag"])


def read_version(bucket: Bucket, key: str, head: ObjectHead, bytes_range: tuple[int, int] | None = None) -> bytes:
    """The bytes of one version of an object, or those from an offset on of some length, all of them within it.

    Raises:
        PreconditionFailed: if another version is there.
        StoreError: as `persist` does, or if more or fewer bytes come.
    """
    length = bytes_range[1] if bytes_range else head.size
    if not length:
        return b""  # no range of an empty object exists

    def ask() -> bytes:
        return _read_patiently(bucket, key, head, bytes_range)

    def ask_quickly(client: QuickClient) -> bytes:
        content = client.get(key, bytes_range, head.etag)
        if content.etag.strip('"') != head.etag.strip('"') or len(content.data) != length:
            raise Unclear
        return content.data

    if bytes_range is None and bucket.settings.checksums is Checksums.ALWAYS:
        return ask()  # boto3 holds a whole object against the checksum that the store has of it
    return try_quickly(bucket, key, ask_quickly, ask)


def _read_patiently(bucket: Bucket, key: str, head: ObjectHead, bytes_range: tuple[int, int] | None) -> bytes:
    offset, length = bytes_range or (0, head.size)
    arguments = {"Range": f"bytes={offset}-{offset + length - 1}"} if bytes_range else {}
    what = f"{SCHEME}{bucket.name}/{key}"

    def request() -> bytes:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key, IfMatch=head.etag, **arguments)
        with answer["Body"] as body:
            # A store that knows no If-Match still tells which version it sends.
            if answer.get("ETag", head.etag).strip('"') != head.etag.strip('"'):
                raise PreconditionFailed(f"{what} is another version by now")
            if answer["ContentLength"] != length:
                raise StoreError(f"{what}: asked for {length} bytes, the store sends {answer['ContentLength']}")
            data: bytes = body.read()
            return data

    return persist(request, what, bucket.settings.patience)


def _judge(error: ClientError, what: str) -> _Failure:
    """Why an answer is worth waiting for another one; raises what it means if it is not."""
    details = error.response.get("Error", {})
    code, message = (
        str(details.get("Code", "")),
        without_secrets(" ".join(str(details.get("Message", "")).split()))[:300],
    )
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    why = f": {message}" if message and message != code else ""
    reason = f"{error.operation_name}: the store answered {status} {code}{why}"
    if status == 412 or code == "PreconditionFailed":
        raise PreconditionFailed(f"{what} is another version by now") from error
    if code in ("NoSuchKey", "404", "NotFound"):
        raise NotFound(f"{what} is not there") from error
    if status >= 500 or status == 429 or code in _LATER or code in _DAMAGED:
        return _Failure(reason, f"{status} {code}", code in _DAMAGED)
    of_one = error.operation_name in _WRITING and (code in _OF_ONE_OBJECT or status == 414)
    raise (KeyRefused if of_one else Refused)(f"{what}: {reason}", code) from error


def _judge_connection(error: Exception, what: str) -> _Failure:
    """Why a request without an answer is made again; raises if it is not, or if the machine is at fault."""
    from botocore import exceptions as known

    blame_machine(error)
    text = without_secrets(" ".join(str(error).split()))[:300]
    match error:
        case known.NoCredentialsError() | known.PartialCredentialsError() | known.CredentialRetrievalError():
            raise StoreError(f"{what}: {text}") from error
        case known.SSOError() | known.ParamValidationError() | known.NoRegionError():
            raise StoreError(f"{what}: {text}") from error
        case known.EndpointProviderError() | known.UnknownEndpointError():
            raise StoreError(f"{what}: {text}") from error
        case known.SSLError():
            return _Failure(text, "no secure connection", few=True)
        case known.FlexibleChecksumError():
            return _Failure(text, "damaged bytes", few=True)
        case known.EndpointConnectionError() | known.ConnectTimeoutError() | known.ProxyConnectionError():
            return _Failure(text, "no connection")
        case known.ReadTimeoutError() | TimeoutError():
            return _Failure(text, "no answer")
        case _:
            return _Failure(text, "connection lost")
