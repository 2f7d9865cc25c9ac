"""The library obstore in this process: how it is set up to send what boto3 would, and the threads that it needs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stillframe.parallel import made_once
from stillframe.plain_text import keep_secret
from stillframe.store.s3_address import Address
from stillframe.store.s3_client import USER_AGENT, Bucket, connection_of

if TYPE_CHECKING:
    from obstore.store import S3Store as Remote

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 30.0  # boto3 waits for longer, and sees whether bytes are passing
_KEPT_CREDENTIALS: Final = timedelta(minutes=5)
# Variables that obstore heeds and cannot be told not to.
_OBEYED: Final = ("AWS_SERVER_SIDE_ENCRYPTION", "AWS_CHECKSUM_ALGORITHM")


def make_remote(bucket: Bucket, address: Address) -> Remote | None:
    """The store of obstore at an address, None if there can be none here.

    Whatever it would take from variables of the environment is given to it, and it tries nothing twice.
    """
    if any(name in os.environ for name in _OBEYED):
        return None
    from obstore.exceptions import BaseError
    from obstore.store import S3Store as Remote

    url = urlsplit(address.url)
    patience = max(1.0, bucket.settings.patience)
    config: Any = {  # obstore's own types for these are not there when it runs
        # An address of its own for each bucket is what it takes for a virtual host; the name may be in the path.
        "bucket": bucket.name,
        "endpoint": address.url,
        "aws_endpoint_url_s3": address.url,
        "virtual_hosted_style_request": True,
        "region": address.region or "us-east-1",
        "skip_signature": not address.region,
        "checksum_algorithm": "SHA256",
        "conditional_put": "etag",
        "disable_bulk_delete": True,  # else it asks for one object with the request for many
        "unsigned_payload": False,
        "s3_express": False,
        "request_payer": False,
    }
    options: Any = {
        "allow_http": url.scheme == "http",
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, patience)),
        "read_timeout": timedelta(seconds=min(_ANSWER_SECONDS, patience)),
        "timeout": timedelta(seconds=10 * _ANSWER_SECONDS),
        "user_agent": USER_AGENT,
    }
    if address.past_proxies:  # it reads NO_PROXY in its own way
        options["proxy_url"], options["proxy_excludes"] = "http://127.0.0.1:9", url.hostname or ""
    provider = _Credentials(bucket) if address.region else None
    try:
        return Remote(
            config=config, client_options=options, retry_config={"max_retries": 0}, credential_provider=provider
        )
    except (BaseError, ValueError):
        return None  # there are no certificates on this machine, say


class _Credentials:
    """Hands boto3's credentials to obstore, which asks anew once what it has is `_KEPT_CREDENTIALS` old."""

    def __init__(self, bucket: Bucket) -> None:
        self._credentials = connection_of(bucket.settings).session.get_credentials()

    def __call__(self) -> Any:
        frozen = self._credentials.get_frozen_credentials()
        keep_secret(frozen.token or "")
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _KEPT_CREDENTIALS,
        }


class Runtime:
    """The threads that obstore starts with the first request; a process forked later on has none, and would hang."""

    def __init__(self) -> None:
        self._process = 0
        self._lock = threading.Lock()
        self._lacks_threads = False

    def is_usable(self) -> bool:
        """Whether this process may make requests."""
        return self._process in (0, os.getpid()) and not self._lacks_threads

    def begin(self) -> None:
        """See that requests can be made.

        Raises:
            RuntimeError: if they cannot.
        """
        if self._process:
            return
        with self._lock:
            # Threads wait for answers, and one is enough for what a process sends; it would take one for each core.
            os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
            self._process = os.getpid()
            try:  # it has no error of its own for that: it would write a report of its crash on stderr
                probes = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(3)]
                for probe in probes:
                    probe.start()
            except RuntimeError:
                self._lacks_threads = True
                raise


RUNTIME: Final = Runtime()


def call_interruptibly[T](request: Callable[[], T]) -> T:
    """What a request returns. The main thread waits where Ctrl-C reaches it, which is not within the request."""
    if threading.current_thread() is not threading.main_thread():
        return request()
    try:
        begun = _helpers().submit(request)
    except RuntimeError:  # no thread starts: nor may another do later what nobody waits for any more
        _helpers().shutdown(wait=False, cancel_futures=True)
        raise
    return begun.result()


@made_once
def _helpers() -> ThreadPoolExecutor:
    """Threads for the requests of the main thread: a few, since it gives up one that is interrupted."""
    return ThreadPoolExecutor(4, thread_name_prefix="main-requests")
