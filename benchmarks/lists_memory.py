"""What lists cost the process that writes them: CPU an instance and peak memory, of studies of any number of instances.

    python benchmarks/lists_memory.py [--series N] [--instances N] [--work FOLDER]

Instances are made up: metadata of about 6 KB as those of a CT slice, one frame of a few bytes. A folder holds them,
and they are listed. Each step runs in a process of its own, since the peak of a process never falls.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from stillframe.archive.delete import Scope, delete
from stillframe.archive.list_thumbnails import update_series_thumbnails, update_study_thumbnail
from stillframe.archive.lists import (
    listed_instances,
    publish_series,
    publish_studies,
    publish_study,
    published_patient,
)
from stillframe.archive.new_instances import NewInstances
from stillframe.archive.record import Holding, Record, with_record
from stillframe.archive.reindex import index_archive
from stillframe.archive.roots import Roots
from stillframe.codec.codestream import FrameRow, Resolution
from stillframe.dicom.json_model import JSONDataset, dumps
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import frame_key, metadata_key
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from tests.support.trees import NoProgress

STUDY: Final = "1.3.6.1.4.1.14519.5.2.1.99.1071.1000000000000001"
FRAME: Final = b"\xff\x4f\xff\x51 no codestream"
ELEMENTS: Final = 55
OPTIONS: Final = "format=4;reduced=2;lossy=any;part10=auto;rendered=documents;thumbnails=none"


def series_uid(number: int) -> str:
    return f"{STUDY}.{number}"


def instance_uid(series: int, number: int) -> str:
    return f"{series_uid(series)}.{number}"


def metadata_of(series: int, number: int) -> JSONDataset:
    """The metadata of a slice, of about 6 KB; half of their values are those of every slice."""
    values: dict[str, tuple[str, list[Any]]] = {
        "00080005": ("CS", ["ISO_IR 192"]),
        "00080008": ("CS", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        "00080016": ("UI", ["1.2.840.10008.5.1.4.1.1.2"]),
        "00080018": ("UI", [instance_uid(series, number)]),
        "00080020": ("DA", ["20260101"]),
        "00080030": ("TM", ["101112"]),
        "00080050": ("SH", ["A1"]),
        "00080060": ("CS", ["CT"]),
        "00080090": ("PN", [{"Alphabetic": "REFERRING^A"}]),
        "0008103E": ("LO", [f"Thorax {series}"]),
        "00083002": ("UI", ["1.2.840.10008.1.2.4.202"]),
        "00100010": ("PN", [{"Alphabetic": "NAME^FIRST"}]),
        "00100020": ("LO", ["12345"]),
        "00100030": ("DA", ["19500101"]),
        "00100040": ("CS", ["F"]),
        "0020000D": ("UI", [STUDY]),
        "0020000E": ("UI", [series_uid(series)]),
        "00200010": ("SH", ["1"]),
        "00200011": ("IS", [series]),
        "00200013": ("IS", [number]),
        "00280010": ("US", [512]),
        "00280011": ("US", [512]),
        "00280100": ("US", [16]),
        "00280103": ("US", [1]),
    }
    for index in range(ELEMENTS):
        words = f"what a scanner says {index} of slice {number * (index % 2)}"
        values[f"0043{0x1000 + index:04X}"] = ("LO", [words, f"{number * index / 7:.6f}"])
    dataset = {tag: {"vr": vr, "Value": value} for tag, (vr, value) in values.items()}
    record = Record(f"blake3:{number:064x}", OPTIONS, Holding(1, len(FRAME)), f"blake3={number:064x}")
    return with_record(dataset, record)


def row_of(number: int) -> FrameRow:
    """Any row that fits the frame."""
    prefixes = (5, 6 + number % 3, 10, len(FRAME))
    levels = tuple(Resolution(3 - k, 64 << k, 64 << k, length) for k, length in enumerate(prefixes))
    return FrameRow(levels, number)


def put_instances(store: Store, series: int, instances: int) -> None:
    """The objects of every instance."""
    for one in range(1, series + 1):
        for number in range(1, instances + 1):
            uids = InstanceUIDs(STUDY, series_uid(one), instance_uid(one, number))
            store.put(frame_key(uids, 1), FRAME)
            store.put(metadata_key(uids.study, uids.series, uids.instance), dumps([metadata_of(one, number)]))


def waiting(series: int, numbers: Iterable[int]) -> NewInstances:
    """Instances of a series, as workers hand them over."""
    built = NewInstances()
    for number in numbers:
        built.add(instance_uid(series, number), dumps(metadata_of(series, number)), (row_of(number),))
    return built


def publish(store: Store, series: int, instances: int) -> Iterator[None]:
    """List all instances of every series, then the study."""
    built = {one: waiting(one, range(1, instances + 1)) for one in range(1, series + 1)}
    yield
    publish_built(store, built)


def publish_built(store: Store, built: dict[int, NewInstances]) -> None:
    for one, instances in built.items():
        known = publish_series(store, STUDY, series_uid(one), instances)
        update_series_thumbnails(store, STUDY, series_uid(one), known, lambda *_: None)
    publish_study(store, STUDY, [series_uid(one) for one in built])
    update_study_thumbnail(store, STUDY, lambda *_: None)
    publish_studies(store, [STUDY])


def add_one(store: Store, series: int, instances: int) -> Iterator[None]:
    """List one instance more than there are."""
    uids = InstanceUIDs(STUDY, series_uid(series), instance_uid(series, instances + 1))
    store.put(frame_key(uids, 1), FRAME)
    store.put(metadata_key(uids.study, uids.series, uids.instance), dumps([metadata_of(series, instances + 1)]))
    built = waiting(series, [instances + 1])
    yield
    publish_built(store, {series: built})


def look(store: Store, series: int, instances: int) -> Iterator[None]:
    """What a build reads of lists that it finds unchanged."""
    yield
    published_patient(store, STUDY)
    for one in range(1, series + 1):
        assert len(listed_instances(store, STUDY, series_uid(one))) >= instances


def index(store: Store, _series: int, _instances: int) -> Iterator[None]:
    """Every list anew."""
    yield
    report = index_archive(store, "", NoProgress(), lambda *_: None)
    assert not report.left, report.left


def remove_series(store: Store, series: int, _instances: int) -> Iterator[None]:
    """The last series goes."""
    yield
    delete(Roots(store), Scope(STUDY, series_uid(series)), "", NoProgress())


def remove_study(store: Store, _series: int, _instances: int) -> Iterator[None]:
    """What is left goes."""
    yield
    delete(Roots(store), Scope(STUDY), "", NoProgress())


STEPS: Final[dict[str, Callable[[Store, int, int], Iterator[None]]]] = {
    "publish": publish,
    "publish again": publish,
    "look": look,
    "one more": add_one,
    "index": index,
    "delete a series": remove_series,
    "delete": remove_study,
}


def run(step: str, folder: str, series: int, instances: int, pipe: Any) -> None:
    """One step, in a process of its own; what it took goes into the pipe."""
    steps = STEPS[step](DirectoryStore(folder), series, instances)
    next(steps)
    started = time.process_time()
    for _ in steps:
        pass
    seconds = time.process_time() - started
    pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measure(series: int, instances: int, work: str) -> Iterator[tuple[str, float, float]]:
    """Each step with its CPU in ms an instance and its peak memory in MB."""
    folder = tempfile.mkdtemp(prefix="lists-", dir=work)
    context = multiprocessing.get_context("spawn")
    put_instances(DirectoryStore(folder), series, instances)
    steps = [step for step in STEPS if series > 1 or step != "delete a series"]
    try:
        for step in steps:
            mine, other = context.Pipe()
            process = context.Process(target=run, args=(step, folder, series, instances, other))
            process.start()
            other.close()
            seconds, peak = mine.recv()
            process.join()
            yield step, seconds * 1000 / (series * instances), peak
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--work", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    chosen = parser.parse_args()
    size = len(dumps(metadata_of(1, chosen.instances)))
    print(f"{chosen.series} series of {chosen.instances} instances, metadata of {size} bytes")
    for step, milliseconds, peak in measure(chosen.series, chosen.instances, chosen.work):
        print(f"  {step:<16} {milliseconds:8.3f} ms an instance {peak:8.0f} MB", flush=True)


if __name__ == "__main__":
    main()
