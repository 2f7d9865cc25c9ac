"""Where boto3 sends the requests about a bucket and how it signs them, so that another client can do the same.

boto3 is not asked in words: it is given a request, which is taken from it when it is about to be sent. Profiles,
variables, endpoints, virtual hosts, regions and signatures are then what they are for every other request.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from ssl import get_default_verify_paths
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from stillframe.store.s3_client import CAUGHT_KEY, Bucket, CaughtRequest, connection_of

_SIGNED: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=[^ ,]*/\d{8}/([^/ ,]+)/s3/aws4_request,")
# Access points and the like have addresses and signatures of their own; directory buckets have sessions.
_ONLY_BOTO3: Final = re.compile(r"arn:.*|.*--x-s3")


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests about a bucket go.

    `url` is that of the bucket, with no slash at its end. `region` is the one that requests are signed for, empty if
    they are not signed. `past_proxies` says that the environment names proxies, and that this host is not behind them.
    """

    url: str
    region: str
    past_proxies: bool


def find_address(bucket: Bucket) -> Address | None:
    """The address of a bucket; None if only boto3 reaches it.

    That is so for access points and directory buckets, older signatures, certificates that the system does not trust
    (AWS_CA_BUNDLE, `ca_bundle` of a profile), proxies, and where there are no credentials.

    Raises:
        StoreError: if the settings make no client.
    """
    connection = connection_of(bucket.settings)
    if _ONLY_BOTO3.fullmatch(bucket.name):
        return None
    caught = _catch_request(connection.client, bucket.name)
    if caught is None:
        return None
    if caught.url.startswith("https:") and _has_own_certificates(connection.session):
        return None
    signed = _SIGNED.match(caught.signature)
    if signed is None and not bucket.settings.no_sign_request:
        return None
    proxies = getproxies()
    if proxies and _is_behind_proxy(caught.url):
        return None
    return Address(caught.url.removesuffix(f"/{CAUGHT_KEY}"), signed.group(1) if signed else "", bool(proxies))


def _has_own_certificates(session: Any) -> bool:
    """Whether boto3 trusts a bundle that is not the system's: others would trust those of the system as well."""
    bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    system = get_default_verify_paths().cafile
    if not bundle:
        return False
    try:
        return not system or not Path(bundle).samefile(system)
    except OSError:
        return True


def _is_behind_proxy(url: str) -> bool:
    from botocore.utils import get_environ_proxies

    return urlsplit(url).scheme in get_environ_proxies(url)


def _catch_request(client: Any, name: str) -> CaughtRequest | None:
    """A request about an object of a bucket, as boto3 would send it; None if it makes none."""
    from botocore.exceptions import BotoCoreError

    try:
        client.head_object(Bucket=name, Key=CAUGHT_KEY)
    except CaughtRequest as caught:
        return caught
    except BotoCoreError:
        pass  # boto3 says why, to whoever makes a request that is meant
    return None
