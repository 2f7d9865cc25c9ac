"""moto as a server of this process, which boto3 and obstore reach alike. It stores what S3 does, and asks for less."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from stillframe.store.s3_client import Bucket, S3Settings
from tests.support.lazy import lazy_module

moto_server = lazy_module("moto.server")


@contextmanager
def run_moto() -> Iterator[str]:
    """The URL of a server that holds nothing, for as long as the block lasts."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        with urlopen(Request(f"{url}/moto-api/reset", method="POST")):  # all servers of a process share what they hold
            yield url
    finally:
        server.stop()


@contextmanager
def run_moto_bucket(name: str = "archive") -> Iterator[Bucket]:
    """An empty bucket of such a server."""
    with run_moto() as url:
        bucket = Bucket(name, S3Settings(endpoint_url=url, region="us-east-1"))
        bucket.client.create_bucket(Bucket=bucket.name)
        yield bucket
