"""DICOMDIR files: lists of instances, and of what may be missing."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from stillframe.build.report import Report
from stillframe.build.results import Outcome
from stillframe.source.scan import A_DICOMDIR
from tests.support.dicom_files import image, noise, write
from tests.support.trees import build_tree


def write_dicomdir(path: Path, names: list[list[str]]) -> None:
    """A DICOMDIR with a record for a patient and one for each file (PS3.3 F.3)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MediaStorageDirectoryStorage, UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    records = [Dataset()]
    records[0].DirectoryRecordType, records[0].PatientID = "PATIENT", "P1"
    for name in names:
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", name
        records.append(record)
    directory = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))  # type: ignore[arg-type]  # no file yet
    directory.FileSetID = ""
    directory.DirectoryRecordSequence = Sequence(records)
    directory.save_as(path, enforce_file_format=True)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A file-set of 6 images with a DICOMDIR, as on a disc."""
    names = [["PT000", f"ST{number // 3:03}", f"IM{number:03}"] for number in range(6)]
    for number, name in enumerate(names, 1):
        write(tmp_path, "/".join(["media", *name]), image(number, noise(number, (16, 16))))
    write_dicomdir(tmp_path / "media" / "DICOMDIR", names)
    return tmp_path / "media"


def told(report: Report) -> list[tuple[str, str, bool]]:
    return [(Path(item.path).name, item.reason, item.noteworthy) for item in report.skipped]


def instances(media: Path) -> list[Path]:
    return sorted(path for path in media.rglob("*") if path.is_file() and path.name != "DICOMDIR")


def test_a_complete_file_set_is_its_instances(tmp_path: Path, media: Path) -> None:
    assert len(instances(media)) == 6
    report = build_tree(tmp_path / "tree", media)
    assert report.outcomes == {Outcome.PUBLISHED: 6}
    assert told(report) == [("DICOMDIR", A_DICOMDIR, False)]


def test_files_that_are_missing_are_counted(tmp_path: Path, media: Path) -> None:
    for path in instances(media)[:2]:
        path.unlink()
    report = build_tree(tmp_path / "tree", media)
    assert report.outcomes == {Outcome.PUBLISHED: 4}
    assert report.exit_code == 0
    reason = f"{A_DICOMDIR}; 2 of the 6 files it names are not among the sources"
    assert told(report) == [("DICOMDIR", reason, True)]


def test_names_differ_in_case_and_files_may_be_links(tmp_path: Path, media: Path) -> None:
    first, second, *_ = instances(media)
    shutil.move(first, first.with_name(first.name.lower()))
    second.unlink()
    second.symlink_to(instances(media)[-1])
    report = build_tree(tmp_path / "tree", media)
    assert [text for name, text, _ in told(report) if name == "DICOMDIR"] == [A_DICOMDIR]


@pytest.mark.parametrize("folder", ["", "disc 1/"])
@pytest.mark.parametrize("missing", [0, 1])
def test_in_an_archive(tmp_path: Path, media: Path, folder: str, missing: int) -> None:
    for path in instances(media)[:missing]:
        path.unlink()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in [*instances(media), media / "DICOMDIR"]:
            archive.write(path, folder + str(path.relative_to(media)))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as outer:
        outer.write(tmp_path / "a.zip", "inner.zip")
    for name in ("a.zip", "b.zip"):
        report = build_tree(tmp_path / name[0], tmp_path / name)
        assert report.outcomes == {Outcome.PUBLISHED: 6 - missing}
        ((_, reason, noteworthy),) = told(report)
        assert noteworthy == bool(missing)
        assert reason.startswith(A_DICOMDIR)
        assert ("1 of the 6 files" in reason) == bool(missing)


def test_a_damaged_dicomdir_is_one_all_the_same(tmp_path: Path, media: Path) -> None:
    data = (media / "DICOMDIR").read_bytes()
    place = data.index(b"\x04\0\x20\x12SQ") + 40
    (tmp_path / "DICOMDIR").write_bytes(data[:place] + bytes(8) + data[place + 8 :])
    report = build_tree(tmp_path / "tree", media / "PT000", tmp_path / "DICOMDIR")
    assert report.outcomes == {Outcome.PUBLISHED: 6}
    assert [item.reason for item in report.rejected] == [A_DICOMDIR]  # named by itself, it cannot be published
