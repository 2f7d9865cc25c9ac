"""Archives within archives, unpacked once for a whole job: files without names hold them one behind the other."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

MEMORY_BYTES: Final = 16 << 20
"""What archives within others may take in memory, all of a job together; the others go into a temporary file."""


class NestedArchives:
    """The archives within others that a search finds; they are gone with the last reference to this."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = MEMORY_BYTES
        self._files: dict[bool, tuple[IO[bytes], str]] = {}  # by whether they are in memory; with their paths

    def __del__(self) -> None:
        for file, _ in self._files.values():
            file.close()

    def keep(self, blocks: Iterable[bytes], size: int) -> NestedArchive:
        """Write the blocks of an archive of at most so many bytes behind those before it.

        Raises:
            InputError: as taking the blocks does; nothing is kept then.
            OSError: if there is no room.
        """
        with self._lock:
            in_memory = size <= self._free
            if in_memory not in self._files:
                self._files[in_memory] = _make_file(in_memory=in_memory)
            file, path = self._files[in_memory]
            start = file.seek(0, os.SEEK_END)
            try:
                for block in blocks:
                    file.write(block)
                file.flush()
            except BaseException:
                file.truncate(start)
                raise
            self._free -= size if in_memory else 0
            return NestedArchive(path, start, file.tell() - start, self)


def _make_file(*, in_memory: bool) -> tuple[IO[bytes], str]:
    """A temporary file, and the path by which other processes of the job open it: its own, if it has a name."""
    if in_memory and hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("archives"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with what holds it)
    path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
    if Path(path).exists():
        return file, path
    file.close()
    named = tempfile.NamedTemporaryFile(prefix="stillframe-")  # noqa: SIM115
    return cast("IO[bytes]", named), named.name


@dataclass(frozen=True, slots=True)
class NestedArchive:
    """Where an archive within another lies: the `path` of a file, an offset in it, and its size in bytes.

    The path is empty where that is the file or the object of the outermost archive. Another file is kept by `holder`.
    It stays in the process that searched, where it lives as long as a job needs the inputs.
    """

    path: str
    start: int
    size: int
    holder: NestedArchives | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[NestedArchive], tuple[str, int, int]]:
        return NestedArchive, (self.path, self.start, self.size)
