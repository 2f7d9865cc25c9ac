"""Walks through folders in one fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stillframe.errors import blame_machine
from stillframe.source.inputs import Skipped


class Walk:
    """Walks through folders, each once, and never into the destination."""

    def __init__(self, destination: str) -> None:
        self._folders: dict[tuple[int, int], str] = {}
        # In a tree `studies` may be a link to where there is more room.
        roots = [destination, f"{destination}/studies"] if destination else []
        self._roots = [os.path.realpath(root) for root in roots]
        self._root_ids = [_identify(root) for root in self._roots]

    def files(self, path: Path) -> Iterator[str | Skipped]:
        """Paths of everything at or below `path` that is not a folder, or is one that cannot be listed.

        Raises:
            MachineError: if the machine opens no more folders.
        """
        if not path.is_dir():
            yield str(path)
            return
        waiting = [str(path)]
        while waiting:
            folder = waiting.pop()
            identity = _identify(folder)
            first = self._folders.setdefault(identity, folder) if identity else folder
            if identity and identity in self._root_ids:
                yield Skipped(folder, "the destination", noteworthy=True)
            elif first != folder:
                yield Skipped(folder, f"the same folder as {first}")
            else:
                yield from self._list(folder, waiting)

    def _list(self, folder: str, waiting: list[str]) -> Iterator[str | Skipped]:
        """The files of a folder. Its folders are put on the stack `waiting`, so that the first is taken next."""
        try:
            with os.scandir(folder) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            blame_machine(error)
            yield folder  # trying to read it tells why in the report
            return
        folders = []
        for entry in ordered:
            path = f"{folder}/{entry.name}"
            if self._roots and entry.is_symlink() and self._leads_into_destination(path):
                yield Skipped(path, "a link into the destination", noteworthy=True)
            elif _is_folder(entry):
                folders.append(path)
            else:
                yield path
        waiting.extend(reversed(folders))

    def _leads_into_destination(self, path: str) -> bool:
        target = os.path.realpath(path)
        return any(target == root or target.startswith(f"{root}/") for root in self._roots)


def _identify(folder: str) -> tuple[int, int] | None:
    """Device and inode, which no other folder has; None if it is not there."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
