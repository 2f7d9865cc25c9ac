"""What jobs do that die or stand still by plan: in processes of their own (`forked`), which have this loaded."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, override

from stillframe.archive.delete import Scope
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.dicom.files import ReadableFile
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from stillframe.store.base import Store, Written
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.archives import remove
from tests.support.dying_store import DyingStore
from tests.support.trees import NoProgress

_CHANGES: Final = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"})


def publish_leased(source: Path, store: Store, lease: float, **changes: Any) -> Report:
    """Publish with claims that run out after some seconds."""
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), lease=lease, **changes)
    return build(request, store, SerialExecutor(), NoProgress())


def build_and_die(request: BuildRequest, tree: str, moment: int, halfway: bool) -> None:
    """Build in a process that is killed at the write of some number."""
    build(request, DyingStore(tree, moment, halfway=halfway), SerialExecutor(), NoProgress())


def delete_and_die(scope: Scope, tree: str, moment: int, halfway: bool) -> None:
    """Delete in a process that is killed at the write of some number."""
    remove(DyingStore(tree, moment, halfway=halfway), scope)


def publish_and_halt(
    tree: Path, source: Path, lease: float, moment: int, number: signal.Signals, code: Path, replace: bool
) -> None:
    """Publish in a process that a signal halts before the system call of some number that changes the folder."""
    left = moment

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_CREAT | os.O_WRONLY)
        if event in _CHANGES or opened:
            left -= 1
            if left == -1:
                os.kill(os.getpid(), number)

    sys.addaudithook(count)  # Python tells of system calls before it makes them (PEP 578)
    report = publish_leased(source, DirectoryStore(str(tree)), lease, replace=replace)
    code.write_text(str(report.exit_code))


class _StoppingStore(S3Store):
    """A store in whose hands the process is stopped (SIGSTOP) when the put of some number has just been begun."""

    left = 0

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        if "/frames/" in key or "/metadata" in key or "/rendered" in key:
            self.left -= 1
            if self.left == -1:
                os.kill(os.getpid(), signal.SIGSTOP)
        return super().put(key, data, if_match=if_match, if_none_match=if_none_match)


def publish_and_stop(
    bucket: Bucket, prefix: str, source: Path, lease: float, moment: int, code: str, replace: bool
) -> None:
    """Publish in a process that stands still when the put of some number has been begun."""
    store = _StoppingStore(bucket, prefix)
    store.left = moment
    Path(code).write_text(str(publish_leased(source, store, lease, replace=replace).exit_code))
