"""A web application over a real socket, and a client that sends what it is given."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from stillframe.hosting.serve import make_config


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Sends request targets exactly as given: no client library between a test and the socket."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, target: str, method: str = "GET", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def send_raw(port: int, data: bytes, *, seconds: float = 20) -> bytes:
    """What a server answers to bytes that no client library would send, until it closes the connection."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(data)
        while piece := connection.recv(65536):
            answer += piece
    return answer


@contextlib.contextmanager
def serving(app: Starlette, config: uvicorn.Config | None = None) -> Iterator[Client]:
    """A server on a port of its own, stopped at the end; without a configuration it is run as previews are."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config or make_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        yield Client(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
    assert not thread.is_alive()


@contextlib.contextmanager
def serve_command(tree: Path, *options: str, said: list[str] | None = None) -> Iterator[Client]:
    """`stillframe serve` as a process of its own, on a port of its own, interrupted at the end.

    What it says on standard error is added to `said`.
    """
    command = [sys.executable, "-P", "-m", "stillframe", "serve", str(tree), "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as server:
        try:
            assert server.stdout is not None
            address = re.search(r"http://[^/ ]+:([0-9]+)/", server.stdout.readline())
            assert address, "the server did not start"
            yield Client(int(address[1]))
        finally:
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=30)
            if said is not None:
                said += errors.splitlines(keepends=True)
    assert server.returncode == 0
