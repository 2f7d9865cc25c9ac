"""Sources and stores of the archives that are changed and made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.archives import OTHER_SERIES, OTHER_STUDY, Making
from tests.support.dicom_files import image, write
from tests.support.memory_store import MemoryStore


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three instances of a series, two of another, and another study with one."""
    folder = tmp_path_factory.mktemp("source")
    for number in (1, 2, 3):
        write(folder, f"a/{number}.dcm", image(number))
    for number in (1, 2):
        write(folder, f"b/{number}.dcm", image(number, SeriesInstanceUID=OTHER_SERIES, SeriesNumber=2))
    other = image(1, StudyInstanceUID=OTHER_STUDY, SeriesInstanceUID=f"{OTHER_STUDY}.1", PatientID="P9")
    write(folder, "c/1.dcm", other)
    return folder


@pytest.fixture(params=["directory", "memory", "memory far away", pytest.param("server", marks=pytest.mark.s3)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Making:
    """Makes empty stores of one kind."""
    count = iter(range(100))

    def make() -> Store:
        if request.param == "directory":
            made = DirectoryStore(str(tmp_path / f"tree{next(count)}"))
            made.create()
            return made
        if request.param == "server":
            bucket: Bucket = request.getfixturevalue("s3_server").make_bucket()
            return S3Store(bucket, "some/prefix")
        return MemoryStore(parallel=1 if request.param == "memory" else 8)

    return make
