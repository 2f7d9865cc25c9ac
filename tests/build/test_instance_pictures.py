"""Thumbnails and rendered objects in built trees."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import RTDoseStorage, SegmentationStorage

from stillframe.archive.representative import series_candidates, study_candidates
from stillframe.build.results import Outcome
from stillframe.options import BuildOptions, Rendered, Thumbnails
from tests.support.dicom_files import (
    ROOT,
    SERIES,
    STUDY,
    encapsulated,
    image,
    instance_uid,
    noise,
    pdf,
    without_pixels,
    write,
    write_series,
)
from tests.support.trees import PICTURED, build_tree, contents, document

SERIES_PATH = f"studies/{STUDY}/series/{SERIES}"
OTHER = f"{ROOT}.1.2"


def instance_path(number: int, series: str = SERIES) -> str:
    return f"studies/{STUDY}/series/{series}/instances/{instance_uid(number, series)}"


def test_a_thumbnail_and_a_rendered_image_show_the_middle_frame_in_its_window(tmp_path: Path) -> None:
    frames = np.stack([np.full((40, 60), value, "u2") for value in (0, 1000, 2000, 3000)])
    source = write(tmp_path, "1.dcm", image(1, frames, WindowCenter="2000", WindowWidth="2001"))
    build_tree(tmp_path / "tree", source, options=PICTURED)
    for leaf in ("thumbnail", "rendered"):
        picture = Image.open(tmp_path / "tree" / instance_path(1) / leaf)
        assert (picture.format, picture.size) == ("JPEG", (60, 40))
        assert set(np.asarray(picture).flat) == {128}  # (2000 - 999.5) / 2000 of 255


def test_a_series_and_its_study_have_the_thumbnail_of_the_middle_image(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(tree, write_series(tmp_path / "in", 5))
    made = contents(tree)
    middle = made[f"{instance_path(3)}/thumbnail"]
    assert made[f"{SERIES_PATH}/thumbnail"] == made[f"studies/{STUDY}/thumbnail"] == middle
    build_tree(tree, write(tmp_path, "more/6.dcm", image(6)), write(tmp_path, "more/7.dcm", image(7)))
    made = contents(tree)
    assert made[f"{SERIES_PATH}/thumbnail"] == made[f"{instance_path(4)}/thumbnail"] != middle
    build_tree(tree, write(tmp_path, "other/4.dcm", image(4, noise(99))), replace=True)
    replaced = contents(tree)
    assert replaced[f"{SERIES_PATH}/thumbnail"] == replaced[f"{instance_path(4)}/thumbnail"]
    assert (
        replaced[f"{SERIES_PATH}/thumbnail"]
        == replaced[f"studies/{STUDY}/thumbnail"]
        != made[f"{SERIES_PATH}/thumbnail"]
    )


def rendered(tree: Path, number: int = 1) -> Any:
    return np.asarray(Image.open(tree / instance_path(number) / "rendered"), "i4")


def test_samples_without_bits_stored_are_shown_in_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 60000, 96 * 80).reshape(96, 80).astype("u2")
    dataset = image(1, ramp, BitsAllocated=16)
    del dataset.BitsStored, dataset.HighBit
    colour = image(2, np.stack([ramp] * 3, axis=-1), BitsAllocated=16)
    del colour.BitsStored, colour.HighBit
    sources = write(tmp_path, "1.dcm", dataset), write(tmp_path, "2.dcm", colour)
    report = build_tree(tmp_path / "tree", *sources, options=PICTURED)
    assert report.exit_code == 0
    assert np.abs(rendered(tmp_path / "tree") - np.rint(ramp / 60000 * 255)).max() <= 3
    assert np.abs(rendered(tmp_path / "tree", 2) - (ramp >> 8)[..., None]).max() <= 4


def test_floating_point_samples_without_a_window_are_shown_from_least_to_greatest(tmp_path: Path) -> None:
    ramp = np.linspace(1000, 2000, 96 * 80).reshape(96, 80).astype("<f4")
    dataset = image(1)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated, dataset.FloatPixelData = 32, ramp.tobytes()
    assert build_tree(tmp_path / "tree", write(tmp_path, "1.dcm", dataset), options=PICTURED).exit_code == 0
    assert np.abs(rendered(tmp_path / "tree") - np.rint((ramp - 1000) / 1000 * 255)).max() <= 3


def test_images_that_nothing_decodes_leave_the_study_its_thumbnail(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 3)
    opaque = encapsulated([b"abcd"] * 5, f"{ROOT}.99", pixels=np.zeros((5, 8, 8), "u2"), number=9)
    opaque.SeriesInstanceUID, opaque.SOPInstanceUID = OTHER, instance_uid(9, OTHER)
    write(tmp_path, "in/opaque.dcm", opaque)
    assert build_tree(tmp_path / "tree", tmp_path / "in").exit_code == 0
    made = contents(tmp_path / "tree")
    assert made[f"studies/{STUDY}/thumbnail"] == made[f"{instance_path(2)}/thumbnail"]


def test_objects_without_an_image_do_not_stand_for_a_series(tmp_path: Path) -> None:
    for number in range(1, 8):
        write(tmp_path, f"in/{number}.dcm", image(number) if number > 4 else without_pixels(number))
    build_tree(tmp_path / "tree", tmp_path / "in", options=BuildOptions(thumbnails=Thumbnails.INSTANCES))
    made = contents(tmp_path / "tree")
    assert made[f"{SERIES_PATH}/thumbnail"] == made[f"{instance_path(6)}/thumbnail"]
    assert [path for path in made if path.endswith("/thumbnail") and "instances" in path] == [
        f"{instance_path(number)}/thumbnail" for number in (5, 6, 7)
    ]


def test_thumbnails_go_when_the_last_image_is_replaced_by_an_object_without_one(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(tree, write(tmp_path, "image.dcm", image(1)))
    newcomer = write(tmp_path, "report.dcm", without_pixels(1))
    assert build_tree(tree, newcomer, replace=True).outcomes == {Outcome.REPLACED: 1}
    build_tree(tmp_path / "fresh", newcomer)
    assert contents(tree) == contents(tmp_path / "fresh")
    assert not [path for path in contents(tree) if "thumbnail" in path]


def test_the_series_with_most_frames_stands_for_the_study_unless_it_lies_over_others(tmp_path: Path) -> None:
    labels = np.stack([noise(number, bits=8) for number in range(9)])
    write(tmp_path, "in/seg.dcm", image(1, labels, SeriesInstanceUID=f"{ROOT}.1.9", SOPClassUID=SegmentationStorage))
    write(tmp_path, "in/dose.dcm", image(1, labels, SeriesInstanceUID=f"{ROOT}.1.8", SOPClassUID=RTDoseStorage))
    write(tmp_path, "in/scout.dcm", image(1, SeriesInstanceUID=OTHER, SeriesNumber=1))
    write_series(tmp_path / "in" / "volume", 3)
    build_tree(tmp_path / "tree", tmp_path / "in")
    made = contents(tmp_path / "tree")
    assert made[f"studies/{STUDY}/thumbnail"] == made[f"{instance_path(2)}/thumbnail"]
    build_tree(tmp_path / "alone", tmp_path / "in" / "seg.dcm")
    assert f"studies/{STUDY}/thumbnail" in contents(tmp_path / "alone")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_thirds_of_a_study_give_the_tree_of_one_build_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    files = sorted(write_series(tmp_path / "in", 9).iterdir())
    files += [write(tmp_path, f"in/o{number}.dcm", image(number, SeriesInstanceUID=OTHER)) for number in range(1, 8)]
    files += [write(tmp_path, "in/report.dcm", without_pixels(20))]
    build_tree(tmp_path / "whole", tmp_path / "in")
    for third in order:
        build_tree(tmp_path / "thirds", *files[third::3])
    assert contents(tmp_path / "thirds") == contents(tmp_path / "whole")


def test_candidates_come_from_the_middle_outwards(tmp_path: Path) -> None:
    build_tree(tmp_path / "tree", write_series(tmp_path / "in", 4))
    metadata = document(tmp_path / "tree", f"{SERIES_PATH}/metadata")
    assert [item["00200013"]["Value"][0] for item in series_candidates(metadata)] == [3, 2, 4, 1]
    assert study_candidates(metadata) == series_candidates(metadata)
    assert series_candidates([]) == study_candidates([]) == []


def pictures(tree: Path) -> set[str]:
    """The pictures of a tree, by their paths."""
    return {path for path in contents(tree) if Path(path).name in ("thumbnail", "rendered")}


OF_LISTS = {f"{SERIES_PATH}/thumbnail", f"studies/{STUDY}/thumbnail"}
CHOICES = {
    "lean": (BuildOptions(), OF_LISTS | {f"{instance_path(3)}/thumbnail"}),
    "no rendered": (BuildOptions(rendered=Rendered.NEVER), OF_LISTS | {f"{instance_path(3)}/thumbnail"}),
    "all thumbnails": (
        BuildOptions(thumbnails=Thumbnails.INSTANCES),
        OF_LISTS | {f"{instance_path(number)}/thumbnail" for number in range(1, 5)},
    ),
    "no thumbnails": (
        BuildOptions(rendered=Rendered.ALWAYS, thumbnails=Thumbnails.NONE),
        {f"{instance_path(number)}/rendered" for number in range(1, 5)},
    ),
    "everything": (
        PICTURED,
        OF_LISTS | {f"{instance_path(number)}/{leaf}" for number in range(1, 5) for leaf in ("rendered", "thumbnail")},
    ),
    "nothing": (BuildOptions(rendered=Rendered.NEVER, thumbnails=Thumbnails.NONE), set()),
}


@pytest.mark.parametrize("before", CHOICES)
@pytest.mark.parametrize("after", CHOICES)
def test_other_pictures_are_drawn_from_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """The tree is that of a new build; no frame is encoded for it."""
    source = write_series(tmp_path / "in", 4)
    tree, fresh = tmp_path / "tree", tmp_path / "fresh"
    build_tree(tree, source, options=CHOICES[before][0])
    assert pictures(tree) == CHOICES[before][1]
    build_tree(fresh, source, options=CHOICES[after][0])
    frames = {path: path.stat().st_mtime_ns for path in tree.rglob("frames/*")}
    monkeypatch.setattr("stillframe.codec.htj2k.encode_frame", lambda *_: pytest.fail("a frame was encoded"))
    report = build_tree(tree, source, options=CHOICES[after][0])
    assert report.outcomes == {Outcome.UNCHANGED if before == after else Outcome.REDRAWN: 4}
    assert contents(tree) == contents(fresh)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("frames/*")} == frames
    assert build_tree(tree, source, options=CHOICES[after][0]).outcomes == {Outcome.UNCHANGED: 4}


@pytest.mark.parametrize(
    "document", [b"%PDF-1.7\n%%EOF", b"%PDF-1.7\n%%EOF\n", b"\n%PDF-1.7 " + bytes(3000) + b"%%EOF"]
)
def test_the_document_of_an_encapsulated_pdf_is_published_as_it_is(tmp_path: Path, document: bytes) -> None:
    source = write(tmp_path, "doc.dcm", pdf(document))
    build_tree(tmp_path / "tree", source, options=BuildOptions(rendered=Rendered.DOCUMENTS))
    folder = tmp_path / "tree" / instance_path(1)
    assert (folder / "rendered").read_bytes() == document
    assert (folder / "index.dcm").read_bytes() == source.read_bytes()
    build_tree(tmp_path / "none", source, options=BuildOptions(rendered=Rendered.NEVER))
    assert not (tmp_path / "none" / instance_path(1) / "rendered").exists()


@pytest.mark.parametrize("document", [b"MZ a program", b"\xff\xd8\xff\xe0 a picture"])
def test_a_document_that_is_no_pdf_is_not_published_as_one(tmp_path: Path, document: bytes) -> None:
    report = build_tree(tmp_path / "tree", write(tmp_path, "doc.dcm", pdf(document)))
    assert not (tmp_path / "tree" / instance_path(1) / "rendered").exists()
    assert report.noted[0].notes[0].startswith("no document under rendered: ")


def test_stale_pictures_of_other_sizes_are_replaced(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(tree, write(tmp_path, "a.dcm", image(1, noise(1, (64, 64)))))
    build_tree(tree, write(tmp_path, "b.dcm", image(1, noise(2, (80, 32)))), replace=True)
    for path in (f"{instance_path(1)}/thumbnail", f"{SERIES_PATH}/thumbnail", f"studies/{STUDY}/thumbnail"):
        assert Image.open(BytesIO((tree / path).read_bytes())).size == (32, 80)
