"""A server that answers as a test says, as stores answer that nobody runs for tests: S3 in another region, say."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import override

from stillframe.store.s3_client import Bucket, S3Settings
from tests.support.faulty_proxy import FaultyProxy, Request


class ScriptedStore(FaultyProxy):
    """Listens until the context ends. `script` makes an answer of a request; with a certificate, requests come by TLS.

    The file of a certificate holds it and its key.
    """

    def __init__(self, script: Callable[[Request], bytes], certificate: Path | None = None) -> None:
        self._script = script
        super().__init__("http://127.0.0.1:9")
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._listener = context.wrap_socket(self._listener, server_side=True, do_handshake_on_connect=False)
            self.endpoint_url = self.endpoint_url.replace("http:", "https:")

    @override
    def _forward(self, request: Request) -> bytes:
        return self._script(request)

    def bucket(self, **changes: object) -> Bucket:
        """A bucket of this server."""
        settings: dict[str, object] = {"endpoint_url": self.endpoint_url, "region": "us-east-1", "patience": 60.0}
        return Bucket("archive", S3Settings(**settings | changes))  # type: ignore[arg-type]  # as S3Settings has them


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer; a `_` in the names of headers is a `-`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Last-Modified: Thu, 26 Nov 2026 23:37:04 GMT"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


def refusal(status: str, code: str, **headers: str) -> bytes:
    """An answer that says what is wrong, as S3 says it."""
    return answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), **headers)


def in_turn(*answers: bytes) -> Callable[[Request], bytes]:
    """A script of answers, the last of them again and again."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def of_obstore(request: Request) -> bool:
    """Whether obstore made a request, and not boto3."""
    return b"boto3" not in request.head.lower()


def header(request: Request, name: str) -> str:
    """The value of a header, empty if it is not there."""
    for line in request.head.decode("latin-1").split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.strip().lower() == name.lower():
            return value.strip()
    return ""
