"""Instances of a series that wait for its lists: as lines of its document, in a file where they are many."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Container
from typing import IO, Final

from stillframe.archive.entries import parse_line, summary_of
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import JSONDataset

# Lines of one series that wait in memory.
_MEMORY_BYTES: Final = 1 << 20


class NewInstances:
    """What lists need of instances that they do not know yet, by SOP Instance UID. For one thread at a time.

    `rows` are those of an instance's frames if they are HTJ2K; None where the frame index tells of its frames already.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[FrameRow, ...] | None] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._size = 0

    def add(self, instance: str, line: bytes, rows: tuple[FrameRow, ...] | None = ()) -> None:
        """Take in an instance, in place of what was known of it; `line` is what the document of its series has of it.

        Raises:
            OSError: if there is no room for temporary files.
        """
        self.rows[instance] = rows
        self._places[instance] = (self._size, len(line))
        self._size += len(line)
        self._memory += line
        if len(self._memory) > _MEMORY_BYTES:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with the rest
            self._file.seek(0, 2)
            left = memoryview(self._memory)
            while left:  # what has room for a part of it takes that part, and then says so
                left = left[self._file.write(left) :]
            self._memory = bytearray()

    def line(self, instance: str) -> bytes:
        """The line of an instance.

        Raises:
            OSError: if it cannot be read again.
        """
        start, length = self._places[instance]
        in_file = self._size - len(self._memory)
        if self._file is None or start >= in_file:
            return bytes(self._memory[start - in_file : start - in_file + length])
        self._file.seek(start)
        line = self._file.read(length)
        if len(line) < length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return line

    def summaries(self, present: Container[str]) -> dict[str, JSONDataset]:
        """The summaries of those instances that are present."""
        summaries: dict[str, JSONDataset] = {}
        last: JSONDataset | None = None
        for instance in self._places:
            if instance in present:
                last = summaries[instance] = summary_of(parse_line(self.line(instance)), last)
        return summaries

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Let go of the lines."""
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        self.close()
