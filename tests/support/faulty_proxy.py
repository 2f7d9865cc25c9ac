"""A proxy before an S3 server that spoils requests and answers by plan: faults as networks and busy servers make them.

Requests pass through unchanged, their Host included, so that signatures hold.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit

_STALL_SECONDS: Final = 0.5
_RESET: Final = struct.pack("ii", 1, 0)  # a close that lingers for no time sends RST


class Fault(StrEnum):
    """What becomes of one request."""

    SLOW_DOWN = "503 SlowDown"
    ERROR = "500 InternalError"
    RESET_BEFORE = "reset before it is passed on"
    RESET_AFTER = "reset after it took place"
    HALF_ANSWER = "half of the answer"
    HALF_REQUEST = "half of the request passed on"
    STALL = "stalls"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: `head` ends with an empty line."""

    method: str
    target: str
    head: bytes
    body: bytes


type Plan = Callable[[int, Request], Fault | None]


def random_faults(seed: int, share: float, *kinds: Fault) -> Plan:
    """Faults in a share of all requests."""
    randomly, lock = random.Random(seed), threading.Lock()

    def plan(number: int, request: Request) -> Fault | None:
        with lock:
            return randomly.choice(kinds or tuple(Fault)) if randomly.random() < share else None

    return plan


def no_faults(number: int, request: Request) -> Fault | None:
    return None


class FaultyProxy:
    """Listens until the context ends. `plan` may be set anew at any time; `injected` counts the faults."""

    def __init__(self, upstream: str, plan: Plan = no_faults) -> None:
        address = urlsplit(upstream)
        assert address.hostname is not None
        assert address.port is not None
        self._upstream = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.plan = plan
        self.injected: Counter[Fault] = Counter()
        self.requests: list[Request] = []
        self.answers: list[tuple[Request, int]] = []  # what came back from the server, and the bytes of its body
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, request after request; one to the server for each."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, suppress(OSError, EOFError):
            stream = _Stream(client)
            while True:
                request = _read_request(stream, client)
                with self._lock:
                    number = len(self.requests)
                    self.requests.append(request)
                    fault = self.plan(number, request)
                    if fault is not None:
                        self.injected[fault] += 1
                self._answer(client, request, fault)

    def _answer(self, client: socket.socket, request: Request, fault: Fault | None) -> None:
        match fault:
            case Fault.SLOW_DOWN:
                return client.sendall(_failure("503 Slow Down", "SlowDown", request))
            case Fault.ERROR:
                return client.sendall(_failure("500 Internal Server Error", "InternalError", request))
            case Fault.RESET_BEFORE:
                _reset(client)
            case Fault.HALF_REQUEST:
                whole = request.head + request.body
                with socket.create_connection(self._upstream) as upstream:
                    upstream.sendall(whole[: (len(request.head) + len(whole)) // 2])
                _reset(client)
            case Fault.STALL:
                time.sleep(_STALL_SECONDS)
        answer = self._forward(request)
        with self._lock:
            self.answers.append((request, len(answer.partition(b"\r\n\r\n")[2])))
        if fault is Fault.RESET_AFTER:
            _reset(client)
        if fault is Fault.HALF_ANSWER:
            client.sendall(answer[: len(answer) // 2])
            raise EOFError
        return client.sendall(answer)

    def _forward(self, request: Request) -> bytes:
        with socket.create_connection(self._upstream) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            upstream.sendall(request.head + request.body)
            return _read_answer(_Stream(upstream), request.method)


class _Stream:
    """Bytes of a connection, read up to a mark or to a length."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""

    def _more(self) -> None:
        data = self._connection.recv(1 << 16)
        if not data:
            raise EOFError
        self._held += data

    def until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        before, _, self._held = self._held.partition(mark)
        return before + mark

    def exactly(self, length: int) -> bytes:
        while len(self._held) < length:
            self._more()
        data, self._held = self._held[:length], self._held[length:]
        return data


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(b"\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines) if name}


def _read_body(stream: _Stream, headers: dict[bytes, bytes]) -> bytes:
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return stream.exactly(int(headers.get(b"content-length", b"0")))
    body = b""
    while True:
        size = stream.until(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        body += size + stream.exactly(length + 2)
        if not length:
            return body


def _read_request(stream: _Stream, client: socket.socket) -> Request:
    head = stream.until(b"\r\n\r\n")
    headers = _headers(head)
    if b"expect" in headers:  # not signed; the answer that it asks for comes from here
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        lines = head.split(b"\r\n")
        head = b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    return Request(method, target, head, _read_body(stream, headers))


def _read_answer(stream: _Stream, method: str) -> bytes:
    while (head := stream.until(b"\r\n\r\n")).split(b" ", 2)[1] == b"100":
        pass
    if method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304"):
        return head
    return head + _read_body(stream, _headers(head))


def _failure(status: str, code: str, request: Request) -> bytes:
    body = b"" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    raise EOFError
