"""What a report tells of single inputs, in a temporary file: there may be a million of them.

They are taken in as they come and read in order of their paths (lines of a manifest: of their numbers), as often as
somebody asks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final, overload, override

from stillframe.plain_text import likeness
from stillframe.scratch import Scratch, stored_text, text_of

_SCHEMA: Final = """
    CREATE TABLE entries (
        kind TEXT, path BLOB, reason BLOB, rest TEXT, likeness BLOB, folder BLOB, position INTEGER
    );
    CREATE TABLE series (study TEXT, series TEXT, PRIMARY KEY (study, series)) WITHOUT ROWID;
    CREATE TABLE changed (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_ADD: Final = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"
# Lines of a manifest have it as their folder, and their number.
_OF_KIND: Final = """
    SELECT path, reason, rest FROM entries WHERE kind = ?
    ORDER BY CASE position WHEN 0 THEN path ELSE folder END, position, path, reason, rowid
"""
_NUMBER_OF_KIND: Final = "SELECT count(*) FROM entries WHERE kind = ?"
_REASONS: Final = """
    SELECT count(*), min(reason), min(reason) = max(reason) FROM entries WHERE kind = ?
    GROUP BY likeness ORDER BY count(*) DESC, min(reason)
"""
_FOLDERS: Final = "SELECT count(*), folder FROM entries WHERE kind = ? GROUP BY folder ORDER BY count(*) DESC, folder"

_LINE: Final = re.compile(r"(?P<manifest>.*), line (?P<number>[0-9]{1,18})", re.DOTALL)
_MEMBER: Final = re.compile(r"(?<=\.zip)!", re.IGNORECASE)


class Kind(StrEnum):
    """What an entry tells of its input."""

    REJECTED = "rejected"
    PASSED_OVER = "passed over"
    DUPLICATE = "duplicate"
    NOTED = "noted"
    MISSING = "missing"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True)
class Group:
    """So many entries that have something in common: a reason, but for its numbers and places, or a folder.

    `alike` says whether all of them have just this reason; else it is that of one.
    """

    count: int
    what: str
    alike: bool = True


def line_of(path: str) -> tuple[str, int]:
    """The manifest and the number of the line that a path names; the path and 0 if it names no line."""
    line = _LINE.fullmatch(path)
    return (line["manifest"], int(line["number"])) if line else (path, 0)


class Rows[T](Sequence[T]):
    """An answer of the database as a sequence: asked anew whenever somebody looks at it."""

    def __init__(
        self, scratch: Scratch, make: Callable[[tuple[Any, ...]], T], query: str, count: str, *values: Any
    ) -> None:
        self._scratch = scratch
        self._make = make
        self._query = query
        self._count = count
        self._values = values

    @override
    def __len__(self) -> int:
        return self._scratch.number(self._count, *self._values)

    @override
    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._scratch.rows(self._query, *self._values))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    @override
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [*islice(self, index.start, index.stop, index.step)]
        for row in islice(self, index, None):
            return row
        raise IndexError(index)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # it may change, as a list does

    @override
    def __repr__(self) -> str:
        return repr([*self])


class Entries:
    """The entries of one report, the series it is about, and the keys of objects that changed."""

    def __init__(self) -> None:
        self._scratch = Scratch(_SCHEMA)
        self._last: tuple[str, str] | None = None

    def add(self, kind: Kind, path: str, reason: str = "", rest: Any = None) -> None:
        """Take in what there is to tell of an input: a reason, and values as JSON has them."""
        manifest, position = line_of(path)
        folder = manifest if position else _folder_of(path)
        path_, reason_, likeness_, folder_ = map(stored_text, (path, reason, likeness(reason), folder))
        self._scratch.run(_ADD, str(kind), path_, reason_, json.dumps(rest), likeness_, folder_, position)

    def of_kind[T](self, kind: Kind, make: Callable[[str, str, Any], T]) -> Rows[T]:
        """Those of one kind, in order of their paths and reasons; each is made of path, reason and the rest."""

        def make_of(row: tuple[Any, ...]) -> T:
            path, reason, rest = row
            return make(text_of(path), text_of(reason), json.loads(rest))

        return Rows(self._scratch, make_of, _OF_KIND, _NUMBER_OF_KIND, str(kind))

    def reasons(self, kind: Kind) -> Iterator[Group]:
        """The reasons of one kind, the most frequent first; where they differ in numbers and places, one of them."""
        rows = self._scratch.rows(_REASONS, str(kind))
        return (Group(count, text_of(reason), bool(alike)) for count, reason, alike in rows)

    def folders(self, kind: Kind) -> Iterator[Group]:
        """The folders, archives and manifests of the inputs of one kind, those with the most first."""
        return (Group(count, text_of(folder)) for count, folder in self._scratch.rows(_FOLDERS, str(kind)))

    def add_series(self, study: str, series: str) -> None:
        """Take in a series that the report is about."""
        if self._last != (study, series):  # instances mostly come one series after the other
            self._last = study, series
            self._scratch.run("INSERT INTO series VALUES (?, ?) ON CONFLICT DO NOTHING", study, series)

    def add_changed(self, key: str) -> None:
        """Take in the key of an object that is another one now, or gone."""
        self._scratch.run("INSERT INTO changed VALUES (?) ON CONFLICT DO NOTHING", key)

    @property
    def studies(self) -> Rows[str]:
        """The studies, in order."""
        count = "SELECT count(DISTINCT study) FROM series"
        return Rows(self._scratch, _only, "SELECT DISTINCT study FROM series ORDER BY study", count)

    @property
    def series(self) -> Rows[tuple[str, str]]:
        """UIDs of study and series, in order."""
        count = "SELECT count(*) FROM series"
        return Rows(self._scratch, lambda row: (row[0], row[1]), "SELECT * FROM series ORDER BY 1, 2", count)

    @property
    def changed(self) -> Rows[str]:
        """The keys, in order."""
        return Rows(self._scratch, _only, "SELECT key FROM changed ORDER BY key", "SELECT count(*) FROM changed")


def _only(row: tuple[Any, ...]) -> str:
    return str(row[0])


def _folder_of(path: str) -> str:
    """The folder of a file or an object, or the archive of a member."""
    archive, *member = _MEMBER.split(path, maxsplit=1)
    return archive if member else os.path.dirname(path)  # noqa: PTH120  (locations of objects are no paths)
