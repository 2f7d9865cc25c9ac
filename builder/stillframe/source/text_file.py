"""Texts that a job is told to read, manifests and reports: files, objects, or standard input, as they are asked for."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TextIO, cast

from stillframe.errors import InputError, UsageError
from stillframe.source.s3_file import open_object
from stillframe.source.s3_objects import iter_objects
from stillframe.store.s3_client import SCHEME, S3Settings, check_place

type _Split = Callable[[TextIO], Iterator[str]]

STDIN: Final = "-"
_CHUNK_CHARACTERS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text at a path, at an `s3://` location, or `-` for standard input; `s3` says how an object is reached.

    It is read as UTF-8. What is none stays as it is, as in the names of files.
    """

    location: str
    s3: S3Settings = field(default_factory=S3Settings)

    def __str__(self) -> str:
        return "standard input" if self.location == STDIN else self.location

    def exists(self) -> bool:
        """Whether there is something to read.

        Raises:
            UsageError: if it is no such location.
            StoreError: if its store does not tell.
        """
        check_place(self.location)
        if self.location == STDIN:
            return sys.stdin is not None
        if self.location.startswith(SCHEME):
            return any(iter_objects(self.location, self.s3, alone=True))
        path = Path(self.location)
        return bool(self.location) and path.exists() and not path.is_dir()

    def lines(self) -> Iterator[str]:
        """Its lines, each with its end.

        Raises:
            InputError: if it cannot be read.
            StoreError: if its store fails.
        """
        return self._read(iter)

    def chunks(self) -> Iterator[str]:
        """Its characters, so many at a time.

        Raises:
            InputError: if it cannot be read.
            StoreError: if its store fails.
        """
        return self._read(lambda text: iter(partial(text.read, _CHUNK_CHARACTERS), ""))

    def _read(self, split: _Split) -> Iterator[str]:
        try:
            with self._open() as text:
                yield from split(text)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}") from error

    def _open(self) -> TextIO:
        if self.location == STDIN:
            if sys.stdin is None:  # as Python has it where no such file is open
                raise InputError("is closed")
            return open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", newline="", closefd=False)
        if not self.location.startswith(SCHEME):
            return Path(self.location).open(encoding="utf-8", errors="surrogateescape", newline="")
        found = next(iter_objects(self.location, self.s3, alone=True), None)
        if found is None:
            raise InputError("is not there")
        file = cast("io.BufferedReader", open_object(found))
        return io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")


def check_manifests(manifests: Iterable[TextFile]) -> None:
    """See that all manifests are there, and that standard input is read once.

    Raises:
        UsageError: if one is not, or if it is to be read twice.
        StoreError: if a store does not tell.
    """
    manifests = list(manifests)
    if sum(manifest.location == STDIN for manifest in manifests) > 1:
        raise UsageError("standard input is one manifest: it cannot be read twice")
    for manifest in manifests:
        if not manifest.exists():
            if manifest.location == STDIN:
                raise UsageError("no manifest on standard input: it is closed")
            raise UsageError(f"no such manifest: {manifest.location or repr(manifest.location)}")


def list_texts(location: str, suffix: str, s3: S3Settings) -> list[TextFile]:
    """The texts that a location names: one, or all of a folder, or of an `s3://` prefix, whose names end so.

    Raises:
        UsageError: if it is no location.
        StoreError: if the store fails.
    """
    check_place(location)
    if location.startswith(SCHEME):
        names = sorted(str(found) for found in iter_objects(location, s3) if found.key.endswith(suffix))
        return [TextFile(name, s3) for name in names] or [TextFile(location, s3)]
    if Path(location).is_dir():
        return [TextFile(str(path), s3) for path in sorted(Path(location).glob(f"*{suffix}"))]
    return [TextFile(location, s3)]
