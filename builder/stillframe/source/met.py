"""What a search for inputs met before: files and folders by device and inode, objects by their location.

What a manifest gives another study for counts as another: each of its lines is judged by its own word, whichever comes
first, and in whichever shard. Millions of them stand in a temporary file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from stillframe.scratch import Scratch, stored_text, text_of
from stillframe.source.inputs import S3Object

_SCHEMA: Final = """
    CREATE TABLE files (place TEXT, study BLOB, path BLOB, PRIMARY KEY (place, study)) WITHOUT ROWID;
    CREATE TABLE folders (place TEXT, study BLOB, path BLOB, PRIMARY KEY (place, study)) WITHOUT ROWID;
    CREATE TABLE objects (
        location BLOB, study BLOB, listing INTEGER, key BLOB, size INTEGER, etag TEXT, PRIMARY KEY (location, study)
    ) WITHOUT ROWID;
    CREATE INDEX by_listing ON objects (listing);
"""


class Met:
    """Everything that one search met."""

    def __init__(self) -> None:
        self._scratch = Scratch(_SCHEMA)
        self._listings = 0

    def file(self, status: os.stat_result, path: str, study: str = "") -> str | None:
        """The path under which a file was met before; None if it was not, and is from now on.

        `study` is the one that a manifest gives for it.
        """
        return self._first("files", status, path, study)

    def folder(self, status: os.stat_result, path: str, study: str = "") -> str | None:
        """As `file`, of a folder."""
        return self._first("folders", status, path, study)

    def _first(self, table: str, status: os.stat_result, path: str, study: str) -> str | None:
        place = f"{status.st_dev} {status.st_ino}"  # as text: inodes may have 64 bits, numbers of SQLite have a sign
        key = place, stored_text(study)
        insert = f"INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608  (one of two names)
        if self._scratch.run(insert, *key, stored_text(path)):
            return None
        row = self._scratch.first(f"SELECT path FROM {table} WHERE (place, study) = (?, ?)", *key)  # noqa: S608
        return text_of(row[0]) if row else None

    def new_objects(self, listed: Iterable[S3Object], study: str = "") -> Iterator[S3Object]:
        """Those of the objects of one bucket that were not met before, in the order of their keys.

        Stores list keys in that order, but for some. `study` as of `file`.
        """
        self._listings += 1
        bucket = None
        for item in listed:
            bucket = item.bucket
            self._scratch.run(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                stored_text(str(item)),
                stored_text(study),
                self._listings,
                stored_text(item.key),
                item.size,
                item.etag,
            )
        if bucket is not None:
            query = "SELECT key, size, etag FROM objects WHERE listing = ? ORDER BY location"
            for key, size, etag in self._scratch.rows(query, self._listings):
                yield S3Object(bucket, text_of(key), size, etag)

    def close(self) -> None:
        """Forget all of it."""
        self._scratch.close()
