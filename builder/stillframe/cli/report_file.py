"""The report of a job: the option that names its file, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Final, Protocol

import click

from stillframe.cli.shared_options import ANY_FILE
from stillframe.errors import StoreError, UsageError, machine_fault
from stillframe.plain_text import plain_json
from stillframe.store.s3_client import SCHEME, S3Settings, parse_location, split_location

_NO_SETTINGS: Final = S3Settings()


@dataclass(frozen=True, slots=True)
class RemoteReport:
    """A report at an `s3://` location, in the store of the archive."""

    location: str

    def __str__(self) -> str:
        return self.location


type ReportFile = Path | RemoteReport | None
"""Where a report is to be written; nowhere for None."""


def _parse(context: click.Context, parameter: click.Parameter, value: str | None) -> ReportFile:
    if value is not None and value.startswith(SCHEME):
        return RemoteReport(value)
    return None if value is None else Path(ANY_FILE.convert(value, parameter, context))


_SHARD_PLACE: Final = "{shard}"


def named_for_shard(place: ReportFile, number: int) -> ReportFile:
    """Where a shard writes its report: its number takes the place of `{shard}`, so that all may be started alike."""
    if place is None or _SHARD_PLACE not in str(place):
        return place
    name = str(place).replace(_SHARD_PLACE, str(number))
    return RemoteReport(name) if isinstance(place, RemoteReport) else Path(name)


report_option: Final = click.option(
    "--report",
    "report_file",
    callback=_parse,
    default=None,
    metavar="FILE",
    help="Write the full report to this file or s3:// object (reached as DEST is), as JSON.",
)


def check_report(path: ReportFile, destination: str) -> None:
    """Refuse a path that no report can be written to, before a long job rather than after it; None is fine.

    Args:
        path: of the report.
        destination: of the tree that it may not lie in; empty if there is none.

    Raises:
        UsageError: saying why.
    """
    if path is None:
        return
    if isinstance(path, RemoteReport):
        _check_remote(path, destination)
        return
    if path.is_dir():
        raise UsageError(f"the report cannot be written to {path}: that is a folder")
    folder = path.resolve().parent
    in_folder = destination and not destination.startswith(SCHEME)
    if in_folder and folder.is_relative_to(Path(destination).resolve()):
        raise UsageError(f"the report would be published with the tree: {path} is in {destination}")
    if not folder.is_dir():
        reason = f"there is no folder {path.parent}: make it first"
        raise UsageError(f"the report cannot be written to {path}: {reason}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the report cannot be written to {path}: no permission to write there")


def _check_remote(report: RemoteReport, destination: str) -> None:
    from stillframe.source.overlap import overlap

    parse_location(report.location)
    if not split_location(report.location)[1].rpartition("/")[2]:
        raise UsageError(f"the report cannot be written to {report}: its key has no name at the end")
    if destination.startswith(SCHEME) and overlap(report.location, destination):
        raise UsageError(f"the report would be published with the tree: {report} is in {destination}")


class _Part(Protocol):
    def as_json(self) -> dict[str, Any]: ...


def write_report(
    report: dict[str, Any], path: ReportFile, s3: S3Settings = _NO_SETTINGS, **parts: _Part | None
) -> None:
    """Write a report as JSON, with further parts by their names. Without a path, write nothing.

    Members that are iterators are written one after the other, and are never in memory as a whole. None but its owner
    may read it: it names inputs, and the roots of unlisted studies. `s3` says how an object is reached.

    Raises:
        UsageError: if it cannot be written.
    """
    if path is None:
        return
    if isinstance(path, RemoteReport):
        _write_remote(report, path, s3, parts)
        return
    report = report | {name: part.as_json() for name, part in parts.items() if part is not None}
    try:
        _write_private(path, (piece.encode() for piece in plain_json(report)))
    except OSError as error:
        reason = machine_fault(error) or error.strerror
        raise UsageError(f"the report cannot be written to {path}: {reason}") from error


def _write_remote(report: dict[str, Any], place: RemoteReport, s3: S3Settings, parts: dict[str, _Part | None]) -> None:
    from stillframe.store.s3_files import put_file

    with TemporaryDirectory() as folder:  # of mode 0700
        staged = Path(folder) / "report.json"
        write_report(report, staged, s3, **parts)
        try:
            put_file(place.location, staged, "application/json", s3)
        except StoreError as error:
            raise UsageError(f"the report cannot be written to {place}: {error}") from error


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
