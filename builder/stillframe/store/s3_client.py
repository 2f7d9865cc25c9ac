"""Talking to S3 and to stores that speak its protocol: settings, clients, and which failures are waited out.

botocore's own retries (its `standard` mode: exponential backoff with jitter) cover what passes in seconds. Around them
`persist` goes on for as long as the settings allow, so that a store that is gone for a minute does not end a job.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stillframe import __version__
from stillframe.errors import NotFound, PreconditionFailed, Refused, StoreError, UsageError
from stillframe.waiting import waiting

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

SCHEME: Final = "s3://"
PARALLEL: Final = 16
"""Requests of one process under way at once, beside those of the instances themselves."""

_CONNECTIONS: Final = 3 * PARALLEL
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_ATTEMPTS: Final = 3  # of botocore, before `persist` takes over
_SENT_AT_ONCE_BYTES: Final = 1 << 20
_FIRST_PAUSE: Final = 0.5
_LAST_PAUSE: Final = 15.0
# A request that takes longer is waited for, not only large.
_SLOW_SECONDS: Final = 20.0
# Failures that may be of the store or of every request alike: a few tries tell.
_FEW_TRIES: Final = 4

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PORTS: Final = {"http": 80, "https": 443}
_BUCKET: Final = re.compile(r"[a-zA-Z0-9._-]{1,255}|arn:[a-zA-Z0-9:/._-]{1,250}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+")

# Codes of answers below 500 that mean: later.
_LATER: Final = frozenset((
    "SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException", "OperationAborted",
    "RequestLimitExceeded", "ConditionalRequestConflict", "TooManyRequests", "PriorRequestNotComplete",
    "BandwidthLimitExceeded",
))  # fmt: skip
# The bytes were damaged on their way, or something between changes all of them.
_DAMAGED: Final = frozenset(("BadDigest", "IncompleteBody", "InvalidDigest", "XAmzContentSHA256Mismatch"))


class Checksums(StrEnum):
    """When requests carry the newer checksums of S3 (CRC-32)."""

    ALWAYS = "always"
    REQUIRED = "required"  # only where the protocol demands it; Content-MD5 goes along instead


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How a store is reached. Credentials come from where botocore finds them: environment, profile, role.

    `path_style` None means: with an endpoint URL. `patience` is how many seconds a store may fail in a row.
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    path_style: bool | None = None
    checksums: Checksums = Checksums.ALWAYS
    patience: float = 300.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and how it is reached."""

    name: str
    settings: S3Settings = field(default_factory=S3Settings)

    @property
    def client(self) -> Any:
        """The process's client for it.

        Raises:
            StoreError: if the settings make none.
        """
        return client_of(self.settings)


def same_endpoint(one: S3Settings, other: S3Settings) -> bool:
    """Whether two settings reach the same store, by the addresses that their clients use.

    Raises:
        StoreError: if one of them makes no client.
    """
    if one.endpoint_url == other.endpoint_url:
        return True
    urls = (urlsplit(client_of(settings).meta.endpoint_url) for settings in (one, other))
    first, second = ((url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)) for url in urls)
    return first == second


def check_place(place: str) -> None:
    """Refuse what looks like a URL and is no location of S3: it would be taken for a folder of that name.

    Raises:
        UsageError: if it does.
    """
    if _URL.match(place) and not place.startswith(SCHEME):
        raise UsageError(f"only files, folders and {SCHEME}bucket/prefix: {place} (a folder of that name is ./{place})")


def parse_location(location: str) -> tuple[str, str]:
    """Bucket and key prefix of `s3://bucket/prefix`, the prefix without slashes around it.

    Raises:
        UsageError: if it is no such location.
    """
    bucket, _, prefix = location.removeprefix(SCHEME).partition("/")
    if not location.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"expected s3://bucket/prefix: {location}")
    return bucket, prefix.strip("/")


def check_prefix(prefix: str, location: str) -> None:
    """See that the prefix of a destination can stand in URLs as it is.

    Raises:
        UsageError: if it cannot.
    """
    for segment in prefix.split("/") if prefix else ():
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise UsageError(
                f"the prefix of a destination consists of letters, digits, '.', '_', '~' and '-': {location}"
            )


_clients: dict[S3Settings, Any] = {}
_clients_lock: Final = threading.Lock()


def client_of(settings: S3Settings) -> Any:
    """A client for these settings, one for each process; clients may be shared by threads, not by processes.

    Raises:
        StoreError: if the settings make none.
    """
    with _clients_lock:
        if settings not in _clients:
            _clients[settings] = _make_client(settings)
        return _clients[settings]


def _make_client(settings: S3Settings) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    path_style = bool(settings.endpoint_url) if settings.path_style is None else settings.path_style
    checksums = "when_supported" if settings.checksums is Checksums.ALWAYS else "when_required"
    config = Config(
        connect_timeout=max(1.0, min(_CONNECT_SECONDS, settings.patience)),
        read_timeout=max(1.0, min(_READ_SECONDS, settings.patience)),
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS if settings.patience > _READ_SECONDS else 1},
        s3={"addressing_style": "path" if path_style else "auto"},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        user_agent_extra=f"stillframe/{__version__}",
    )
    try:
        session = boto3.Session(profile_name=settings.profile or None, region_name=settings.region or None)
        region = session.region_name or ("us-east-1" if settings.endpoint_url else None)
        client = session.client("s3", endpoint_url=settings.endpoint_url or None, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"S3 cannot be reached: {error}") from error
    client.meta.events.register_last("before-call.s3", _send_at_once)
    return client


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """Do not ask whether a small body may be sent (Expect: 100-continue): that takes a round trip for every object."""
    body = params.get("body")
    if isinstance(body, BytesIO) and body.getbuffer().nbytes <= _SENT_AT_ONCE_BYTES:
        params["headers"].pop("Expect", None)


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
        Refused: if the store answers that it will not carry out the request.
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
            pause = random.uniform(0.5, 1.0) * min(_LAST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, 10))
            if (failure.few and tries >= _FEW_TRIES) or now - started + pause > patience:
                raise StoreError(f"{what}: {failure.reason}")
            wait.fail(failure.word, started, patience)
            time.sleep(pause)


def iter_pages(bucket: Bucket, prefix: str, patience: float, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The pages of a listing (ListObjectsV2) of what a prefix begins with, as they come.

    Raises:
        StoreError: as `persist` does.
    """
    place: dict[str, str] = {}
    while True:
        request = partial(bucket.client.list_objects_v2, Bucket=bucket.name, Prefix=prefix, **arguments, **place)
        page = persist(request, f"{SCHEME}{bucket.name}/{prefix}", patience)
        yield page
        if not page.get("IsTruncated"):
            return
        place = {"ContinuationToken": page["NextContinuationToken"]}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _judge(error: ClientError, what: str) -> _Failure:
    """Why an answer is worth waiting for another one; raises what it means if it is not."""
    code, status = _code(error), _status(error)
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:300]
    why = f": {message}" if message and message != code else ""
    reason = f"{error.operation_name}: the store answered {status} {code}{why}"
    if status == 412 or code == "PreconditionFailed":
        raise PreconditionFailed(f"{what} is another version by now") from error
    if code in ("NoSuchKey", "404", "NotFound"):
        raise NotFound(f"{what} is not there") from error
    if status >= 500 or status == 429 or code in _LATER or code in _DAMAGED:
        return _Failure(reason, f"{status} {code}", code in _DAMAGED)
    raise Refused(f"{what}: {reason}", code) from error


def _judge_connection(error: Exception, what: str) -> _Failure:
    """Why a request without an answer is made again; raises if it is not."""
    from botocore import exceptions as known

    lasting = (
        known.NoCredentialsError, known.PartialCredentialsError, known.CredentialRetrievalError, known.SSOError,
        known.ParamValidationError, known.NoRegionError, known.EndpointProviderError, known.UnknownEndpointError,
    )  # fmt: skip
    text = " ".join(str(error).split())[:300]
    if isinstance(error, lasting):
        raise StoreError(f"{what}: {text}") from error
    match error:
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
