"""Reads ranges of bytes from a file or a URL, for readers that need only parts of an object.

A source is a function `get_bytes(offset, length)`. It returns that range, cut off at the end of the object.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from stillframe.errors import StoreError

type GetBytes = Callable[[int, int], bytes]

_TIMEOUT_SECONDS: Final = 30
_FIRST_RANGE: Final = 4096
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


def file_source(path: str | Path) -> tuple[GetBytes, int]:
    """Ranges of a file, and its size in bytes.

    Raises:
        StoreError: here and from the source, if the file cannot be read.
    """
    file = Path(path)

    def get_bytes(offset: int, length: int) -> bytes:
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror or error}") from error

    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a file")
        return get_bytes, status.st_size
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror or error}") from error


def http_source(url: str) -> tuple[GetBytes, int | None]:
    """Ranges of what an http or https URL answers, and its size in bytes, None if the server does not say.

    One request is made here; the bytes it brings are not asked for again.

    Raises:
        StoreError: here and from the source, if the server does not answer a Range request (RFC 9110 14) with just
            that range, 206 and Content-Range.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise StoreError(f"only http and https URLs can be read: {url}")
    first, size = _get_range(url, 0, _FIRST_RANGE)

    def get_bytes(offset: int, length: int) -> bytes:
        if size is not None:
            length = min(length, size - offset)
        if length <= 0:
            return b""
        if offset + length <= len(first):
            return first[offset : offset + length]
        return _get_range(url, offset, length)[0]

    return get_bytes, size


def _get_range(url: str, offset: int, length: int) -> tuple[bytes, int | None]:
    """The range, and the size of the whole if the server tells it."""
    headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept": "*/*", "Accept-Encoding": "identity"}
    try:
        # `http_source` has looked at the scheme.
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            if response.status != 206:
                raise StoreError(f"{url} ignores Range requests: answered {response.status}, expected 206")
            content_range = response.headers.get("Content-Range", "")
            data: bytes = response.read(length + 1)
    except HTTPError as error:
        with error:
            raise StoreError(f"{url} answered {error.code}") from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise StoreError(f"cannot get {url}: {getattr(error, 'reason', error)}") from error
    sent = _CONTENT_RANGE.fullmatch(content_range)
    if not sent or int(sent[1]) != offset or int(sent[2]) != offset + len(data) - 1 or len(data) > length:
        raise StoreError(
            f"{url} answered {len(data)} bytes with Content-Range {content_range!r}, "
            f"asked for {length} bytes at offset {offset}"
        )
    return data, None if sent[3] == "*" else int(sent[3])
