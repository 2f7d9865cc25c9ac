"""Power cuts and damaged disks: a rerun makes good what a power cut took, and finds damage where it is asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import SerialExecutor
from stillframe.layout import Key, Kind
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.command import run
from tests.support.dicom_files import ROOT, image, noise, write, write_series
from tests.support.moments import EVERY, moments
from tests.support.power_cut import PoweredStore
from tests.support.trees import PICTURED, NoProgress, contents, objects


def publish(source: Path, store: Store, *, options: BuildOptions | None = None, **changes: bool) -> Report:
    request = BuildRequest(sources=(str(source),), options=options or BuildOptions(), lease=0.02, **changes)  # type: ignore[arg-type]
    return build(request, store, SerialExecutor(), NoProgress())


def write_inputs(folder: Path, seed: int = 0) -> Path:
    """Two series of a study, one with bulk data and frames of equal size whatever they show."""
    for number in (1, 2):
        write(folder, f"{number}.dcm", image(number, noise(number + seed, (12, 10))))
    native = image(9, noise(9 + seed, (3, 12, 10)).astype("u4"), SeriesInstanceUID=f"{ROOT}.1.2", SeriesNumber=2)
    native.add_new(0x00091010, "OB", bytes([seed]) * 3000)
    native.add_new(0x00090010, "LO", "TESTS")
    write(folder, "native.dcm", native)
    return folder


LOST: dict[str, Callable[[Key], bool]] = {
    "all": lambda key: True,
    "all but metadata and lists": lambda key: bool(key.instance) and key.kind is not Kind.METADATA,
    "all but lists": lambda key: bool(key.instance),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["empty", "zeros", "as before"])
@pytest.mark.parametrize(
    ("lost", "replaces"), [*((lost, False) for lost in LOST), ("all but metadata and lists", True)]
)
def test_whatever_a_power_cut_takes_a_rerun_makes_good(tmp_path: Path, how: str, lost: str, replaces: bool) -> None:
    source = write_inputs(tmp_path / "in")
    clean = DirectoryStore(str(tmp_path / "clean"))
    publish(source, clean)
    before = write_inputs(tmp_path / "before", 50)

    def start(name: str, moment: int) -> PoweredStore:
        if replaces:
            publish(before, DirectoryStore(str(tmp_path / name)))
        return PoweredStore(str(tmp_path / name), moment)

    whole = start("whole", sys.maxsize)
    assert publish(source, whole, replace=True).exit_code == 0
    assert whole.unsynced == {}
    assert objects(whole) == objects(clean)
    for moment in moments(whole.writes)[1 :: 1 if EVERY else 2]:
        store = start(f"{moment}", moment)
        publish(source, store, replace=True)
        store.lose(how, LOST[lost])
        again = DirectoryStore(store.root)
        assert publish(source, again, replace=True).exit_code == 0
        assert objects(again) == objects(clean), f"cut behind {whole.writes[moment - 1]}"


DAMAGED_PICTURES = "the pictures that are stored differ from those that were published; they were drawn anew"
DAMAGED = "what is stored differs from what was published; it was built anew"


def damage(tree: Path, ending: str) -> Path:
    """Change one byte of the first file of a tree whose path ends so; its size stays."""
    path = next(path for path in sorted(tree.rglob("*")) if path.is_file() and str(path).endswith(ending))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", ["rendered", "thumbnail"])
def test_damage_of_a_picture_at_equal_size_is_found_where_it_is_looked_for(tmp_path: Path, ending: str) -> None:
    source = write_inputs(tmp_path / "in")
    tree = tmp_path / "tree"
    publish(source, DirectoryStore(str(tree)), options=PICTURED)
    expected = contents(tree)
    damage(tree / "studies" / f"{ROOT}.1" / "series" / f"{ROOT}.1.1" / "instances", ending)
    publish(source, DirectoryStore(str(tree)), options=PICTURED)
    assert contents(tree) != expected
    report = publish(source, DirectoryStore(str(tree)), verify_stored=True, options=PICTURED)
    assert report.outcomes == {Outcome.UNCHANGED: 2, Outcome.REDRAWN: 1}
    assert [item.notes[-1] for item in report.noted] == [DAMAGED_PICTURES]
    assert contents(tree) == expected


def test_damaged_thumbnails_that_belong_to_lists_are_drawn_again_by_the_next_build(tmp_path: Path) -> None:
    source = write_inputs(tmp_path / "in")
    tree = tmp_path / "tree"
    publish(source, DirectoryStore(str(tree)))
    expected = contents(tree)
    thumbnails = [path for path in expected if path.endswith("/thumbnail")]
    assert len(thumbnails) == 5  # of the study, of two series, of an instance of each
    for path in thumbnails:
        for spoiled in (expected[path][:-3] + b"\0" + expected[path][-2:], expected[path][:-9], b""):
            assert spoiled != expected[path]
            (tree / path).write_bytes(spoiled)
            assert publish(source, DirectoryStore(str(tree))).outcomes == {Outcome.UNCHANGED: 3}
            assert contents(tree) == expected


@pytest.mark.parametrize("ending", ["frames/1", "reduced/2/frames/1", "bulkdata/00091010"])
def test_damage_at_equal_size_is_found_where_it_is_looked_for(tmp_path: Path, ending: str) -> None:
    source = write_inputs(tmp_path / "in")
    tree = tmp_path / "tree"
    publish(source, DirectoryStore(str(tree)))
    expected = contents(tree)
    damage(tree / "studies" / f"{ROOT}.1" / "series", ending)
    assert publish(source, DirectoryStore(str(tree))).outcomes == {Outcome.UNCHANGED: 3}
    assert contents(tree) != expected
    report = publish(source, DirectoryStore(str(tree)), verify_stored=True)
    assert report.outcomes == {Outcome.UNCHANGED: 2, Outcome.REBUILT: 1}
    assert [item.notes[-1] for item in report.noted] == [DAMAGED]
    assert contents(tree) == expected
    assert publish(source, DirectoryStore(str(tree)), verify_stored=True).outcomes == {Outcome.UNCHANGED: 3}


def test_metadata_that_say_something_else_are_found(tmp_path: Path) -> None:
    source, tree = write_inputs(tmp_path / "in"), tmp_path / "tree"
    publish(source, DirectoryStore(str(tree)))
    expected = contents(tree)
    path = next(path for path in expected if "/instances/" in path and path.endswith("/metadata"))
    (tree / path).write_bytes(expected[path].replace(b"MONOCHROME2", b"MONOCHROME1"))
    assert contents(tree) != expected
    assert publish(source, DirectoryStore(str(tree)), verify_stored=True).outcomes[Outcome.REBUILT] == 1
    assert contents(tree) == expected


def test_damage_in_a_bucket_is_found(bucket: Bucket, tmp_path: Path) -> None:
    source, store = write_series(tmp_path / "in", 2), S3Store(bucket, "archive")
    publish(source, store)
    expected = objects(store)
    key = next(key for key in expected if key.endswith("/frames/1"))
    bucket.client.put_object(Bucket=bucket.name, Key=f"archive/{key}", Body=expected[key][:-1] + b"\0")
    assert publish(source, store).outcomes == {Outcome.UNCHANGED: 2}
    assert publish(source, store, verify_stored=True).outcomes == {Outcome.UNCHANGED: 1, Outcome.REBUILT: 1}
    assert objects(store) == expected


@pytest.mark.slow
def test_the_command_verifies_when_it_is_asked(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 1), tmp_path / "tree"
    assert run("build", source, tree, "--no-sync").returncode == 0
    damage(tree, "frames/1")
    assert "1 unchanged" in run("build", source, tree).stdout
    assert "1 would be rebuilt" in run("build", source, tree, "--verify-stored", "--dry-run").stdout
    done = run("build", source, tree, "--verify-stored")
    assert "1 rebuilt" in done.stdout
    assert DAMAGED in done.stderr
