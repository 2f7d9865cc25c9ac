"""Answers that end within their head."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stillframe.store.base import ObjectHead
from stillframe.store.s3_client import Bucket, S3Settings
from stillframe.store.s3_requests import head_object

WHOLE = (
    b'HTTP/1.1 200 OK\r\nETag: "0123456789"\r\nLast-Modified: Thu, 26 Nov 2026 23:37:04 GMT\r\nContent-Length: 1234'
    b"\r\n\r\n"
)


@contextmanager
def server_of(*answers: bytes) -> Iterator[str]:
    """A server that gives each connection one answer, in turn, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as request:
                    while request.readline() not in (b"\r\n", b""):
                        pass
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(60)
        assert not thread.is_alive()  # all answers were asked for


CUTS = [WHOLE.index(b"ETag"), WHOLE.index(b"6789"), WHOLE.index(b"Last"), WHOLE.index(b" 23:"), WHOLE.index(b"34\r")]


@pytest.mark.slow
@pytest.mark.parametrize("length", [*CUTS, len(WHOLE) - 4, len(WHOLE) - 2])
def test_a_head_that_is_cut_is_asked_for_again(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is cut: the size would be 12 in place of 1234, say, or the tag half a tag."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with server_of(WHOLE[:length], WHOLE) as url:
        bucket = Bucket("archive", S3Settings(endpoint_url=url, region="us-east-1", patience=60.0))
        assert head_object(bucket, "key", patience=30.0) == ObjectHead(1234, '"0123456789"')
