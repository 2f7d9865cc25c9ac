"""Archives within archives, unpacked once for a whole job: one file without a name holds them one behind the other."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast


class NestedArchives:
    """A temporary file for all archives within others that a search finds; it is gone with the last reference."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._path = ""

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, blocks: Iterable[bytes]) -> Unpacked:
        """Write the blocks of an archive behind those before it.

        Raises:
            InputError: as taking the blocks does; nothing is kept then.
            OSError: if there is no room.
        """
        with self._lock:
            if self._file is None:
                self._file, self._path = _make_file()
            start = self._file.seek(0, os.SEEK_END)
            try:
                for block in blocks:
                    self._file.write(block)
                self._file.flush()
            except BaseException:
                self._file.truncate(start)
                raise
            return Unpacked(self._path, start, self._file.tell() - start, self)


def _make_file() -> tuple[IO[bytes], str]:
    """A temporary file, and the path by which other processes of the job open it: its own, if it has a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with what holds it)
    path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
    if Path(path).exists():
        return file, path
    file.close()
    named = tempfile.NamedTemporaryFile(prefix="stillframe-")  # noqa: SIM115
    return cast("IO[bytes]", named), named.name


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Where an archive within another lies: the `path` of a file, an offset in it, and its size in bytes.

    `holder` keeps the file. It stays in the process that searched, where it lives as long as a job needs the inputs.
    """

    path: str
    start: int
    size: int
    holder: NestedArchives | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Unpacked], tuple[str, int, int]]:
        return Unpacked, (self.path, self.start, self.size)
