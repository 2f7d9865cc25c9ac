"""Archives of an older version of the format are built again: what a change touches, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillframe import FORMAT_VERSION
from stillframe.archive.format_changes import CHANGES
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import encapsulated, image, jpeg, noise, to_bytes, without_pixels, write
from tests.support.frame_encoders import jpeg_lossy
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, contents, document, objects

WINDOW = "00281050"


def grey(folder: Path) -> Path:
    return write(folder, "grey.dcm", image(1, WindowCenter="40", WindowWidth="400"))


def colour(folder: Path) -> Path:
    return write(folder, "colour.dcm", image(2, noise(2, (40, 48, 3), 8)))


def grey_jpeg(folder: Path) -> Path:
    pixels = noise(3, (40, 48), 8)
    return write(folder, "grey.jpg.dcm", encapsulated([jpeg_lossy(pixels, 8)], jpeg(50), number=3, pixels=pixels))


def colour_jpeg(folder: Path) -> Path:
    pixels = noise(4, (40, 48, 3), 8)
    dataset = encapsulated([jpeg_lossy(pixels, 8)], jpeg(50), number=4, pixels=pixels)
    dataset.PhotometricInterpretation = "YBR_FULL"
    return write(folder, "colour.jpg.dcm", dataset)


def report(folder: Path) -> Path:
    return write(folder, "report.dcm", without_pixels(5, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))


def written_by_version(tree: Path, version: int, leave_out: str = "") -> None:
    """Make the metadata those of another version of the format, which published no such element."""
    for path in tree.rglob("metadata"):
        datasets = json.loads(path.read_bytes().replace(b"format=%d;" % FORMAT_VERSION, b"format=%d;" % version))
        kept = [{tag: element for tag, element in item.items() if tag != leave_out} for item in datasets]
        path.write_bytes(json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode())


def dry_run(tree: Path, source: Path) -> dict[str, int]:
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), destination=str(tree))
    destination = Destination(DirectoryStore(str(tree)))
    _, forecast = forecast_build(request, destination, SerialExecutor(), NoProgress())
    return {name: count for name, count in forecast.as_json()["inputs"].items() if count}


def test_every_version_has_its_changes() -> None:
    assert set(CHANGES) == set(range(2, FORMAT_VERSION + 1))


@pytest.mark.parametrize("make", [grey, colour, grey_jpeg, report])
def test_what_no_change_touches_stays_as_it_is(tmp_path: Path, make: Any) -> None:
    source = make(tmp_path)
    build_tree(tmp_path / "tree", source)
    written_by_version(tmp_path / "tree", 1)
    before = contents(tmp_path / "tree")
    assert dry_run(tmp_path / "tree", source) == {"unchanged": 1}
    for _ in range(2):
        assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}
    assert contents(tmp_path / "tree") == before


def test_what_a_change_touches_is_built_again_and_listed_as_changed(tmp_path: Path) -> None:
    source = colour_jpeg(tmp_path)
    build_tree(tmp_path / "tree", source)
    expected = contents(tmp_path / "tree")
    written_by_version(tmp_path / "tree", 1)
    assert dry_run(tmp_path / "tree", source) == {"rebuild": 1}
    again = build_tree(tmp_path / "tree", source)
    assert again.outcomes == {Outcome.REBUILT: 1}
    assert [key.rpartition("/instances/")[2].partition("/")[2] for key in sorted(again.changed)] == [
        "frames/1",
        "rendered",
    ]
    assert contents(tmp_path / "tree") == expected
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}


def test_an_element_that_was_not_published_shows_in_the_review(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_tree(tmp_path / "tree", source)
    expected = contents(tmp_path / "tree")
    written_by_version(tmp_path / "tree", 1, leave_out=WINDOW)
    assert dry_run(tmp_path / "tree", source) == {"rebuild": 1}
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}
    assert contents(tmp_path / "tree") == expected


def test_a_store_far_away_is_reviewed_like_a_folder(tmp_path: Path) -> None:
    store = MemoryStore(parallel=8)
    grey(tmp_path / "in")
    colour_jpeg(tmp_path / "in")

    def outcomes() -> dict[Outcome, int]:
        request = BuildRequest(sources=(str(tmp_path / "in"),), options=BuildOptions())
        return build(request, store, SerialExecutor(), NoProgress()).outcomes

    assert outcomes() == {Outcome.PUBLISHED: 2}
    for key, data in objects(store).items():
        if key.endswith("/metadata"):
            store.put(key, data.replace(b"format=%d;" % FORMAT_VERSION, b"format=1;"))
    assert outcomes() == {Outcome.UNCHANGED: 1, Outcome.REBUILT: 1}
    assert outcomes() == {Outcome.UNCHANGED: 2}


def test_a_note_that_was_not_published_shows_in_the_review(tmp_path: Path) -> None:
    source = write(tmp_path, "image.dcm", without_pixels(1))
    build_tree(tmp_path / "tree", source)
    written_by_version(tmp_path / "tree", 1, leave_out="00991003")
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}


def test_other_options_and_missing_objects_need_no_review(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_tree(tmp_path / "tree", source)
    written_by_version(tmp_path / "tree", 1)
    next((tmp_path / "tree").rglob("frames/1")).unlink()
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}
    written_by_version(tmp_path / "tree", 1)
    again = build_tree(tmp_path / "tree", source, options=BuildOptions(reduced=()))
    assert again.outcomes == {Outcome.REBUILT: 1}


def test_what_a_newer_version_published_is_built_again(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_tree(tmp_path / "tree", source)
    expected = contents(tmp_path / "tree")
    written_by_version(tmp_path / "tree", FORMAT_VERSION + 1)
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}
    assert contents(tmp_path / "tree") == expected


def test_lists_of_an_older_version_are_made_anew(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    data = to_bytes(image(1, PatientName="X\\Second^Value"))
    assert data.count(b"X\\Second^Value") == 1
    (source / "1.dcm").write_bytes(data.replace(b"X\\Second^Value", b" \\Second^Value"))
    build_tree(tmp_path / "tree", source)
    expected = document(tmp_path / "tree", "studies/index.json")
    assert expected[0]["00100010"]["Value"] == [{"Alphabetic": "Second^Value"}]
    written_by_version(tmp_path / "tree", 1)
    spoilt = [expected[0] | {"00100010": {"vr": "PN", "Value": [None, {"Alphabetic": "Second^Value"}]}}]
    (tmp_path / "tree/studies/index.json").write_text(json.dumps(spoilt))
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}
    assert document(tmp_path / "tree", "studies/index.json") == expected
