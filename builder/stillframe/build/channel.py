"""Values that two processes of a job send each other through a pair of sockets, large buffers without copies."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from stillframe.errors import StillframeError

_COUNT: Final = struct.Struct("<Q")
# As much as the system lets wait in a socket: each time it is full, two processes wake each other.
_SOCKET_BYTES: Final = 1 << 20


class ChannelClosed(StillframeError):
    """The other process has ended, or has no more to say."""


class Channel:
    """One end of a connection. Both ends are this job's own: what comes is believed once the other end is known."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._descriptors: list[int] = []
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)

    def send(self, value: Any, descriptor: int | None = None) -> None:
        """Send a value, and with it an open file if a descriptor is given.

        Raises:
            ChannelClosed: if nobody listens any more.
        """
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
        sizes = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        count = _COUNT.pack(len(parts))
        try:
            sent = socket.send_fds(self._socket, [count], [] if descriptor is None else [descriptor])
            self._socket.sendall(count[sent:] + sizes)
            for part in parts:
                self._socket.sendall(part)
        except OSError as error:
            raise ChannelClosed("nobody listens") from error

    def receive(self) -> Any:
        """The next value.

        Raises:
            ChannelClosed: if there is none to come.
        """
        (count,) = _COUNT.unpack(self._receive_head())
        sizes = struct.unpack(f"<{count}Q", self._receive(_COUNT.size * count))
        head, *buffers = [self._receive(size) for size in sizes]
        return pickle.loads(head, buffers=buffers)  # noqa: S301  (from a process of this job)

    def receive_bytes(self, size: int) -> bytes:
        """So many bytes, as `send_bytes` sent them.

        Raises:
            ChannelClosed: if fewer come.
        """
        return bytes(self._receive(size))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are.

        Raises:
            ChannelClosed: if nobody listens any more.
        """
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ChannelClosed("nobody listens") from error

    def take_descriptor(self) -> int:
        """The open file that came with the last value, which is the caller's to close."""
        return self._descriptors.pop()

    def hang_up(self) -> None:
        """End the connection; the other end is told, and whoever waits here."""
        with suppress(OSError):  # the other end has closed it
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """As `hang_up`, and nothing of the connection stays."""
        self.hang_up()
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _receive_head(self) -> bytes:
        try:
            head, descriptors, _, _ = socket.recv_fds(self._socket, _COUNT.size, 1)
        except OSError as error:
            raise ChannelClosed("the connection broke") from error
        self._descriptors += descriptors
        if not head:
            raise ChannelClosed("the other end is closed")
        return head + self._receive(_COUNT.size - len(head))

    def _receive(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            try:
                count = self._socket.recv_into(rest)
            except OSError as error:
                raise ChannelClosed("the connection broke") from error
            if not count:
                raise ChannelClosed("the other end is closed")
            rest = rest[count:]
        return data
