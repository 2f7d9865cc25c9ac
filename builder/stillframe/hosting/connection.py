"""The preview server's connections: refusals of what is no HTTP, and an end of those on which nothing happens."""

from __future__ import annotations

import asyncio
from typing import Any, Final, override

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS: Final = 15.0
"""How long a client may take to send the head of a request."""
STALL_SECONDS: Final = 60.0
"""How long a client may take no byte of an answer."""
_MALFORMED: Final = (
    b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 10\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n%s\r\nNot Found\n"
)


class Connection(H11Protocol):
    """A connection that is closed when its client neither sends a whole request nor takes an answer.

    Subclasses may set the two limits, in seconds, and the headers that a refusal carries.
    """

    head_seconds = HEAD_SECONDS
    stall_seconds = STALL_SECONDS
    refusal_headers: tuple[tuple[bytes, bytes], ...] = ()
    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # it is None before the first request

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_head()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.stall_seconds, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    @override
    def send_400_response(self, msg: str) -> None:
        """Answer 404, as for any URL that is no key. After the beginning of another answer there can be none."""
        if self.cycle is None or self.cycle.response_complete:
            lines = b"".join(b"%s: %s\r\n" % header for header in self.refusal_headers)
            self.transport.write(_MALFORMED % lines)
        self.transport.close()

    def _watch_head(self) -> None:
        """Let the time run while no request is being answered: more bytes of its head do not prolong it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
