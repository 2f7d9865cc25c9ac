"""A database in a temporary file: what a job has to remember of many inputs while it runs, and nobody after it.

SQLite keeps it in memory while it is small. What is larger goes into a file without a name, in the folder of temporary
files, which is gone with its process whatever ends that. There is no journal: nothing in it has to outlive a failure.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import weakref
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

from stillframe.errors import MachineError, blame_machine

# Of pages in memory. Keys of one study lie side by side, and inputs of one study mostly come one after the other.
_CACHE_KIB: Final = 16 << 10
_PRIMARY: Final = 0xFF  # of an error's code, without what its extended form adds
_SETTINGS: Final = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{_CACHE_KIB};
    BEGIN;
"""


class Scratch:
    """A database with the tables that `schema` makes. One thread uses it at a time.

    It ends with the last reference to it. All that is done to it is one transaction that never ends.

    Raises:
        MachineError: in every method, if the disk of temporary files takes no more.
    """

    def __init__(self, schema: str) -> None:
        with _disk_blamed():
            self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._connection.close)
            self._connection.executescript(f"{_SETTINGS}{schema}")

    def run(self, statement: str, *values: Any) -> int:
        """Carry out a statement, and return how many rows it wrote."""
        with _disk_blamed():
            return self._connection.execute(statement, values).rowcount

    def run_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for every row of values."""
        with _disk_blamed():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, *values: Any) -> Generator[tuple[Any, ...]]:
        """The rows of an answer, one after the other. The tables it is about stay as they are meanwhile."""
        with _disk_blamed():
            cursor = self._connection.execute(query, values)
            try:
                for row in cursor:  # noqa: UP028  (`yield from` would close it, too, and not as is meant here)
                    yield row
            finally:
                with suppress(sqlite3.ProgrammingError):  # a job that failed has let go of the database before
                    cursor.close()

    def first(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of an answer, None if there is none."""
        with _disk_blamed(), closing(self._connection.execute(query, values)) as cursor:
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    def number(self, query: str, *values: Any) -> int:
        """The one number that is an answer."""
        row = self.first(query, *values)
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Forget all of it."""
        self._connection.close()


def stored_text(text: str) -> bytes:
    """Any text in a form that SQLite holds, in the same order. Names of files may have lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def text_of(stored: bytes) -> str:
    """The text that `stored_text` made bytes of."""
    return stored.decode("utf-8", "surrogatepass")


@contextmanager
def _disk_blamed() -> Iterator[None]:
    """Let a disk that takes no more be known as that."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & _PRIMARY
        if code == sqlite3.SQLITE_FULL:
            blame_machine(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            reason = "a temporary file cannot be written or read (TMPDIR names their folder, whose disk may be full)"
            raise MachineError(reason) from error
        raise
