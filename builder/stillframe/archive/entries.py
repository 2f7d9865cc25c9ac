r"""Lists as lines: a document holds one data set a line, so it is taken apart and put together without being parsed.

`[{…},\n{…}]` is the same JSON to every reader. Strings of JSON hold no raw line feed (RFC 8259 7), so such a document
splits at each comma with a line feed. What lists need of a data set are a few of its elements, its *summary*. Only that
is kept as objects, which take twenty times the memory of the text.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from sys import intern
from typing import Any, Final, NoReturn

from stillframe.archive.qido import LISTED, merge_instances
from stillframe.archive.record import PRIVATE_GROUP
from stillframe.archive.representative import DECISIVE
from stillframe.dicom.json_model import JSONDataset, dumps, is_dataset, named_uids, rebase_bulk

BETWEEN: Final = b",\n"
_BULK: Final = b'"BulkDataURI"'
_BULK_URI: Final = b'"BulkDataURI":"'
# What the rows of a frame index are compared with, beside what lists say and what decides whose thumbnails there are.
_FRAME_TAGS: Final = frozenset({"00280010", "00280011", "00280100", "00280103"})
_SUMMARY_TAGS: Final = tuple(sorted(LISTED | DECISIVE | _FRAME_TAGS))
# Of the private block: its creator, the digest of the source, the options.
_RECORD_ENDS: Final = ("01", "02")
# Of a document of another form this much is decoded at a time.
_PIECE_BYTES: Final = 1 << 20

type Line = bytes | memoryview
"""A data set as JSON in UTF-8, without a line feed."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The data sets of a document: each line, and the summary of each, in its order."""

    lines: Sequence[Line] = ()
    summaries: Sequence[JSONDataset] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A document that was made, and the summaries of its entries where somebody may need them."""

    data: bytes
    summaries: Sequence[JSONDataset] | None = None


def summary_of(metadata: JSONDataset, like: JSONDataset | None = None) -> JSONDataset:
    """What lists, records and thumbnails need of the metadata of an instance; elements equal to those `like` are these.

    Neighbours in a series share most of them, so that a long document takes little memory.
    """
    summary = {tag: metadata[tag] for tag in _SUMMARY_TAGS if tag in metadata}
    for tag in metadata:
        if tag.startswith(PRIVATE_GROUP) and (tag[4:6] == "00" or tag[6:] in _RECORD_ENDS):
            summary[intern(tag)] = metadata[tag]
    if like:
        for tag, element in summary.items():
            if like.get(tag) == element:
                summary[tag] = like[tag]
    return summary


def parse_entries(data: bytes, known: Sequence[JSONDataset] | None = None) -> Entries | None:
    """The entries of a document; None if it is anything but a list of data sets.

    Args:
        data: the document: one data set a line, or of any other form, whose data sets are encoded anew.
        known: the summaries of the document where it was parsed before.
    """
    lines = split_lines(data)
    if lines is not None and known is not None and len(known) == len(lines):
        return Entries(lines, known)
    if lines is not None:
        with suppress(ValueError, RecursionError):
            return Entries(lines, _parse_lines(lines))
    try:
        return _scan(data)
    except (ValueError, RecursionError):
        return None


def split_lines(data: bytes) -> list[Line] | None:
    """The lines of a document with one data set a line; None if it cannot be one."""
    if data[:1] != b"[" or data[-1:] != b"]":
        return None
    view, lines, start, end = memoryview(data), list[Line](), 1, len(data) - 1
    while start < end:
        feed = data.find(b"\n", start, end)
        stop = end if feed < 0 else feed - 1
        if data[start] != ord("{") or data[stop - 1] != ord("}") or (feed >= 0 and data[stop : feed + 1] != BETWEEN):
            return None
        lines.append(view[start:stop])
        start = end if feed < 0 else feed + 1
    return None if data[-2:-1] == b"\n" else lines


def join_lines(lines: Iterable[Line]) -> bytes:
    """The document of some lines, which are taken one after the other."""
    document = BytesIO()
    document.write(b"[")
    for index, line in enumerate(lines):
        if index:
            document.write(BETWEEN)
        document.write(line)
    document.write(b"]")
    return document.getvalue()


def encode_list(datasets: Iterable[JSONDataset]) -> bytes:
    """The document of some data sets, one a line."""
    return join_lines(map(dumps, datasets))


def merge_entries(existing: Entries, new: Iterable[JSONDataset], line_of_new: Callable[[JSONDataset], Line]) -> Made:
    """The document of some entries and new ones, in place of those of the same instance; see `qido.merge_instances`.

    Args:
        existing: the entries that are there.
        new: the summaries of the new ones.
        line_of_new: the line of a new one, by its summary.
    """
    added = {named_uids(summary): summary for summary in new}
    lines = {named_uids(summary): line for summary, line in zip(existing.summaries, existing.lines, strict=True)}
    ordered = merge_instances(existing.summaries, added.values())

    def line(summary: JSONDataset) -> Line:
        uids = named_uids(summary)
        return line_of_new(summary) if uids in added else lines[uids]

    return Made(join_lines(map(line, ordered)), ordered)


def keep_entries(entries: Entries, is_kept: Callable[[JSONDataset], bool]) -> Entries:
    """Some of the entries, chosen by their summaries."""
    kept = [index for index, summary in enumerate(entries.summaries) if is_kept(summary)]
    return Entries([entries.lines[index] for index in kept], [entries.summaries[index] for index in kept])


def line_of(document: bytes, prefix: str) -> bytes:
    """The line of an instance in another document, from its own, which `dumps` made and which holds it alone.

    `prefix` comes before every BulkDataURI, as with `rebase_bulk`.
    """
    return bytes(rebase_line(document[1:-1], prefix))


def rebase_line(line: Line, prefix: str) -> Line:
    """A line with `prefix` before every BulkDataURI, as with `rebase_bulk`; the same object if there is none.

    In JSON, what has a colon behind it is a name. So as `dumps` writes it, the name needs no parser to be found.
    """
    text = bytes(line)
    count = text.count(_BULK)
    if not count:
        return line
    if count == text.count(_BULK_URI):
        return text.replace(_BULK_URI, _BULK_URI + prefix.encode("ascii"))
    return dumps(rebase_bulk(parse_line(line), prefix))


def parse_line(line: Line) -> JSONDataset:
    """The data set of a line.

    Raises:
        ValueError, RecursionError: if it holds anything else.
    """
    return _checked(_DECODER.decode(str(line, "utf-8")))


def _parse_lines(lines: Iterable[Line]) -> list[JSONDataset]:
    summaries: list[JSONDataset] = []
    for line in lines:
        summaries.append(summary_of(parse_line(line), summaries[-1] if summaries else None))
    return summaries


def _checked(value: Any) -> JSONDataset:
    if not is_dataset(value):
        raise ValueError("no data set in the DICOM JSON model")
    dataset: JSONDataset = value
    return dataset


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of DICOM JSON")


def _finite(number: str) -> float:
    value = float(number)
    return value if isfinite(value) else _refuse(number)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def _scan(data: bytes) -> Entries:
    """The entries of a document of any form, encoded anew; it is decoded piece by piece.

    Raises:
        ValueError, RecursionError: if it is anything but a list of data sets.
    """
    text, lines, summaries = _Text(data), list[Line](), list[JSONDataset]()
    if text.take() != "[":
        raise ValueError("no list")
    mark = text.take() if text.peek() == "]" else ","
    while mark == ",":
        dataset = _checked(text.value())
        lines.append(dumps(dataset))
        summaries.append(summary_of(dataset, summaries[-1] if summaries else None))
        mark = text.take()
    if mark != "]" or text.peek():
        raise ValueError("no list")
    return Entries(lines, summaries)


class _Text:
    """JSON that is decoded while it is read: the values of a long list, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._decode = getincrementaldecoder("utf-8")().decode
        self._read = 0
        self._text = ""
        self._index = 0

    def _read_on(self, size: int) -> bool:
        """Decode some more bytes; whether there were any."""
        piece = self._data[self._read : self._read + size]
        self._read += len(piece)
        self._text = self._text[self._index :] + self._decode(piece, final=not piece)
        self._index = 0
        return len(piece) > 0

    def peek(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            self._index = _SPACE.match(self._text, self._index).end()  # type: ignore[union-attr]  # it matches nothing, too
            if self._index < len(self._text):
                return self._text[self._index]
            if not self._read_on(_PIECE_BYTES):
                return ""

    def take(self) -> str:
        """As `peek`, and go past it."""
        found = self.peek()
        self._index += len(found)
        return found

    def value(self) -> Any:
        """The next value, and go past it.

        Raises:
            ValueError, RecursionError: if there is none.
        """
        self.peek()
        size = _PIECE_BYTES
        while True:
            try:
                value, self._index = _DECODER.raw_decode(self._text, self._index)
            except json.JSONDecodeError:
                if not self._read_on(size):
                    raise
                size *= 2
            else:
                return value
