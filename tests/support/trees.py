"""Building trees in the tests, and looking into them."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore

PICTURED = BuildOptions(rendered=Rendered.ALWAYS, thumbnails=Thumbnails.INSTANCES)
"""All pictures of every image."""


class NoProgress:
    """Nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """See `stillframe.build.pipeline.Progress`."""

    def step(self, count: int = 1) -> None:
        """See `stillframe.build.pipeline.Progress`."""

    def reject(self, reason: str) -> None:
        """See `stillframe.build.pipeline.Progress`."""

    def inside(self, name: str, done: int, total: int) -> None:
        """See `stillframe.build.pipeline.Progress`."""


def build_tree(
    destination: Path,
    *sources: Path,
    options: BuildOptions | None = None,
    executor: Executor | None = None,
    replace: bool = False,
    verify_stored: bool = False,
    workers: int = 2,
) -> Report:
    """Build with the serial executor unless another is given, which has so many workers."""
    store = DirectoryStore(str(destination))
    store.create()
    request = BuildRequest(
        sources=tuple(map(str, sources)),
        options=options or BuildOptions(),
        workers=workers,
        replace=replace,
        verify_stored=verify_stored,
        destination=str(destination),
    )
    return build(request, store, executor or SerialExecutor(), NoProgress())


def contents(tree: Path) -> dict[str, bytes]:
    """Every file of a tree by its path, those being written included."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


def objects(store: Store) -> dict[str, bytes]:
    """Every object of a store by its key, JSON as it was before it was compressed."""
    found = {}
    for key, _ in store.list(""):
        stored = store.get(key)
        if stored is not None:
            found[key] = stored.data
    return found


def document(tree: Path, path: str) -> Any:
    """A JSON document of a tree."""
    return json.loads((tree / path).read_bytes())


def processes_of_session(session: int) -> list[int]:
    """Living processes of a session."""
    return list(_parents_in_session(session))


def workers_of_session(session: int) -> list[int]:
    """What the fork server of a job has forked, which is a child of the process that began the session: its workers,
    and the starters of their sandboxes.
    """
    parents = _parents_in_session(session)
    return sorted(pid for pid, parent in parents.items() if pid != session != parent)


def _parents_in_session(session: int) -> dict[int, int]:
    """The parent of each living process of a session, from /proc.

    proc(5): the state, the parent and the session follow the name.
    """
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent, _, own_session, *_ = entry.read_text().rpartition(")")[2].split()
            if int(own_session) == session and state != "Z":
                parents[int(entry.parent.name)] = int(parent)
    return parents
