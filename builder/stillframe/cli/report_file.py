"""The report of a job: the option that names its file, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, Protocol

import click

from stillframe.cli.shared_options import ANY_FILE
from stillframe.errors import UsageError, machine_fault
from stillframe.plain_text import plain_json
from stillframe.store.s3_client import SCHEME

report_option: Final = click.option(
    "--report",
    "report_file",
    type=ANY_FILE,
    default=None,
    metavar="FILE",
    help="Write the full report to this file, as JSON.",
)


def check_report(path: Path | None, destination: str) -> None:
    """Refuse a path that no report can be written to, before a long job rather than after it; None is fine.

    Raises:
        UsageError: saying why.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"the report cannot be written to {path}: that is a folder")
    folder = path.resolve().parent
    if not destination.startswith(SCHEME) and folder.is_relative_to(Path(destination).resolve()):
        raise UsageError(f"the report would be published with the tree: {path} is in {destination}")
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the report cannot be written to {path}: no folder to write in, or no permission")


class _Part(Protocol):
    def as_json(self) -> dict[str, Any]: ...


def write_report(report: dict[str, Any], path: Path | None, **parts: _Part | None) -> None:
    """Write a report as JSON, with further parts by their names. Without a path, write nothing.

    Members that are iterators are written one after the other, and are never in memory as a whole. None but its owner
    may read it: it names inputs, and the roots of unlisted studies.

    Raises:
        UsageError: if it cannot be written.
    """
    if path is None:
        return
    report = report | {name: part.as_json() for name, part in parts.items() if part is not None}
    try:
        _write_private(path, (piece.encode() for piece in plain_json(report)))
    except OSError as error:
        reason = machine_fault(error) or error.strerror
        raise UsageError(f"the report cannot be written to {path}: {reason}") from error


def _write_private(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that its owner alone may read; one that is there stays as it is until the new one is complete.

    A device or a pipe is written to. So is a file in a folder that takes no others.
    """
    if path.exists() and not path.is_file():
        _write(path, pieces)
        return
    path = path.resolve()
    if not os.access(path.parent, os.W_OK | os.X_OK):
        path.chmod(0o600)
        _write(path, pieces)
        return
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:  # of mode 0600
        try:
            file.writelines(pieces)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
