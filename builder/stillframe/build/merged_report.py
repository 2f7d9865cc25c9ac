"""Reports of builds put together into one: of the shards of a job, or of several jobs.

Entries wait in a temporary file: there may be millions of them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from stillframe import __version__
from stillframe.build.json_stream import iter_values
from stillframe.build.report_entries import line_of
from stillframe.build.report_shape import NO_REPORT, VERSION, Head, holds_entries, order_of, read_head
from stillframe.build.shard import Shard
from stillframe.errors import InputError
from stillframe.layout import parse_key
from stillframe.scratch import Scratch, stored_text, text_of

_LISTS: Final = ("changed", "rejected", "passedOver", "duplicates", "notes")
# Lists that name things, each once.
_SETS: Final = frozenset(("studies", "changed"))
_SCHEMA: Final = """
    CREATE TABLE entries (report INTEGER, member TEXT, name BLOB, position INTEGER, reason BLOB, value TEXT);
    CREATE INDEX ordered ON entries (member, name, position, reason);
"""
_ENTRIES: Final = "SELECT value FROM entries WHERE member = ? ORDER BY name, position, reason, rowid"
_STUDIES: Final = "SELECT count(DISTINCT name) FROM entries WHERE member = 'studies'"
_ROOTS: Final = "SELECT DISTINCT name, value FROM entries WHERE member = 'roots' ORDER BY name"
_ROOT: Final = "SELECT value FROM entries WHERE member = 'roots' AND name = ?"


class MergedReport:
    """What several builds did, as one report. Whatever cannot be read counts as a job that did not finish.

    Raises:
        MachineError: in every method that takes in or reads entries, if the disk of temporary files takes no more.
    """

    def __init__(self) -> None:
        self._scratch = Scratch(_SCHEMA)
        self._count = 0
        self._numbers: Counter[str] = Counter()
        self._seconds = 0.0
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._shards: dict[int, str] = {}
        self._of = 0
        self._whole = ""
        self._failures: list[str] = []

    def add(self, name: str, chunks: Iterable[str]) -> None:
        """Take in a report.

        Args:
            name: of the report, for messages.
            chunks: of its text, as they are read.

        Raises:
            StoreError: if its store fails.
        """
        self._count += 1
        try:
            head = read_head(self._take_entries(chunks))
            self._check_shard(head.shard)
        except (InputError, RecursionError) as error:
            reason = error if isinstance(error, InputError) else "its values lie too deep within each other"
            self._scratch.run("DELETE FROM entries WHERE report = ?", self._count)
            self._failures.append(f"the report {name} cannot be used: {reason}")
        else:
            self._take_head(name, head)

    def _take_entries(self, chunks: Iterable[str]) -> dict[str, Any]:
        """Store the entries of a report; what else it says."""
        head: dict[str, Any] = {}
        left = False
        for path, value in iter_values(chunks, holds_entries):
            match path:
                case ("failure", "reason"):
                    head["failure"] = value
                case (str(member),) if member != "failure":
                    head[member] = value
                case (str(member), name) if member != "failure":
                    self._store(member, name, value)
                case ("failure", str(member), index):
                    left = True
                    self._store(f"failure.{member}", index, value)
                case _:
                    raise InputError(NO_REPORT)
        if left and "failure" not in head:
            raise InputError("it says what a failure left undone, and no reason for that")
        return head

    def _store(self, member: str, name: str | int, value: Any) -> None:
        order, reason = order_of(member, name, value)
        listed = isinstance(value, dict) and "path" in value
        place, position = line_of(order) if listed else (order, 0)
        row = (self._count, member, stored_text(place), position, stored_text(reason), json.dumps(value))
        self._scratch.run("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", *row)

    def _check_shard(self, shard: Shard | None) -> None:
        """See that a report goes with those that are taken in.

        Raises:
            InputError: if the reports are not of one job, or two are of one shard.
        """
        if shard is None:
            if self._of:
                raise InputError("it is of a whole job, others are of shards")
            return
        number, of = shard.number, shard.count
        if self._whole or (self._of and self._of != of):
            other = f"{self._whole} is of a whole job" if self._whole else f"others are of {self._of} shards"
            raise InputError(f"it is of shard {number} of {of}, {other}")
        if number in self._shards:
            raise InputError(f"it is of shard {number}, as {self._shards[number]} is")

    def _take_head(self, name: str, head: Head) -> None:
        """Take in what a report says of its job as a whole."""
        label = name
        if head.shard is None:
            self._whole = self._whole or name
        else:
            self._shards[head.shard.number], self._of = name, head.shard.count
            label = f"shard {head.shard.number}"
        self._numbers.update(head.counts)
        for stage, seconds in head.stages.items():
            self._stages[stage] += seconds
        self._seconds = max(self._seconds, head.seconds)
        if head.failure:
            self._failures.append(f"{label}: {head.failure}")

    @property
    def failure(self) -> str:
        """Why the jobs together are not complete; empty if they are."""
        missing = [str(number) for number in range(1, self._of + 1) if number not in self._shards]
        reasons = list(self._failures)
        if missing:
            several = "shards" if len(missing) > 1 else "shard"
            reasons.append(f"no report of {several} {_listed(missing)} of {self._of}")
        if not self._count:
            reasons.append("there are no reports")
        return "; ".join(reasons)

    @property
    def exit_code(self) -> int:
        """1 if a job could not finish or is missing, 2 if an input was rejected, 0 if all is published."""
        return 1 if self.failure else 2 if self._numbers["rejected"] else 0

    @property
    def numbers(self) -> dict[str, int]:
        """The counts of all summaries, added up. A study of several reports counts once."""
        return {**self._numbers, "studies": self._scratch.number(_STUDIES)}

    @property
    def reports(self) -> int:
        """How many reports there were."""
        return self._count

    def entries(self, member: str) -> Iterator[Any]:
        """The entries of a list of the report, in order; of a set each once."""
        before: Any = None
        for (text,) in self._scratch.rows(_ENTRIES, member):
            if member not in _SETS or text != before:
                yield json.loads(text)
            before = text

    def changed(self) -> Iterator[tuple[str, str]]:
        """The objects that caches may hold as they were: the name of the study's own root, and the key within it."""
        return ((self._root_of(parse_key(key).study), key) for key in self.entries("changed"))

    def _root_of(self, study: str) -> str:
        row = self._scratch.first(_ROOT, stored_text(study))
        return str(json.loads(row[0])) if row else ""

    def as_document(self) -> dict[str, Any]:
        """The report as it is written to a file; `docs/reference/report.md` describes it.

        Members that may be long are iterators, which make them one after the other.
        """
        roots = {text_of(name): json.loads(root) for name, root in self._scratch.rows(_ROOTS)}
        summary = {
            **self.numbers,
            "seconds": self._seconds,
            "cpuSeconds": {stage: round(seconds, 3) for stage, seconds in sorted(self._stages.items())},
        }
        failure = {
            "reason": self.failure,
            "notPublished": self.entries("failure.notPublished"),
            "notListed": self.entries("failure.notListed"),
        }
        return {
            "version": VERSION,
            "stillframe": __version__,
            "summary": summary,
            **({"shards": {"of": self._of, "reports": len(self._shards)}} if self._of else {}),
            "studies": self.entries("studies"),
            **({"roots": roots} if roots else {}),
            **({"failure": failure} if self.failure else {}),
            **{member: self.entries(member) for member in _LISTS},
        }


def _listed(numbers: list[str], most: int = 20) -> str:
    shown = ", ".join(numbers[:most])
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown
