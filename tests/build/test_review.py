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
from stillframe.layout import key_of_path
from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    encapsulated,
    image,
    jpeg,
    noise,
    to_bytes,
    without_pixels,
    write,
    write_series,
)
from tests.support.frame_encoders import jpeg_lossy
from tests.support.memory_store import MemoryStore
from tests.support.older_trees import make_digests_older, make_older
from tests.support.trees import PICTURED, NoProgress, build_tree, contents, document, objects

WINDOW = "00281050"
COUNTED_APART = 4
"""The first version in which pictures are counted apart."""
CUT_FRAMES_ARE_DAMAGE = 5
"""The first version in which frames that lack data are damage."""
BARE = BuildOptions(rendered=Rendered.DOCUMENTS, thumbnails=Thumbnails.NONE)


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


def dry_run(tree: Path, source: Path, options: BuildOptions | None = None) -> dict[str, int]:
    request = BuildRequest(sources=(str(source),), options=options or BuildOptions(), destination=str(tree))
    destination = Destination(DirectoryStore(str(tree)))
    _, forecast = forecast_build(request, destination, SerialExecutor(), NoProgress())
    return {name: count for name, count in forecast.as_json()["inputs"].items() if count}


def test_every_version_has_its_changes() -> None:
    assert set(CHANGES) == set(range(2, FORMAT_VERSION + 1))


def build_older(tree: Path, source: Path, version: int, options: BuildOptions = PICTURED, leave_out: str = "") -> None:
    build_tree(tree, source, options=options)
    make_older(tree, version, leave_out=leave_out)


@pytest.mark.parametrize("version", range(1, COUNTED_APART))
@pytest.mark.parametrize("before", [PICTURED, BARE])
@pytest.mark.parametrize("after", [BuildOptions(), PICTURED, BARE])
@pytest.mark.parametrize("make", [grey, colour, report])
def test_what_no_change_touches_gets_its_record_and_pictures_and_no_new_frame(
    tmp_path: Path, make: Any, version: int, before: BuildOptions, after: BuildOptions
) -> None:
    source, tree, fresh = make(tmp_path), tmp_path / "tree", tmp_path / "fresh"
    build_older(tree, source, version, before)
    build_tree(fresh, source, options=after)
    frames = {path: path.stat().st_mtime_ns for path in tree.rglob("frames/*")}
    assert dry_run(tree, source, after) == {"redraw": 1}
    assert build_tree(tree, source, options=after).outcomes == {Outcome.REDRAWN: 1}
    assert contents(tree) == contents(fresh)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("frames/*")} == frames
    assert build_tree(tree, source, options=after).outcomes == {Outcome.UNCHANGED: 1}


@pytest.mark.parametrize("make", [grey, colour, report])
def test_what_no_change_since_pictures_count_apart_touches_stays_as_it_is(tmp_path: Path, make: Any) -> None:
    source, tree = make(tmp_path), tmp_path / "tree"
    build_older(tree, source, COUNTED_APART)
    before = contents(tree)
    assert dry_run(tree, source, PICTURED) == {"unchanged": 1}
    assert build_tree(tree, source, options=PICTURED).outcomes == {Outcome.UNCHANGED: 1}
    assert contents(tree) == before
    assert build_tree(tree, source, options=BARE).outcomes == {Outcome.REDRAWN: 1}
    build_tree(tmp_path / "fresh", source, options=BARE)
    assert contents(tree) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("version", range(1, CUT_FRAMES_ARE_DAMAGE))
@pytest.mark.parametrize("make", [grey_jpeg, colour_jpeg])
def test_frames_of_image_formats_are_read_again(tmp_path: Path, make: Any, version: int) -> None:
    """Before, what they lacked was made up."""
    source, tree, fresh = make(tmp_path), tmp_path / "tree", tmp_path / "fresh"
    build_older(tree, source, version)
    build_tree(fresh, source, options=PICTURED)
    assert dry_run(tree, source, PICTURED) == {"rebuild": 1}
    assert build_tree(tree, source, options=PICTURED).outcomes == {Outcome.REBUILT: 1}
    assert contents(tree) == contents(fresh)
    assert build_tree(tree, source, options=PICTURED).outcomes == {Outcome.UNCHANGED: 1}


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION))
def test_values_that_were_published_otherwise_show_in_the_review(tmp_path: Path, version: int) -> None:
    source, tree, fresh = grey(tmp_path), tmp_path / "tree", tmp_path / "fresh"
    build_older(tree, source, version, leave_out=WINDOW)
    build_tree(fresh, source)
    assert build_tree(tree, source).outcomes == {Outcome.REBUILT: 1}
    assert contents(tree) == contents(fresh)


def write_damage(tree: Path) -> None:
    """Another last byte of a frame."""
    frame = next(path for path in sorted(tree.rglob("frames/1")) if "reduced" not in path.parts)
    frame.write_bytes(frame.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize("verify", [False, True])
def test_a_record_is_compared_by_the_digest_that_it_names(tmp_path: Path, verify: bool) -> None:
    source, tree, fresh = write_series(tmp_path / "in", 3), tmp_path / "tree", tmp_path / "fresh"
    build_tree(fresh, source, options=BARE)
    build_tree(tree, source, options=BARE)
    make_digests_older(tree, source)
    before = contents(tree)
    assert not any(b"blake3" in data for data in before.values())
    assert dry_run(tree, source, BARE) == {"unchanged": 3}
    assert build_tree(tree, source, options=BARE, verify_stored=verify).outcomes == {Outcome.UNCHANGED: 3}
    assert contents(tree) == before
    twice = write(tmp_path, "twice.dcm", image(1))
    twice.write_bytes((source / "001.dcm").read_bytes())
    assert build_tree(tree, source, twice, options=BARE).outcomes == {Outcome.UNCHANGED: 3, Outcome.DUPLICATE: 1}
    write_damage(tree)
    outcomes = build_tree(tree, source, options=BARE, verify_stored=verify).outcomes
    assert outcomes == ({Outcome.UNCHANGED: 2, Outcome.REBUILT: 1} if verify else {Outcome.UNCHANGED: 3})


def test_an_older_digest_tells_another_file_apart(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 2), tmp_path / "tree"
    build_tree(tree, source, options=BARE)
    make_digests_older(tree, source)
    write(source, "001.dcm", image(1, noise(99)))
    report = build_tree(tree, source, options=BARE)
    assert (report.outcomes, len(report.rejected)) == ({Outcome.UNCHANGED: 1}, 1)
    assert build_tree(tree, source, options=BARE, replace=True).outcomes == {
        Outcome.UNCHANGED: 1,
        Outcome.REPLACED: 1,
    }
    build_tree(tree, source, options=BuildOptions(rendered=Rendered.ALWAYS, thumbnails=Thumbnails.NONE))
    drawn = BuildOptions(rendered=Rendered.ALWAYS, thumbnails=Thumbnails.NONE)
    assert build_tree(tree, source, options=drawn, verify_stored=True).outcomes == {Outcome.UNCHANGED: 2}


def test_an_older_series_keeps_its_pictures_beside_new_instances(tmp_path: Path) -> None:
    """They join it, and the instances of before stay as they are until they are built."""
    source, more, tree = write_series(tmp_path / "in", 4), write_series(tmp_path / "more", 9), tmp_path / "tree"
    for number in range(1, 5):
        (more / f"{number:03}.dcm").unlink()
    build_older(tree, source, 3)
    before = contents(tree)
    assert build_tree(tree, more).outcomes == {Outcome.PUBLISHED: 5}
    after = contents(tree)
    of_instances = [path for path in before if "/instances/" in path.replace("instances/index.json", "")]
    assert {path: after.get(path) for path in of_instances} == {path: before[path] for path in of_instances}
    build_tree(tmp_path / "fresh", source, more)
    assert build_tree(tree, source).outcomes == {Outcome.REDRAWN: 4}
    assert contents(tree) == contents(tmp_path / "fresh")


def test_an_older_instance_that_is_damaged_is_built_again(tmp_path: Path) -> None:
    """At equal size, too: everything is read once, since its record counted pictures with the rest."""
    source, tree = grey(tmp_path), tmp_path / "tree"
    build_older(tree, source, 3)
    (frame,) = [path for path in tree.rglob("frames/1") if "reduced" not in path.parts]
    frame.write_bytes(frame.read_bytes()[:-1] + b"x")
    assert build_tree(tree, source).outcomes == {Outcome.REBUILT: 1}
    build_tree(tmp_path / "fresh", source)
    assert contents(tree) == contents(tmp_path / "fresh")


def test_what_a_change_touches_is_built_again_and_listed_as_changed(tmp_path: Path) -> None:
    source = colour_jpeg(tmp_path)
    build_older(tmp_path / "tree", source, 1)
    build_tree(tmp_path / "fresh", source)
    assert dry_run(tmp_path / "tree", source) == {"rebuild": 1}
    again = build_tree(tmp_path / "tree", source)
    assert again.outcomes == {Outcome.REBUILT: 1}
    assert [key.rpartition("/instances/")[2].partition("/")[2] for key in sorted(again.changed)] == [
        "frames/1",
        "rendered",
    ]
    assert contents(tmp_path / "tree") == contents(tmp_path / "fresh")
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}


def test_an_element_that_was_not_published_shows_in_the_review(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_older(tmp_path / "tree", source, 1, leave_out=WINDOW)
    build_tree(tmp_path / "fresh", source)
    assert dry_run(tmp_path / "tree", source) == {"rebuild": 1}
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}
    assert contents(tmp_path / "tree") == contents(tmp_path / "fresh")


def test_a_store_far_away_is_reviewed_like_a_folder(tmp_path: Path) -> None:
    store = MemoryStore(parallel=8)
    grey(tmp_path / "in")
    colour_jpeg(tmp_path / "in")
    build_older(tmp_path / "tree", tmp_path / "in", 1)
    build_tree(tmp_path / "fresh", tmp_path / "in")
    for path, data in contents(tmp_path / "tree").items():
        store.put(key_of_path(path), data)

    def outcomes() -> dict[Outcome, int]:
        request = BuildRequest(sources=(str(tmp_path / "in"),), options=BuildOptions())
        return build(request, store, SerialExecutor(), NoProgress()).outcomes

    assert outcomes() == {Outcome.REDRAWN: 1, Outcome.REBUILT: 1}
    assert objects(store) == {key_of_path(path): data for path, data in contents(tmp_path / "fresh").items()}
    assert outcomes() == {Outcome.UNCHANGED: 2}


def test_a_note_that_was_not_published_shows_in_the_review(tmp_path: Path) -> None:
    source = write(tmp_path, "image.dcm", without_pixels(1))
    build_older(tmp_path / "tree", source, 1, leave_out="00991003")
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}


def test_other_options_and_missing_objects_need_no_review(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_older(tmp_path / "tree", source, 1)
    next((tmp_path / "tree").rglob("frames/1")).unlink()
    assert build_tree(tmp_path / "tree", source, options=PICTURED).outcomes == {Outcome.REBUILT: 1}
    make_older(tmp_path / "tree", 1)
    again = build_tree(tmp_path / "tree", source, options=BuildOptions(reduced=()))
    assert again.outcomes == {Outcome.REBUILT: 1}


def test_what_a_newer_version_published_is_built_again(tmp_path: Path) -> None:
    source = grey(tmp_path)
    build_tree(tmp_path / "tree", source)
    expected = contents(tmp_path / "tree")
    for path in (tmp_path / "tree").rglob("metadata"):
        data = path.read_bytes()
        assert data.count(b"format=%d;" % FORMAT_VERSION) == 1
        path.write_bytes(data.replace(b"format=%d;" % FORMAT_VERSION, b"format=%d;" % (FORMAT_VERSION + 1)))
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REBUILT: 1}
    assert contents(tmp_path / "tree") == expected


def test_lists_of_an_older_version_are_made_anew(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    data = to_bytes(image(1, PatientName="X\\Second^Value"))
    assert data.count(b"X\\Second^Value") == 1
    (source / "1.dcm").write_bytes(data.replace(b"X\\Second^Value", b" \\Second^Value"))
    build_older(tmp_path / "tree", source, 1, BARE)
    expected = document(tmp_path / "tree", "studies/index.json")
    assert expected[0]["00100010"]["Value"] == [{"Alphabetic": "Second^Value"}]
    spoilt = [expected[0] | {"00100010": {"vr": "PN", "Value": [None, {"Alphabetic": "Second^Value"}]}}]
    (tmp_path / "tree/studies/index.json").write_text(json.dumps(spoilt))
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.REDRAWN: 1}
    assert document(tmp_path / "tree", "studies/index.json") == expected
