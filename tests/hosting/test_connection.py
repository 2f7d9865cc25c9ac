"""Connections of the preview server on which nothing happens, and what is no HTTP."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.hosting.connection import HEAD_SECONDS, STALL_SECONDS, Connection
from stillframe.hosting.serve import create_app, make_config
from tests.support.served_tree import INSTANCE, write_tree
from tests.support.serving import Client, send_raw, serving

_FRAME = f"/dicomweb/{INSTANCE}/frames/1"
_LARGE = 40_000_000  # more than the sockets' buffers hold
_GET = f"GET {_FRAME} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()


class Impatient(Connection):
    """A connection with times that a test can wait for."""

    head_seconds = 0.4
    stall_seconds = 0.4


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    tree = tmp_path_factory.mktemp("connection")
    write_tree(tree, {f"{INSTANCE}/frames/1": b"\xff\x4f" + bytes(_LARGE), "studies/index.json": b"[]"})
    app = create_app(tree)
    config = make_config(app)
    config.http = Impatient
    with serving(app, config) as client:
        yield client


def closed_after(connection: socket.socket) -> float:
    """Seconds until the server ends a connection, and not a minute."""
    start = time.monotonic()
    connection.settimeout(60)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - start


@pytest.mark.parametrize("begin", [b"", b"G", b"GET /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_client_that_does_not_ask_is_left(impatient: Client, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(begin)
        assert closed_after(connection) >= 0.2


@pytest.mark.slow
def test_bytes_that_come_slowly_do_not_prolong_it(impatient: Client) -> None:
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection, contextlib.suppress(ConnectionError):
        while time.monotonic() < start + 60:
            connection.sendall(b"G")
            time.sleep(0.05)
    assert 0.3 <= time.monotonic() - start < 30


def test_half_a_second_request_is_not_waited_for(impatient: Client) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /")
        assert closed_after(connection) < 30


@pytest.mark.slow
def test_a_client_that_does_not_take_its_answer_is_left(impatient: Client) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(_GET + b"\r\n")
        time.sleep(1.5)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                taken += len(piece)
    assert taken < _LARGE


@pytest.mark.slow
def test_a_client_that_takes_its_answer_slowly_gets_it(impatient: Client) -> None:
    """Each wait is shorter than the limit, all together are longer."""
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", _FRAME)
        response = connection.getresponse()
        taken = 0
        for _ in range(8):
            taken += len(response.read(4_000_000))
            time.sleep(0.1)
        assert taken + len(response.read()) == _LARGE + 2


def test_a_connection_that_is_used_stays(impatient: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=60)
    with contextlib.closing(connection):
        for _ in range(4):
            connection.request("GET", "/dicomweb/studies")
            assert connection.getresponse().read() == b"[]"
            assert connection.sock is not None
            time.sleep(0.2)


@pytest.mark.parametrize(
    "request_line",
    [b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /dicomweb/studies\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
     b"GET /dicomweb/studies HTTP/1.1\r\n\x00: x\r\n\r\n", b"GET / HTTP/9.9.9\r\nHost: 127.0.0.1\r\n\r\n",
     b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_answered_as_what_is_no_key(impatient: Client, request_line: bytes) -> None:
    answer = send_raw(impatient.port, request_line)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert len(request_line) > 100_000 or answer  # so long a line may still be on its way when the connection ends
    assert impatient("/dicomweb/studies").status == 200


def test_rubbish_behind_a_request_is_answered_behind_its_answer(impatient: Client) -> None:
    answer = send_raw(impatient.port, b"GET /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\0\0\0\r\n\r\n")
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 ")
    assert first.endswith(b"\r\n\r\n[]")
    assert second.startswith(b"404 ")


def test_the_limits_of_previews() -> None:
    assert (Connection.head_seconds, Connection.stall_seconds) == (HEAD_SECONDS, STALL_SECONDS)
    assert 5 <= HEAD_SECONDS <= STALL_SECONDS <= 120


def test_previews_run_with_them(tmp_path: Path) -> None:
    config = make_config(create_app(tmp_path))
    assert isinstance(config.http, type)
    assert issubclass(config.http, Connection)
    assert 0 < config.timeout_keep_alive <= 30
