"""Memory and time of jobs of many instances, as they grow: 10,000, 100,000, a million.

    python benchmarks/million.py [--work FOLDER] [--whole N ...] [--listed N ...] [--series N] [--study N]

The inputs are images of 8 x 8 in .zip archives, all with the same pixels, 50 a series and 100 a study if nothing else
is asked for. `--whole` jobs publish all of them into a folder, with two workers, and then find them unchanged.
`--listed` jobs make one instance and take it for all: everything is as it is but for what workers do, and the store
keeps documents alone. So these show what the main process does. Every job runs in a process of its own; memory is the
most that a process held at once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, override

sys.path.insert(0, str(Path(__file__).parents[1]))

from stillframe.archive.entries import line_of
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Built
from stillframe.build.tasks import InstanceTask
from stillframe.build.workers import build_instances
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import PreconditionFailed
from stillframe.execute import SerialExecutor, make_executor
from stillframe.layout import is_fixed, is_key, metadata_key
from stillframe.options import BuildOptions, Thumbnails
from stillframe.store.base import Store, StoredObject, Written
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import image, noise, to_bytes
from tests.support.trees import NoProgress

_ROOT: Final = "1.2.826.0.1.3680043.10.1"
_ARCHIVE: Final = 10_000
_OPTIONS: Final = BuildOptions(thumbnails=Thumbnails.NONE)
_WORKERS: Final = 2


@dataclass(frozen=True)
class Shape:
    """How many instances a series has, and a study."""

    series: int = 50
    study: int = 100


def uids_of(number: int, shape: Shape) -> InstanceUIDs:
    """UIDs of one length for the instance of a number, so that one takes the place of another in its bytes."""
    study, series = number // shape.study, number // min(shape.series, shape.study)
    return InstanceUIDs(f"{_ROOT}.1.{10**9 + study}", f"{_ROOT}.2.{10**9 + series}", f"{_ROOT}.3.{10**9 + number}")


def renamed(data: bytes, uids: InstanceUIDs) -> bytes:
    """Bytes of the first instance as those of another."""
    first = uids_of(0, Shape())
    for own, other in zip(_parts(first), _parts(uids), strict=True):
        data = data.replace(own, other)
    return data


def _parts(uids: InstanceUIDs) -> tuple[bytes, ...]:
    return uids.study.encode(), uids.series.encode(), uids.instance.encode()


def write_inputs(folder: Path, count: int, shape: Shape) -> None:
    """Archives with so many images."""
    uids = uids_of(0, shape)
    names = {"StudyInstanceUID": uids.study, "SeriesInstanceUID": uids.series, "SOPInstanceUID": uids.instance}
    data = to_bytes(image(1, noise(1)[:8, :8], **names))
    for start in range(0, count, _ARCHIVE):
        with zipfile.ZipFile(folder / f"{start:09}.zip", "w") as archive:
            for number in range(start, min(count, start + _ARCHIVE)):
                archive.writestr(f"{number:09}.dcm", renamed(data, uids_of(number, shape)))


class OneMade(SerialExecutor):
    """Makes the first instance, and gives it to the store and back as every other."""

    def __init__(self) -> None:
        self._made: Built | None = None
        self._document = b""

    @override
    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if fn is not build_instances:
            return super().submit(fn, *args, **kwargs)
        tasks: Any = args[0]
        done: Future[Any] = Future()
        done.set_result([self._copy(task) for task in tasks])
        return done

    def _copy(self, task: InstanceTask) -> Built:
        if self._made is None:
            (made,) = build_instances([task])
            stored = task.store.get(metadata_key(task.uids.study, task.uids.series, task.uids.instance))
            if not isinstance(made, Built) or stored is None:
                raise SystemExit(f"the first instance is not published: {made}")
            self._made, self._document = made, stored.data
            return made
        document = renamed(self._document, task.uids)
        task.store.put(metadata_key(task.uids.study, task.uids.series, task.uids.instance), document)
        line = line_of(document, f"instances/{task.uids.instance}/")
        return replace(self._made, source=task.source, uids=task.uids, line=line)


class DocumentStore(Store):
    """A database of documents on a disk; of objects that never change it keeps the sizes."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE objects (key TEXT PRIMARY KEY, data BLOB, size INTEGER, version INTEGER) WITHOUT ROWID; BEGIN"
        )
        self._versions = 0
        self._lock = threading.Lock()

    @override
    def get(self, key: str) -> StoredObject | None:
        query = "SELECT data, version FROM objects WHERE key = ?"
        with self._lock:
            row = self._database.execute(query, (key,)).fetchone()
        return StoredObject(row[0], f'"{row[1]}"') if row else None

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        content = data if isinstance(data, bytes) else data.read()
        current = self.head(key) if if_match or if_none_match else None
        if (if_none_match and current) or (if_match and (current is None or current.etag != if_match)):
            raise PreconditionFailed(key)
        with self._lock:
            self._versions += 1
            values = (key, b"" if is_fixed(key) else content, len(content), self._versions)
            self._database.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", values)
        return Written(len(content), f'"{self._versions}"')

    def _below(self, resource: str) -> Iterator[tuple[str, int]]:
        below = f"{resource.rstrip('/')}/" if resource.rstrip("/") else ""
        query = "SELECT key, size FROM objects WHERE key >= ? AND key < ? ORDER BY key"
        with self._lock:
            rows = self._database.execute(query, (below, f"{below[:-1]}0" if below else "~")).fetchall()
        yield from rows

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        return ((key, size) for key, size in self._below(resource) if is_key(key))

    @override
    def children(self, resource: str) -> Iterator[str]:
        start = len(f"{resource.rstrip('/')}/") if resource.rstrip("/") else 0
        return iter({key[start:].partition("/")[0] for key, _ in self._below(resource)})

    @override
    def delete(self, key: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM objects WHERE key = ?", (key,))

    @override
    def below(self, name: str) -> Store:
        raise NotImplementedError(name)


def memory_of(process: int | str) -> float:
    """The most that a process held at once, in MB; 0 for one that is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"VmHWM:\s+(\d+)", status)
    return int(match[1]) / 1024 if match else 0.0


def descendants() -> list[int]:
    """The processes that this one started, and those that these did."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, last = [], [os.getpid()]
    while last:
        last = [child for child, parent in parents.items() if parent in last]
        found += last
    return found


class Watch:
    """Looks at the memory of the processes of a job now and then."""

    def __init__(self) -> None:
        self.most = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(1.0):
            self.most = max(self.most, *map(memory_of, descendants()), 0.0)


def run_job(source: Path, store: Store, executor: Executor, workers: int) -> dict[str, Any]:
    """Build, and what that took."""
    began, cpu = time.monotonic(), time.process_time()
    request = BuildRequest(sources=(str(source),), options=_OPTIONS, workers=workers)
    with Watch() as watch:
        report = build(request, store, executor, NoProgress())
    if report.exit_code:
        raise SystemExit(f"the job ended with {report.exit_code}: {report.failure}")
    count, seconds = report.outcomes.total(), time.monotonic() - began
    return {
        "instances": count,
        "main MB": round(memory_of("self")),
        "worker MB": round(watch.most),
        "s a thousand": round(seconds / count * 1e3, 2),
        "main CPU s a thousand": round((time.process_time() - cpu) / count * 1e3, 3),
        "lists CPU s a thousand": round(report.stages["lists"] / count * 1e3, 3),
        "outcomes": {str(outcome): number for outcome, number in report.outcomes.items()},
    }


def job(kind: str, work: Path) -> None:
    """One job in this process; prints what it took as JSON."""
    if kind == "listed":
        print(json.dumps(run_job(work / "in", DocumentStore(work / "documents"), OneMade(), 1)))
        return
    store = DirectoryStore(str(work / "tree"))
    store.create()
    with make_executor(_WORKERS) as executor:
        print(json.dumps(run_job(work / "in", store, executor, _WORKERS)))


def measure(kind: str, count: int, work: Path, shape: Shape) -> Iterator[dict[str, Any]]:
    """What jobs of so many instances take: the first one, and of whole ones the next, which finds all unchanged."""
    folder = Path(tempfile.mkdtemp(prefix=f"stillframe-{kind}-", dir=work))
    try:
        (folder / "in").mkdir()
        write_inputs(folder / "in", count, shape)
        for _ in range(2 if kind == "whole" else 1):
            command = [sys.executable, __file__, "--job", kind, "--work", str(folder)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            yield {"job": kind} | json.loads(done.stdout)
    finally:
        shutil.rmtree(folder)


def main(arguments: Sequence[str]) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--whole", type=int, nargs="*", default=[2_000])
    parser.add_argument("--listed", type=int, nargs="*", default=[2_000, 20_000])
    parser.add_argument("--series", type=int, default=50, help="instances of a series")
    parser.add_argument("--study", type=int, default=100, help="instances of a study, whole series")
    parser.add_argument("--job", choices=["whole", "listed"], help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.job:
        job(asked.job, asked.work)
        return
    for kind, counts in (("whole", asked.whole), ("listed", asked.listed)):
        for count in counts:
            for figures in measure(kind, count, asked.work, Shape(asked.series, asked.study)):
                print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
