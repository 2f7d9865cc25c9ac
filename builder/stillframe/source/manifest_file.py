"""Reading manifests: the lines of a file, of an object, or of standard input, as they are asked for."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO, cast

from stillframe.errors import UsageError
from stillframe.source.s3_file import open_object
from stillframe.source.s3_objects import iter_objects
from stillframe.store.s3_client import SCHEME, S3Settings, check_place

STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A text whose lines name sources: a path, an `s3://` object, or `-`; `s3` says how an object is reached."""

    location: str
    s3: S3Settings = field(default_factory=S3Settings)

    def __str__(self) -> str:
        return "standard input" if self.location == STDIN else self.location

    def check(self) -> None:
        """See that it is there, before a long job rather than within it.

        Raises:
            UsageError: if it is not.
            StoreError: if its store does not tell.
        """
        check_place(self.location)
        if self.location == STDIN:
            return
        if self.location.startswith(SCHEME):
            exists = any(iter_objects(self.location, self.s3, alone=True))
        else:
            path = Path(self.location)
            exists = bool(self.location) and path.exists() and not path.is_dir()  # a pipe is one, too
        if not exists:
            raise UsageError(f"no such manifest: {self.location or repr(self.location)}")

    def lines(self) -> Iterator[str]:
        """Its lines. What is no UTF-8 stays as it is, as in the names of files.

        Raises:
            UsageError: if it cannot be read.
            StoreError: if its store fails.
        """
        try:
            with self._open() as text:
                yield from text
        except OSError as error:
            raise UsageError(f"the manifest cannot be read: {self}: {error.strerror or error}") from error

    def _open(self) -> TextIO:
        if self.location == STDIN:
            return open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", newline="", closefd=False)
        if not self.location.startswith(SCHEME):
            return Path(self.location).open(encoding="utf-8", errors="surrogateescape", newline="")
        found = next(iter_objects(self.location, self.s3, alone=True), None)
        if found is None:
            raise UsageError(f"no such manifest: {self.location}")
        file = cast("io.BufferedReader", open_object(found))
        return io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")


def check_manifests(manifests: tuple[Manifest, ...]) -> None:
    """See that all manifests are there, and that standard input is read once.

    Raises:
        UsageError: if one is not, or if it is to be read twice.
        StoreError: if a store does not tell.
    """
    if sum(manifest.location == STDIN for manifest in manifests) > 1:
        raise UsageError("standard input is one manifest: it cannot be read twice")
    for manifest in manifests:
        manifest.check()
