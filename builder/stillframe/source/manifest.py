"""Manifests: lines of text that name sources, as this package, s5cmd and the Imaging Data Commons write them.

A manifest is one of two kinds, told by its first line that says anything:

- a table with a header row: of commas, tabs or semicolons, as CSV (RFC 4180) or TSV, but a line is a row: a quotation
  mark that nobody closes would else take in all that follows. The column `series_aws_url` names
  the source of a row; else `aws_bucket` and `crdc_series_uuid` do, the two of which the Commons' index makes that URL.
  `StudyInstanceUID` says which study a row is of;
- lines: a source each, or a command of s5cmd (`cp` or `sync`), whose source counts and whose destination does not.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from stillframe.errors import InputError
from stillframe.layout import MAX_KEY_BYTES
from stillframe.source.inputs import Rejected
from stillframe.store.s3_client import SCHEME, split_location

_URL: Final = "series_aws_url"
_BUCKET: Final = "aws_bucket"
_SERIES_UUID: Final = "crdc_series_uuid"
_STUDY: Final = "studyinstanceuid"
# What a table of this field has, whether or not it says where its series are.
_OF_A_TABLE: Final = frozenset((_URL, _BUCKET, _SERIES_UUID, _STUDY, "seriesinstanceuid"))
_DELIMITERS: Final = ",\t;"
_COLUMN_NAME: Final = re.compile(r"[^\W\d][\w -]*")
NO_COLUMN: Final = f"if it is the header row of a table, that has no column {_URL}, nor {_BUCKET} and {_SERIES_UUID}"
"""What to say of a line that looks like a header row and names nothing."""
_NO_ROW: Final = "it is no row: too long, or a quotation mark is not closed within the line, or stands within a value"

_COMMANDS: Final = frozenset(("cp", "sync"))
_PROGRAM: Final = "s5cmd"
# Options of s5cmd 2.3 (command/app.go, cp.go, sync.go) that stand apart from their value.
_WITH_VALUE: Final = frozenset(
    (
        "numworkers", "retry-count", "r", "endpoint-url", "log", "request-payer", "profile", "credentials-file",
        "storage-class", "concurrency", "c", "part-size", "p", "metadata", "metadata-directive", "sse",
        "sse-kms-key-id", "acl", "cache-control", "expires", "source-region", "destination-region", "content-type",
        "content-encoding", "content-disposition", "no-such-upload-retry-count",
    )
)  # fmt: skip
# Options that choose among what the source names: the line would not mean what its source says.
_CHOOSING: Final = frozenset(("exclude", "include", "version-id"))
_WILDCARDS: Final = re.compile(r"[*?]")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")  # what stands for bytes that are no UTF-8
_COMMAND: Final = re.compile(r"(?:s5cmd|cp|sync)\s")


@dataclass(frozen=True, slots=True)
class Listed:
    """A source that a manifest names.

    Args:
        location: a file, a folder, an archive, or `s3://bucket/prefix`.
        line: the manifest, and the number of the line in it, for messages.
        study: the Study Instance UID that the manifest gives for all of it, empty if it gives none.
        alone: whether it is one object, and nothing below its key.
    """

    location: str
    line: str
    study: str = ""
    alone: bool = False


def parse_manifest(name: str, lines: Iterable[str]) -> Iterator[Listed | Rejected]:
    """The sources that the lines of a manifest name, in their order, read as they are asked for.

    A line that cannot be understood is rejected, by the manifest's name and the number of the line. Empty lines and
    lines that begin with `#` say nothing.
    """
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        text = line.lstrip("\ufeff").strip() if number == 1 else line.strip()
        if not text or text.startswith("#"):
            continue
        delimiter = _delimiter_of(text)
        if delimiter:
            yield from _parse_table(name, number, text, delimiter, (line for _, line in numbered))
        else:
            yield from _parse_lines(name, chain([(number, text)], numbered))


def _delimiter_of(header: str) -> str:
    """What stands between the columns of a header row; empty if the line is none."""
    for delimiter in _DELIMITERS:
        if _OF_A_TABLE.intersection(_columns(header, delimiter)):
            return delimiter
    return ""


def is_like_header(line: str) -> bool:
    """Whether a line may be the header row of a table whose columns are none of those that are read."""
    rows = (_columns(line, delimiter) for delimiter in _DELIMITERS)
    return any(len(row) > 1 and all(map(_COLUMN_NAME.fullmatch, row)) for row in rows)


def _columns(header: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []  # no row of a table
    return [column.strip().casefold() for column in row]


def _parse_table(
    name: str, first: int, header: str, delimiter: str, lines: Iterator[str]
) -> Iterator[Listed | Rejected]:
    columns = _columns(header, delimiter)
    if _URL not in columns and not {_BUCKET, _SERIES_UUID} <= set(columns):
        reason = f"its header row has no column {_URL}, nor {_BUCKET} and {_SERIES_UUID}: nothing of it is read"
        yield Rejected(path=_line(name, first), reason=reason)
        return
    for number, text in enumerate(lines, first + 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        line = _line(name, number)
        try:
            row = next(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error:
            yield Rejected(path=line, reason=_NO_ROW)
            continue
        if any(map(str.strip, row)):
            yield _parse_row(line, columns, row)


def _parse_row(line: str, columns: list[str], row: list[str]) -> Listed | Rejected:
    if len(row) != len(columns):
        return Rejected(path=line, reason=f"its row has {len(row)} values, the header row {len(columns)}")
    values = {column: value.strip() for column, value in zip(columns, row, strict=True)}
    url = values.get(_URL, "")
    if not url and (bucket := values.get(_BUCKET)) and (series := values.get(_SERIES_UUID)):
        url = f"{SCHEME}{bucket}/{series}/*"
    if not url:
        return Rejected(path=line, reason="its row names no source")
    return _listed(line, url, values.get(_STUDY, ""))


def _parse_lines(name: str, numbered: Iterable[tuple[int, str]]) -> Iterator[Listed | Rejected]:
    for number, line in numbered:
        text = line.strip()
        if text and not text.startswith("#"):
            yield _parse_line(_line(name, number), text)


def _parse_line(line: str, text: str) -> Listed | Rejected:
    if not _COMMAND.match(text):
        return _listed(line, text)
    try:
        location, raw = _source_of(shlex.split(text))
    except (ValueError, InputError) as error:
        return Rejected(path=line, reason=f"it is no command of s5cmd that names a source: {error}")
    if raw or not _WILDCARDS.search(location):
        folder = location.endswith("/") or not location.startswith(SCHEME)
        return _checked(Listed(location, line, alone=not folder))
    return _listed(line, location)


def _source_of(words: list[str]) -> tuple[str, bool]:
    """The source of a command, and whether its wildcards are characters like others.

    Raises:
        InputError: if it is none that copies, or copies only some of what it names.
    """
    position, raw = 0, False
    command = ""
    while position < len(words):
        word = words[position]
        position += 1
        if word.startswith("-") and word != "-":
            option, _, value = word.lstrip("-").partition("=")
            if option in _CHOOSING:
                raise InputError(f"--{option} chooses among the objects; name those that are meant")
            raw = raw or (option == "raw" and value != "false")
            position += option in _WITH_VALUE and not value
        elif command:
            return word, raw
        elif word in _COMMANDS:
            command = word
        elif word != _PROGRAM:
            raise InputError(f"{word} is not read; cp and sync are")
    raise InputError("it names none")


def _listed(line: str, location: str, study: str = "") -> Listed | Rejected:
    """A source, in which one `*` after the last slash stands for all that is below a prefix."""
    if not location.startswith(SCHEME):
        return _checked(Listed(location, line, study))
    prefix = location.removesuffix("*") if location.endswith("/*") else location
    if _WILDCARDS.search(prefix):
        reason = f"a wildcard is read at the end of a prefix only, as {SCHEME}bucket/prefix/*: {location}"
        return Rejected(path=line, reason=reason)
    return _checked(Listed(prefix, line, study))


def _checked(listed: Listed) -> Listed | Rejected:
    """A source, or why nothing can have such a name."""
    location = listed.location
    far = location.startswith(SCHEME)
    if "\0" in location:
        reason = "it holds a NUL character, which no name does; a manifest is a text in UTF-8, not in UTF-16"
    elif far and _NO_TEXT.search(location):
        reason = f"the name of an object is text in UTF-8, and this is none: {location}"
    elif far and len(split_location(location)[1].encode()) > MAX_KEY_BYTES:
        reason = f"the name of an object has at most {MAX_KEY_BYTES} bytes: {location}"
    else:
        return listed
    return Rejected(path=listed.line, reason=reason)


def _line(name: str, number: int) -> str:
    return f"{name}, line {number}"
