"""How S3, and stores that speak its protocol, are reached: locations, settings, clients."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from stillframe import __version__
from stillframe.errors import StoreError, UsageError
from stillframe.layout import MAX_KEY_BYTES
from stillframe.parallel import made_once
from stillframe.plain_text import keep_secret, without_secrets

SCHEME: Final = "s3://"
PARALLEL: Final = 16
"""Requests of one process under way at once, beside those of the instances themselves."""

USER_AGENT: Final = f"stillframe/{__version__}"
CAUGHT_KEY: Final = "stillframe-asks-where-this-is"
"""A HEAD of an object of this key is not sent: it ends in `CaughtRequest`."""
_CONNECTIONS: Final = 3 * PARALLEL
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_ATTEMPTS: Final = 3  # of botocore, before `s3_requests.persist` takes over
_SENT_AT_ONCE_BYTES: Final = 1 << 20

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PORTS: Final = {"http": 80, "https": 443}
_BUCKET: Final = re.compile(r"[a-zA-Z0-9._-]{1,255}|arn:[a-zA-Z0-9:/._-]{1,250}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+")


class CaughtRequest(Exception):
    """Carries what boto3 was about to send out of it: the URL, and the value of the header Authorization."""

    def __init__(self, url: str, signature: str) -> None:
        super().__init__(url)
        self.url = url
        self.signature = signature


class Checksums(StrEnum):
    """When requests carry the newer checksums of S3: SHA-256, CRC-32 where boto3 sends them."""

    ALWAYS = "always"
    REQUIRED = "required"  # only where the protocol demands it; Content-MD5 goes along instead


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """How a store is reached. Credentials come from where botocore finds them: environment, profile, role.

    `path_style` None means: with an endpoint URL. `patience` is how many seconds a store may fail in a row. With
    `no_sign_request`, requests carry no credentials and are not signed.
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    path_style: bool | None = None
    checksums: Checksums = Checksums.ALWAYS
    patience: float = 300.0
    no_sign_request: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """How a process reaches a store: boto3's client, and the session that has the credentials and the configuration."""

    client: Any
    session: Any


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


def same_endpoint(first: S3Settings, second: S3Settings) -> bool:
    """Whether two settings reach the same store, by the addresses that their clients use.

    Raises:
        StoreError: if one of them makes no client.
    """
    if first.endpoint_url == second.endpoint_url:
        return True
    urls = [urlsplit(client_of(settings).meta.endpoint_url) for settings in (first, second)]
    return len({(url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)) for url in urls}) == 1


def check_place(location: str) -> None:
    """Refuse what looks like a URL and is no location of S3: it would be taken for a folder of that name.

    Raises:
        UsageError: if it does.
    """
    if _URL.match(location) and not location.startswith(SCHEME):
        raise UsageError(
            f"only files, folders and {SCHEME}bucket/prefix: {location} (a folder of that name is ./{location})"
        )


def split_location(location: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key` as they stand there: keys may begin with a slash, and be empty."""
    bucket, _, key = location.removeprefix(SCHEME).partition("/")
    return bucket, key


def parse_location(location: str) -> tuple[str, str]:
    """Bucket and key prefix of `s3://bucket/prefix`, the prefix without slashes around it.

    Raises:
        UsageError: if it is no such location.
    """
    bucket, prefix = split_location(location)
    if not location.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"expected s3://bucket/prefix: {location}")
    return bucket, prefix.strip("/")


MAX_PREFIX_BYTES: Final = MAX_KEY_BYTES - 300
"""Of an archive's prefix: the key of a frame, in a root of its study's own, has up to some 280 bytes behind it."""


def check_prefix(prefix: str, location: str) -> None:
    """See that the prefix of a destination can stand in URLs as it is.

    Raises:
        UsageError: if it cannot.
    """
    if len(prefix) > MAX_PREFIX_BYTES:
        raise UsageError(
            f"the prefix of a destination has at most {MAX_PREFIX_BYTES} characters, this one {len(prefix)}: {location}"
        )
    for segment in prefix.split("/") if prefix else ():
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise UsageError(
                f"the prefix of a destination consists of letters, digits, '.', '_', '~' and '-': {location}"
            )


def client_of(settings: S3Settings) -> Any:
    """A client for these settings, one for each process; clients may be shared by threads, not by processes.

    Raises:
        StoreError: if the settings make none.
    """
    return connection_of(settings).client


@made_once
def connection_of(settings: S3Settings) -> Connection:
    """The connection for these settings, one for each process.

    Raises:
        StoreError: if the settings make none.
    """
    import boto3
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    from stillframe.store.whole_heads import refuse_cut_heads

    refuse_cut_heads()
    style = {None: "path" if settings.endpoint_url else "auto", True: "path", False: "virtual"}[settings.path_style]
    checksums = "when_supported" if settings.checksums is Checksums.ALWAYS else "when_required"
    config = Config(
        connect_timeout=max(1.0, min(_CONNECT_SECONDS, settings.patience)),
        read_timeout=max(1.0, min(_READ_SECONDS, settings.patience)),
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS if settings.patience > _READ_SECONDS else 1},
        s3={"addressing_style": style},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        user_agent_extra=USER_AGENT,
        signature_version=UNSIGNED if settings.no_sign_request else None,
    )
    try:
        core = botocore.session.Session(profile=settings.profile or None)
        session = boto3.Session(botocore_session=core, region_name=settings.region or None)
        region = session.region_name or ("us-east-1" if settings.endpoint_url else None)
        client = session.client("s3", endpoint_url=settings.endpoint_url or None, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"S3 cannot be reached: {without_secrets(str(error))}") from error
    client.meta.events.register_last("before-call.s3", _send_at_once)
    client.meta.events.register_last("before-send.s3", _keep_token)
    client.meta.events.register_first("before-send.s3.HeadObject", _catch)
    return Connection(client, core)


def _catch(request: Any, **_: Any) -> None:
    """Hand a request over to whoever asks how it would be sent."""
    if urlsplit(request.url).path.endswith(f"/{CAUGHT_KEY}"):
        signature = request.headers.get("Authorization", b"")
        raise CaughtRequest(request.url, signature.decode("latin-1") if isinstance(signature, bytes) else signature)


def _keep_token(request: Any, **_: Any) -> None:
    """Let no message repeat the token of the session: a store may quote it in its answer."""
    token = request.headers.get("X-Amz-Security-Token", b"")
    keep_secret(token.decode("latin-1") if isinstance(token, bytes) else token)


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """Do not ask whether a small body may be sent (Expect: 100-continue): that takes a round trip for every object."""
    body = params.get("body")
    if isinstance(body, BytesIO) and body.getbuffer().nbytes <= _SENT_AT_ONCE_BYTES:
        params["headers"].pop("Expect", None)
