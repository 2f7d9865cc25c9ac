"""Walks through folders in one fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from stillframe.errors import blame_machine
from stillframe.source.inputs import Skipped
from stillframe.source.met import Met

# Stands behind a name in a listing and before what is there: no name holds it, and it is sorted before all that do.
_END: Final = "\0"
_FOLDER: Final = "d"
_LINK: Final = "l"


class Walk:
    """Walks through folders, each once, and never into the destination. `met` knows those that it came to."""

    def __init__(self, destination: str, met: Met) -> None:
        self._met = met
        # In a tree `studies` may be a link to where there is more room.
        roots = [destination, f"{destination}/studies"] if destination else []
        self._roots = [os.path.realpath(root) for root in roots]
        self._root_ids = [_identify(status) for root in self._roots if (status := _status(root))]

    def files(self, path: Path, study: str = "") -> Iterator[str | Skipped]:
        """Paths of everything at or below `path` that is not a folder, or is one that cannot be listed.

        A folder is walked through once for each `study` that manifests give for it.

        Raises:
            MachineError: if the machine opens no more folders.
        """
        if not path.is_dir():
            yield str(path)
            return
        waiting = [str(path)]
        while waiting:
            folder = waiting.pop()
            status = _status(folder)
            first = self._met.folder(status, folder, study) if status else None
            if status and _identify(status) in self._root_ids:
                yield Skipped(folder, "the destination", noteworthy=True)
            elif first not in (None, folder):
                yield Skipped(folder, f"the same folder as {first}")
            else:
                yield from self._list(folder, waiting)

    def _list(self, folder: str, waiting: list[str]) -> Iterator[str | Skipped]:
        """The files of a folder. Its folders are put on the stack `waiting`, so that the first is taken next."""
        try:
            with os.scandir(folder) as entries:
                listed = sorted(map(_listed, entries))  # texts: a folder may hold a million files
        except OSError as error:
            blame_machine(error)
            yield folder  # trying to read it tells why in the report
            return
        folders = []
        for line in listed:
            name, _, kind = line.partition(_END)
            path = f"{folder}/{name}"
            if self._roots and _LINK in kind and self._leads_into_destination(path):
                yield Skipped(path, "a link into the destination", noteworthy=True)
            elif _FOLDER in kind:
                folders.append(path)
            else:
                yield path
        waiting.extend(reversed(folders))

    def _leads_into_destination(self, path: str) -> bool:
        target = os.path.realpath(path)
        return any(target == root or target.startswith(f"{root}/") for root in self._roots)


def _status(folder: str) -> os.stat_result | None:
    """What the system says of a folder; None if it is not there."""
    try:
        return os.stat(folder)  # noqa: PTH116
    except OSError:
        return None


def _identify(status: os.stat_result) -> tuple[int, int]:
    """Device and inode, which no other folder has."""
    return status.st_dev, status.st_ino


def _listed(entry: os.DirEntry[str]) -> str:
    """An entry of a folder as a line of a listing: its name, and whether it is a folder, and whether a link."""
    kind = ""
    with suppress(OSError):
        kind += _LINK if entry.is_symlink() else ""
        kind += _FOLDER if entry.is_dir() else ""
    return f"{entry.name}{_END}{kind}"
