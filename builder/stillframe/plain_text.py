"""Text from outside, made fit for a terminal, a log and a report: no control characters, and no secrets.

Names of files and keys, values of DICOM, answers of stores and other libraries' messages are others' words. Whatever
says something passes it through `plain_line`; whatever writes JSON, through `plain_json`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

HIDDEN: Final = "***"
"""What stands where a secret was."""

# Values that are too short to be searched for: they would be found in every text.
_SHORTEST_SECRET: Final = 8
_SECRET_VARIABLES: Final = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "STILLFRAME_SECRET",
)
_kept: set[str] = set()
# Longer than any path (PATH_MAX is 4,096 bytes) and than the names in an archive that one line may tell of.
_LONGEST: Final = 16_384

# A URL, or several that follow each other: taken at one go, so that what looks like thousands takes no longer.
_URL: Final = re.compile(r"://[^\s\"'<>]+")
# RFC 3986 3.2.1: what stands before the host. A password may hold an `@` that nobody encoded.
_USER: Final = re.compile(r"\A[^/?#]*@")
# Signed URLs of every store carry what opens them in their query string, and some services in the fragment.
_QUERY: Final = re.compile(r"([?#]).+", re.DOTALL)
_PARAMETER: Final = re.compile(
    r"(?i)\b((?:x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|signature|sig|token|password"
    r"|secret|authorization)=)[^&\s\"'<>]+"
)
_NUMBER: Final = re.compile(r"[0-9][0-9.]*")
# A location of a store or a URL, up to what is said of it; a word with a slash.
_PLACE: Final = re.compile(r"[A-Za-z0-9]+://.*?(?=[:,;]?$|[:,;] )|\S*/\S*?(?=[:,;]?(?:\s|$))")
# Members of a report whose texts may quote others. Paths and keys stay as they are: they must be found again.
_QUOTING: Final = frozenset(("failure", "notes", "reason"))


def keep_secret(value: str) -> None:
    """Let no text repeat a value that this process came to know."""
    if len(value) >= _SHORTEST_SECRET:
        _kept.add(value)


def without_secrets(text: str) -> str:
    """A text without users and passwords of URLs, query strings, and the secrets that this process knows.

    Of one that is longer than anything worth reading, the middle is left out.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    known = {value for name in _SECRET_VARIABLES if len(value := os.environ.get(name, "").strip()) >= _SHORTEST_SECRET}
    for value in sorted(known | _kept, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = _URL.sub(_without_access, text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def _without_access(match: re.Match[str]) -> str:
    """A URL from behind its scheme on, without what opens it."""
    begin, *rest = match[0].split("://")
    url = "://".join([begin, *(_USER.sub(f"{HIDDEN}@", part) for part in rest)])
    scheme = match.string[max(0, match.start() - 5) : match.start()].lower()
    return _QUERY.sub(rf"\1{HIDDEN}", url) if scheme.endswith(("http", "https")) else url


def printable(text: str) -> str:
    """A text without characters that act on a terminal or hide: controls, line ends, directions, lone surrogates.

    Each becomes the escape that Python writes for it.
    """
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def plain_line(text: str) -> str:
    """A text from outside as part of one line that may be printed and logged."""
    return printable(without_secrets(text))


def plain_json(report: Mapping[str, Any]) -> Iterator[str]:
    """A report as JSON that may be shown on a terminal, in pieces. Its paths read as they are once it is parsed.

    Iterators in it become lists, which are never in memory as a whole.
    """
    for piece in _pieces(report, 0, quoting=False):
        yield "\n".join(map(_escaped, piece.split("\n")))
    yield "\n"


def _pieces(value: Any, depth: int, *, quoting: bool) -> Iterator[str]:
    """A value as JSON: a piece for each entry of a list that is made on the way, and for each member beside such."""
    end, begin = "\n" + "  " * depth, "\n" + "  " * (depth + 1)
    if isinstance(value, Iterator):
        count = 0
        for count, entry in enumerate(value, 1):
            yield ("[" if count == 1 else ",") + begin
            yield from _pieces(entry, depth + 1, quoting=quoting)
        yield f"{end}]" if count else "[]"
    elif isinstance(value, Mapping) and any(isinstance(member, Iterator | Mapping) for member in value.values()):
        for index, (name, member) in enumerate(value.items()):
            yield f"{',' if index else '{'}{begin}{json.dumps(name, ensure_ascii=False)}: "
            yield from _pieces(member, depth + 1, quoting=name in _QUOTING)
        yield end + "}"
    else:
        yield json.dumps(_told(value, quoting=quoting), indent=2, ensure_ascii=False).replace("\n", end)


def _told(value: Any, *, quoting: bool = False) -> Any:
    """A value of a report without secrets in what quotes others."""
    match value:
        case str():
            return without_secrets(value) if quoting else value
        case Mapping():
            return {name: _told(member, quoting=name in _QUOTING) for name, member in value.items()}
        case list() | tuple():
            return [_told(member, quoting=quoting) for member in value]
        case _:
            return value


def _escaped(line: str) -> str:
    """A line of JSON with its characters that are not printable as JSON escapes; they stand in strings alone."""
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def likeness(reason: str) -> str:
    """A reason without what differs from input to input: numbers are `#`, paths and locations are `…`."""
    return _NUMBER.sub("#", _PLACE.sub("…", reason))
