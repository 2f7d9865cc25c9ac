"""Answers that end within their head are failures of the network, for boto3 too.

Python's HTTP client takes what came of a head for all of it (http.client, `parse_headers`): the last line may be cut.
"""

from __future__ import annotations

from http.client import HTTPResponse, RemoteDisconnected
from typing import Any, override


class _Lines:
    """A file that is read by lines; `last` is the last of them, None before the first one."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last: bytes | None = None

    def readline(self, size: int = -1) -> bytes:
        """See `io.IOBase.readline`."""
        line: bytes = self._file.readline(size)
        self.last = line
        return line


class WholeHead(HTTPResponse):
    """A response whose head ends with an empty line (RFC 9112 2.1)."""

    @override
    def begin(self) -> None:
        """Read the head, unless it has been read.

        Raises:
            RemoteDisconnected: if the connection ends within it.
        """
        file: Any = self.fp
        lines: Any = _Lines(file)
        self.fp = lines
        try:
            super().begin()
        finally:
            self.fp = file
        if lines.last == b"":
            self.close()
            raise RemoteDisconnected("the answer ended within its head")


def refuse_cut_heads() -> None:
    """Have all connections of botocore in this process refuse answers that end within their head."""
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection

    for connection in (AWSHTTPConnection, AWSHTTPSConnection):
        connection.response_class = WholeHead
