"""Data sets whose UIDs are none are published under UIDs that follow from them, references and whole objects alike."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.dicom.assigned_uids import assigned_uid
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.options import BuildOptions, Part10
from stillframe.store.directory import DirectoryStore
from tests.support import dicom_objects
from tests.support.command import run
from tests.support.dicom_files import STUDY, image, noise, without_pixels, write, write_series
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, contents, document, objects

# The tests make what is no UID with pydicom, which tells of it.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")

ASSIGN = BuildOptions(assign_uids=True)
NAMED: dict[str, Any] = {
    "StudyInstanceUID": "case_17",
    "SeriesInstanceUID": "case_17-a",
    "FrameOfReferenceUID": "case_17/frame",
}
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


def archive_of_names(folder: Path) -> Path:
    """Two images, and a report and a segmentation that refer to them, none of which has a UID."""
    for number in (1, 2):
        write(folder, f"{number}.dcm", image(number, SOPInstanceUID=f"image {number}", **NAMED))
    reference, series, study = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "image 1"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = NAMED["SeriesInstanceUID"], [reference]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = NAMED["StudyInstanceUID"], [series]
    report = without_pixels(3, SOPClassUID=REPORT, Modality="SR", **NAMED | {"SeriesInstanceUID": "reports"})
    report.SOPInstanceUID, report.CurrentRequestedProcedureEvidenceSequence = "report 1", [study]
    write(folder, "report.dcm", report)
    mask = np.zeros((2, 96, 80), bool)
    mask[1, 10:50, 10:40] = True
    segmentation = dicom_objects.segmentation("BINARY", mask)
    segmentation.StudyInstanceUID, segmentation.SeriesInstanceUID = NAMED["StudyInstanceUID"], "segmentations"
    segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID = NAMED["SeriesInstanceUID"]
    segmentation.FrameOfReferenceUID, segmentation.SOPInstanceUID = NAMED["FrameOfReferenceUID"], "seg 1"
    write(folder, "segmentation.dcm", segmentation)
    return folder


def instance_folder(tree: Path, name: str) -> Path:
    (found,) = tree.glob(f"studies/*/series/*/instances/{assigned_uid(name)}")
    return found


def metadata_of(tree: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((instance_folder(tree, name) / "metadata").read_bytes())[0]
    return found


def test_a_study_without_a_uid_is_published_under_others(tmp_path: Path) -> None:
    source, tree = archive_of_names(tmp_path / "in"), tmp_path / "tree"
    refused = build_tree(tmp_path / "none", source).rejected
    reason = "StudyInstanceUID is not a UID: 'case_17' (--assign-uids publishes it)"
    assert [rejected.reason for rejected in refused] == [reason] * 4
    report = build_tree(tree, source, options=ASSIGN)
    assert (report.exit_code, report.outcomes) == (0, {Outcome.PUBLISHED: 4})
    (study,) = document(tree, "studies/index.json")
    assert study["0020000D"]["Value"] == [assigned_uid("case_17")]
    assert study["00201206"]["Value"] == [3]
    notes = [note for built in report.noted for note in built.notes]
    assert f"'image 1' is not a valid UID; it is published as {assigned_uid('image 1')}" in notes

    frame = assigned_uid("case_17/frame")
    for name in ("image 1", "image 2", "seg 1"):
        assert metadata_of(tree, name)["00200052"]["Value"] == [frame]
    (evidence,) = metadata_of(tree, "report 1")["0040A375"]["Value"]
    assert evidence["0020000D"]["Value"] == [assigned_uid("case_17")]
    (series,) = evidence["00081115"]["Value"]
    assert series["0020000E"]["Value"] == [assigned_uid("case_17-a")]
    assert series["00081199"]["Value"][0]["00081155"]["Value"] == [assigned_uid("image 1")]
    (referenced,) = metadata_of(tree, "seg 1")["00081115"]["Value"]
    assert referenced["0020000E"]["Value"] == [assigned_uid("case_17-a")]


def test_the_whole_object_says_what_the_metadata_say(tmp_path: Path) -> None:
    source, tree = archive_of_names(tmp_path / "in"), tmp_path / "tree"
    build_tree(tree, source, options=ASSIGN)
    for name in ("report 1", "seg 1"):
        whole = dcmread(instance_folder(tree, name) / "index.dcm")
        assert whole.SOPInstanceUID == whole.file_meta.MediaStorageSOPInstanceUID == assigned_uid(name)
        assert whole.StudyInstanceUID == assigned_uid("case_17")
    assert np.array_equal(
        dcmread(instance_folder(tree, "seg 1") / "index.dcm").pixel_array,
        dcmread(source / "segmentation.dcm").pixel_array,
    )
    evidence = dcmread(instance_folder(tree, "report 1") / "index.dcm").CurrentRequestedProcedureEvidenceSequence[0]
    reference = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == assigned_uid("image 1")
    # What is published of it is what would be published of the whole object itself.
    again = build_tree(tmp_path / "again", instance_folder(tree, "report 1") / "index.dcm")
    assert again.exit_code == 0
    without_record = {tag: element for tag, element in metadata_of(tree, "report 1").items() if tag[:4] != "0099"}
    (published,) = (tmp_path / "again").glob("studies/*/series/*/instances/*/metadata")
    assert {tag: e for tag, e in json.loads(published.read_bytes())[0].items() if tag[:4] != "0099"} == without_record


@pytest.mark.parametrize("name", ["encapsulated", "deflated", "big endian"])
def test_the_whole_object_of_an_image_keeps_its_pixels(tmp_path: Path, pydicom_files: list[Path], name: str) -> None:
    sample = {
        "encapsulated": "JPEG-LL.dcm",
        "deflated": "image_dfl.dcm",
        "big endian": "MR_small_bigendian.dcm",
    }[name]
    path = next(path for path in pydicom_files if path.name == sample)
    dataset = dcmread(path)
    uid = str(dataset.StudyInstanceUID)
    data = path.read_bytes()
    if name == "deflated":
        dataset.StudyInstanceUID = "s" * len(uid)
        dataset.save_as(tmp_path / "in.dcm")
    else:
        assert uid.encode() in data
        (tmp_path / "in.dcm").write_bytes(data.replace(uid.encode(), b"s" * len(uid)))
    options = BuildOptions(assign_uids=True, part10=Part10.ALWAYS)
    assert build_tree(tmp_path / "tree", tmp_path / "in.dcm", options=options).exit_code == 0
    (whole,) = (tmp_path / "tree").rglob("index.dcm")
    after = dcmread(whole)
    assert after.StudyInstanceUID == assigned_uid("s" * len(uid))
    assert np.array_equal(after.pixel_array, dcmread(path).pixel_array)


def request_of(source: Path, **others: Any) -> BuildRequest:
    return BuildRequest(sources=(str(source),), options=ASSIGN, **others)


def test_every_job_makes_the_same_of_it(tmp_path: Path) -> None:
    """In one process and in several, whole or in halves, into a folder and into a store far away."""
    source = archive_of_names(tmp_path / "in")
    build_tree(tmp_path / "one", source, options=ASSIGN)
    expected = contents(tmp_path / "one")
    with ProcessExecutor(2) as executor:
        build_tree(tmp_path / "two", source, options=ASSIGN, executor=executor)
    assert contents(tmp_path / "two") == expected
    for part in ("segmentation.dcm", "1.dcm", "report.dcm", "2.dcm"):
        build_tree(tmp_path / "parts", source / part, options=ASSIGN)
    assert contents(tmp_path / "parts") == expected
    store = MemoryStore(parallel=8)
    assert build(request_of(source), store, SerialExecutor(), NoProgress()).exit_code == 0
    local = objects(DirectoryStore(str(tmp_path / "one")))
    assert objects(store) == local


def test_building_again_finds_it_unchanged_and_a_dry_run_foretells_both(tmp_path: Path) -> None:
    source, tree = archive_of_names(tmp_path / "in"), tmp_path / "tree"
    destination = Destination(DirectoryStore(str(tree)))

    def foretold() -> dict[str, int]:
        _, forecast = forecast_build(request_of(source), destination, SerialExecutor(), NoProgress())
        return {name: count for name, count in forecast.as_json()["inputs"].items() if count}

    assert foretold() == {"publish": 4}
    build_tree(tree, source, options=ASSIGN)
    before = contents(tree)
    assert foretold() == {"unchanged": 4}
    assert build_tree(tree, source, options=ASSIGN).outcomes == {Outcome.UNCHANGED: 4}
    assert contents(tree) == before


def test_the_option_changes_nothing_of_what_has_uids(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 2), tmp_path / "tree"
    write(source, "3.dcm", image(3, FrameOfReferenceUID="no frame"))
    build_tree(tree, source)
    assert build_tree(tree, source, options=ASSIGN).outcomes == {Outcome.UNCHANGED: 2, Outcome.REBUILT: 1}
    assert build_tree(tree, source, options=ASSIGN).outcomes == {Outcome.UNCHANGED: 3}
    (study,) = document(tree, "studies/index.json")
    assert study["0020000D"]["Value"] == [STUDY]


def test_instances_without_a_uid_follow_from_their_files(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"in/{number}.dcm", image(number, noise(number), SOPInstanceUID=None))
    (tmp_path / "in/copy.dcm").write_bytes((tmp_path / "in/1.dcm").read_bytes())
    tree = tmp_path / "tree"
    report = build_tree(tree, tmp_path / "in", options=ASSIGN)
    assert report.outcomes == {Outcome.PUBLISHED: 2, Outcome.DUPLICATE: 1}
    for path in tree.glob("studies/*/series/*/instances/*/metadata"):
        assert json.loads(path.read_bytes())[0]["00080018"]["Value"] == [path.parent.name]
    assert build_tree(tree, tmp_path / "in", options=ASSIGN).outcomes == {Outcome.UNCHANGED: 2, Outcome.DUPLICATE: 1}


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_missing_study_or_series_is_still_rejected(tmp_path: Path, keyword: str) -> None:
    write(tmp_path, "in/1.dcm", image(1, **{keyword: None}))
    for options in (ASSIGN, BuildOptions()):
        report: Report = build_tree(tmp_path / "tree", tmp_path / "in", options=options)
        assert [rejected.reason for rejected in report.rejected] == [f"{keyword} is missing or empty"]


def test_the_command_takes_the_option(tmp_path: Path) -> None:
    source = archive_of_names(tmp_path / "in")
    done = run("build", str(source), str(tmp_path / "tree"), "--workers", "0", "--assign-uids")
    assert done.returncode == 0, done.stderr
    whole = (instance_folder(tmp_path / "tree", "report 1") / "index.dcm").read_bytes()
    assert dcmread(BytesIO(whole)).SOPInstanceUID == assigned_uid("report 1")
