"""Who may read what the preview server sends: the origins of pages, and the names by which it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillframe.errors import UsageError

METHODS: Final = ("GET", "HEAD", "OPTIONS")
_ORIGIN = re.compile(r"https?://(?:[0-9a-z.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::[0-9]{1,5})?")
_NAME = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)*")

# A viewer's page may be cross-origin isolated. It then refuses what does not allow it by CORP.
_COMMON_HEADERS: Final = (
    (b"access-control-expose-headers", b"Content-Range, Content-Length, ETag, Accept-Ranges"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
)
_PREFLIGHT_HEADERS: Final = {
    "Allow": ", ".join(METHODS),
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}
_OTHER_HOST: Final = "This server does not answer under that host name (--allow-host adds one)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whom the preview server answers.

    `origins` are those whose pages may read the answers, all if there are none. `hosts` are names by which it may be
    asked, besides `localhost` and addresses.
    """

    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            UsageError: if one is not what it should be, naming it.
        """
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(f"not an origin, which is like https://viewer.example.org: {origin!r}")
        for host in self.hosts:
            if not _NAME.fullmatch(host.lower()):
                raise UsageError(f"not a host name: {host!r}")

    def headers(self, origin: str) -> list[tuple[bytes, bytes]]:
        """The headers by which a browser decides whether a page of `origin` may read an answer (Fetch standard)."""
        if not self.origins:
            return [(b"access-control-allow-origin", b"*"), *_COMMON_HEADERS]
        allowed = [(b"access-control-allow-origin", origin.encode("ascii"))] if origin in self.origins else []
        return [*allowed, (b"vary", b"Origin"), *_COMMON_HEADERS]

    def takes_host(self, value: str) -> bool:
        """Whether a request with this Host header is answered.

        A page of another site can have its own name lead to this machine, and is then of the same origin as what it
        asks for. It cannot do that with an address, nor with `localhost` (RFC 6761, 6.3).
        """
        found = _HOST.fullmatch(value)
        if not found:
            return False
        name = found[1].lower().removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name in map(str.lower, self.hosts):
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


class AccessMiddleware:
    """Adds the headers for other origins to every answer, errors among them, and answers preflight requests itself."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = self.access.headers(_header(scope, b"origin") or "")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        app = self.app
        host = _header(scope, b"host")
        if host is not None and not self.access.takes_host(host):  # only HTTP/1.0 has requests without one
            app = PlainTextResponse(_OTHER_HOST, 421, {"Cache-Control": "no-store"})
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            app = Response(None, 204, _PREFLIGHT_HEADERS)
        with suppress(ClientDisconnect):
            await app(scope, receive, send_with_headers)


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
