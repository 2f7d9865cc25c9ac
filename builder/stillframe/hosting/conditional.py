"""Byte ranges and conditional requests: which status and which bytes a request asks for (RFC 9110 13 and 14).

Pure: request headers and what is known of the stored object in, an answer out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

# Digits are bounded so that a header cannot make int() refuse or labour.
_BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,1000})-([0-9]{0,1000})[ \t]*", re.IGNORECASE | re.ASCII)
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

CONDITIONS: Final = ("if-match", "if-none-match", "if-range", "range")
"""The request headers that `decide` looks at."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and for 200 and 206 the bytes `[start, stop)` that belong in the body."""

    status: HTTPStatus
    start: int = 0
    stop: int = 0


def make_etag(mtime_ns: int, size: int) -> str:
    """A strong entity tag for a file that is only ever replaced as a whole."""
    return f'"{mtime_ns:x}-{size:x}"'


def decide(method: str, headers: Mapping[str, str], etag: str, size: int) -> Answer:
    """Answer a request for an object that exists, with preconditions in the order of RFC 9110 13.2.2.

    `headers` has lower-case names. Ranges count for GET alone (14.2); several ranges at once, and what cannot be
    parsed, are ignored as 14.2 allows.
    """
    if "if-match" in headers and not _matches(headers["if-match"], etag, weak=False):
        return Answer(HTTPStatus.PRECONDITION_FAILED)
    if "if-none-match" in headers and _matches(headers["if-none-match"], etag, weak=True):
        return Answer(HTTPStatus.NOT_MODIFIED)
    whole = Answer(HTTPStatus.OK, 0, size)
    # A date in If-Range never equals an entity tag, and no Last-Modified is sent that it could come from.
    if method != "GET" or headers.get("if-range", etag).strip() != etag:
        return whole
    return _answer_range(headers["range"], size) or whole if "range" in headers else whole


def _answer_range(value: str, size: int) -> Answer | None:
    """206 or 416 for a single range of bytes, None where the header is to be ignored."""
    byte_range = _BYTE_RANGE.fullmatch(value.strip())
    if not byte_range or not any(byte_range.groups()):
        return None
    if not byte_range[1]:
        first, last = max(0, size - int(byte_range[2])), size
        if not size and int(byte_range[2]):
            return None  # satisfiable by definition (14.1.2), yet no Content-Range can name bytes of an empty object
    else:
        first, last = int(byte_range[1]), int(byte_range[2] or size)
        if byte_range[2] and last < first:
            return None
    if first >= size:
        return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return Answer(HTTPStatus.PARTIAL_CONTENT, first, min(last + 1, size))


def _matches(value: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, includes `etag`; weak tags count only in a weak comparison (8.8.3.2)."""
    if value.strip() == "*":
        return True
    return any(tag[1] == etag and (weak or tag[0] == etag) for tag in _ENTITY_TAG.finditer(value))
