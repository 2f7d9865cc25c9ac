"""Objects whose keys no store takes, or that a store refuses by themselves: one input is rejected, no job ends."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final, override

import pytest
from pydicom.uid import EnhancedSRStorage

from stillframe.build.content import Producer
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome, StageClock
from stillframe.build.sinks import SizeSink
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.read import read_instance
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import InputError, KeyRefused, StoreError
from stillframe.execute import SerialExecutor
from stillframe.layout import bulk_data_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store, Written
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.dicom_files import INSTANCE, SERIES, STUDY, image, instance_uid, to_bytes, without_pixels, write
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, objects

LEVELS: Final = 60
VALUE: Final = bytes(2000)


def write_deep(path: Path, length: int) -> str:
    """A report with a value so deep in sequences that its key, which is returned, has this length.

    The value is in the last of a hundred or more items, and again within that: `LEVELS` deep.
    """
    items = 1000 if length > 1000 else 100
    deep = f"0040A730/{items}/" * LEVELS
    more = length - len(bulk_data_key(InstanceUIDs(STUDY, SERIES, INSTANCE), f"{deep}00420011"))
    uids = []
    for uid in (STUDY, SERIES, INSTANCE):
        added = min(more, 64 - len(uid))
        more -= added
        uids.append(uid + "1" * added)
    element = b"\x42\0\x11\0OB\0\0" + struct.pack("<L", len(VALUE)) + VALUE
    for _ in range(LEVELS):
        value = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * (items - 1)
        value += struct.pack("<HHL", 0xFFFE, 0xE000, len(element)) + element
        element = b"\x40\0\x30\xa7SQ\0\0" + struct.pack("<L", len(value)) + value
    path.parent.mkdir(exist_ok=True)
    dataset = without_pixels(1, SOPClassUID=EnhancedSRStorage, Modality="SR", StudyInstanceUID=uids[0])
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids[1:]
    path.write_bytes(to_bytes(dataset) + element)
    key = bulk_data_key(InstanceUIDs(*uids), f"{deep}00420011")
    assert len(key) == length
    return key


def others(folder: Path) -> None:
    """Three images of a study that comes later."""
    for number in (2, 3, 4):
        write(folder, f"{number}.dcm", image(number, StudyInstanceUID=f"{STUDY}9.9"))


def build_into(store: Store, source: Path, secret: bytes = b"") -> Report:
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), secret=secret)
    return build(request, store, SerialExecutor(), NoProgress())


def folder_of(path: Path) -> DirectoryStore:
    store = DirectoryStore(str(path))
    store.create()
    return store


def test_a_key_that_stores_do_not_take_is_one_rejected_input(tmp_path: Path) -> None:
    key = write_deep(tmp_path / "in" / "deep.dcm", 1025)
    others(tmp_path / "in")
    store = folder_of(tmp_path / "tree")
    forecast, _ = forecast_build(
        BuildRequest(sources=(str(tmp_path / "in"),), options=BuildOptions()),
        Destination(store),
        SerialExecutor(),
        NoProgress(),
    )
    report = build_into(store, tmp_path / "in")
    for told in (forecast, report):
        (rejected,) = told.rejected
        assert rejected.instance.startswith(INSTANCE)
        assert rejected.reason.endswith(f"00420011: its key would have {len(key)} bytes, stores take 1024")
        assert rejected.reason.startswith("bulk data 0040A730/1000/")
        assert len(rejected.reason) < 200
    assert (report.outcomes, report.exit_code) == ({Outcome.PUBLISHED: 3}, 2)
    assert not [key for key in objects(store) if INSTANCE in key]


def test_frames_do_not_come_before_a_key_that_stores_do_not_take(tmp_path: Path) -> None:
    path = write(tmp_path, "1.dcm", image(1, EncapsulatedDocument=VALUE))
    sink = SizeSink()
    with path.open("rb") as file:
        producer = Producer(InstanceUIDs(STUDY, SERIES, INSTANCE), BuildOptions(), sink, StageClock(), "p" * 1000)
        with pytest.raises(InputError, match="bulk data 00420011: its key would have"):
            producer.produce(read_instance(file), file)
    assert sink.sizes == {}


@pytest.mark.parametrize("more", [0, 1])
def test_the_prefix_counts(tmp_path: Path, more: int) -> None:
    """With a key of 1024 bytes it is published, with one more it is not."""
    key = write_deep(tmp_path / "in" / "deep.dcm", 980)
    store = MemoryStore().below("p" * (1024 - len(key) - 1 + more))
    assert len(f"{store.key_prefix}{key}") == 1024 + more
    report = build_into(store, tmp_path / "in")
    assert report.exit_code == (2 if more else 0)
    assert (key in objects(store)) is not bool(more)


def test_the_name_of_a_root_counts(tmp_path: Path, bucket: Bucket) -> None:
    """Alike in a folder and in a bucket, where the key fits without it."""
    write_deep(tmp_path / "in" / "deep.dcm", 1000)
    others(tmp_path / "in")
    for store in (folder_of(tmp_path / "tree"), S3Store(bucket, "unlisted")):
        report = build_into(store, tmp_path / "in", b"0123456789abcdef")
        (rejected,) = report.rejected
        more = 33 + (len("unlisted/") if isinstance(store, S3Store) else 0)
        assert rejected.reason.endswith(f"its key would have {1000 + more} bytes, stores take 1024")
    for store in (folder_of(tmp_path / "listed"), S3Store(bucket, "listed")):
        assert build_into(store, tmp_path / "in").exit_code == 0


def test_a_bucket_takes_the_longest_key(tmp_path: Path, bucket: Bucket) -> None:
    key = write_deep(tmp_path / "in" / "deep.dcm", 980)
    store = S3Store(bucket, "p" * (1024 - len(key) - 1))
    assert build_into(store, tmp_path / "in").exit_code == 0
    stored = store.get(key)
    assert stored is not None
    assert stored.data == VALUE


def test_a_path_that_the_file_system_does_not_take_is_one_rejected_input(tmp_path: Path) -> None:
    """A folder so deep that the path of one key has more than the 4096 bytes that Linux allows."""
    key = write_deep(tmp_path / "in" / "deep.dcm", 980)
    others(tmp_path / "in")
    root = tmp_path / "tree"
    while len(str(root)) + len(key) < 4300:
        root /= "d" * 100
    assert len(str(root)) < 3800
    store = folder_of(root)
    report = build_into(store, tmp_path / "in")
    (rejected,) = report.rejected
    assert rejected.reason.startswith("the store does not take one of its objects: ")
    assert rejected.reason.endswith(": File name too long")
    assert (report.outcomes, report.failure) == ({Outcome.PUBLISHED: 3}, "")
    assert not [key for key in objects(store) if INSTANCE in key]


class ParticularStore(MemoryStore):
    """Takes no frames of one instance; `error` is how it says so."""

    def __init__(self, parallel: int, error: type[StoreError]) -> None:
        super().__init__(parallel)
        self._error = error

    @override
    def put(self, key: str, data: bytes | ReadableFile, **condition: Any) -> Written:
        if f"{instance_uid(2)}/frames" in key or f"{instance_uid(2)}/reduced" in key:
            raise self._error("not this one")
        return super().put(key, data, **condition)


@pytest.mark.parametrize("parallel", [1, 16])
def test_what_a_store_refuses_of_one_instance_is_that_input_rejected(tmp_path: Path, parallel: int) -> None:
    for number in (1, 2, 3):
        write(tmp_path / "in", f"{number}.dcm", image(number))
    store = ParticularStore(parallel, KeyRefused)
    report = build_into(store, tmp_path / "in")
    assert [(item.instance, item.reason) for item in report.rejected] == [
        (instance_uid(2), "the store does not take one of its objects: not this one")
    ]
    assert (report.outcomes, report.failure) == ({Outcome.PUBLISHED: 2}, "")
    assert not [key for key in objects(store) if f"{instance_uid(2)}/" in key]


@pytest.mark.parametrize("parallel", [1, 16])
def test_a_store_that_fails_still_ends_the_job(tmp_path: Path, parallel: int) -> None:
    write(tmp_path / "in", "2.dcm", image(2))
    report = build_into(ParticularStore(parallel, StoreError), tmp_path / "in")
    assert (report.failure, report.exit_code) == ("not this one", 1)
