from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest

from stillframe.build.results import Outcome
from stillframe.errors import InputError, UsageError
from stillframe.options import BuildOptions, Part10
from stillframe.source.find import iter_inputs
from stillframe.source.inputs import InputRef, Rejected, Skipped
from stillframe.source.manifest import Listed
from stillframe.source.open import open_input
from stillframe.source.zip_inputs import SPOOL_BYTES
from tests.support.dicom_files import image, instance_uid, to_bytes, write, write_series
from tests.support.trees import build_tree, contents


def names(*sources: Path) -> list[str]:
    return [str(found) for found in iter_inputs(map(str, sources)) if isinstance(found, InputRef)]


def passed_over(*sources: Path) -> dict[str, str]:
    return {found.path: found.reason for found in iter_inputs(map(str, sources)) if isinstance(found, Skipped)}


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def test_files_come_in_one_order_whatever_their_names(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "2", tmp_path / "b" / "1.dcm", tmp_path / "a" / "IM", tmp_path / "c.txt", tmp_path / ".x")
    expected = [".x", "c.txt", "a/IM", "b/1.dcm", "b/2"]
    assert names(tmp_path) == [f"{tmp_path}/{name}" for name in expected]


def test_a_file_found_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "1", tmp_path / "in" / "2")
    (tmp_path / "in" / "3").symlink_to("1")
    (tmp_path / "in" / "4").hardlink_to(tmp_path / "in" / "2")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    found = names(tmp_path / "in", tmp_path / "in" / "2", tmp_path / "in")
    assert found == [f"{tmp_path}/in/1", f"{tmp_path}/in/2"]
    assert passed_over(tmp_path / "in", tmp_path / "in" / "2", tmp_path / "in") == {
        f"{tmp_path}/in/3": f"the same file as {tmp_path}/in/1",
        f"{tmp_path}/in/4": f"the same file as {tmp_path}/in/2",
        f"{tmp_path}/in/loop": f"the same folder as {tmp_path}/in",
    }


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "in") == [f"{tmp_path}/in/link/1"]


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path / "1")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == [f"{tmp_path}/1"]


def test_a_missing_source_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        names(tmp_path / "missing")


def test_a_line_that_may_be_a_header_is_told_what_a_table_needs() -> None:
    lines = [Listed("a;b", "m, line 1"), Listed("missing.dcm", "m, line 2")]
    first, second = (item.reason for item in iter_inputs([], lines=lines) if isinstance(item, Rejected))
    assert first.startswith("no such file or folder: a;b (if it is the header row of a table, that has no column")
    assert second == "no such file or folder: missing.dcm"


def test_a_broken_link_is_reported_and_the_rest_published(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 2)
    (source / "gone").symlink_to(tmp_path / "nowhere")
    report = build_tree(tmp_path / "tree", source)
    (rejected,) = report.rejected
    assert rejected.path == str(source / "gone")
    assert rejected.reason.startswith("cannot be opened")
    assert report.outcomes == {Outcome.PUBLISHED: 2}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_reported_and_the_rest_published(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 2)
    (source / "001.dcm").chmod(0)
    report = build_tree(tmp_path / "tree", source)
    assert [item.path for item in report.rejected] == [str(source / "001.dcm")]
    assert report.outcomes == {Outcome.PUBLISHED: 1}


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_unpacked_whole(tmp_path: Path, method: int) -> None:
    small, large = b"small", bytes(range(256)) * (SPOOL_BYTES // 256 + 1)  # the large one beyond what memory takes
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("folder/small", small)
        archive.writestr("large", large)
        archive.mkdir("empty")
    refs = [ref for ref in iter_inputs([str(tmp_path)]) if isinstance(ref, InputRef)]
    path = str(tmp_path / "a.zip")
    assert [(ref.path, ref.member, ref.size) for ref in refs] == [
        (path, "folder/small", len(small)), (path, "large", len(large)),
    ]  # fmt: skip
    for ref, expected in zip(refs, (small, large), strict=True):
        with open_input(ref) as file:
            assert file.read() == expected
            assert file.seek(1) == 1
            assert file.read(3) == expected[1:4]


@pytest.mark.parametrize(
    ("claimed", "reason"), [(-5, "longer than its directory entry says"), (5, "ends 5 bytes early")]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_not_as_long_as_promised_is_refused(
    tmp_path: Path, claimed: int, reason: str, method: int
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("one", b"x" * 1000)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 1000 + claimed)
    (tmp_path / "a.zip").write_bytes(data)
    (ref,) = iter_inputs([str(tmp_path / "a.zip")])
    assert isinstance(ref, InputRef)
    with pytest.raises(InputError, match=reason):
        open_input(ref)


def test_names_in_archives_that_lead_elsewhere_are_only_names(tmp_path: Path) -> None:
    inner = tmp_path / "1" / "2"
    inner.mkdir(parents=True)
    with zipfile.ZipFile(inner / "a.zip", "w") as archive:
        archive.writestr("../../escape.dcm", to_bytes(image(1)))
        archive.writestr("/etc/absolute.dcm", to_bytes(image(2)))
    before = set(tmp_path.rglob("*"))
    report = build_tree(inner / "tree", inner / "a.zip")
    assert report.outcomes == {Outcome.PUBLISHED: 2}
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(inner / "tree") for path in made)


def test_an_archive_gives_the_tree_of_its_files(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 4)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in source.iterdir():
            archive.write(file, f"DICOM/{file.stem}")
    build_tree(tmp_path / "files", source)
    build_tree(tmp_path / "zipped", tmp_path / "all.zip")
    assert contents(tmp_path / "zipped") == contents(tmp_path / "files")
    report = build_tree(tmp_path / "files", tmp_path / "all.zip")
    assert report.outcomes == {Outcome.UNCHANGED: 4}


def test_an_archive_changed_between_builds_is_read_anew(tmp_path: Path) -> None:
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("one", to_bytes(image(number)))
        os.utime(tmp_path / "a.zip", (number, number))
        assert build_tree(tmp_path / "tree", tmp_path / "a.zip").outcomes == {Outcome.PUBLISHED: 1}
    frames = {path.parts[-3] for path in (tmp_path / "tree").rglob("frames/1") if "reduced" not in path.parts}
    assert frames == {instance_uid(1), instance_uid(2)}


def test_an_archive_among_files_is_read_too(tmp_path: Path) -> None:
    write(tmp_path, "in/1.dcm", image(1))
    with zipfile.ZipFile(tmp_path / "in" / "more.zip", "w") as archive:
        archive.writestr("2", to_bytes(image(2)))
        archive.writestr("read me.txt", "not an image")
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    assert (report.outcomes[Outcome.PUBLISHED], len(report.skipped)) == (2, 1)


def test_links_into_the_destination_are_passed_over(tmp_path: Path) -> None:
    """A second build would read what the first one wrote."""
    source, tree = write_series(tmp_path / "in", 2), tmp_path / "tree"
    tree.mkdir()
    (source / "all").symlink_to(tree)
    (source / "below").symlink_to("../tree/studies")
    options = BuildOptions(part10=Part10.ALWAYS)
    build_tree(tree, source, options=options)
    (whole, *_) = tree.rglob("index.dcm")
    (source / "one.dcm").symlink_to(whole)
    before = contents(tree)
    report = build_tree(tree, source, options=options)
    assert report.outcomes == {Outcome.UNCHANGED: 2}
    assert contents(tree) == before
    reason = "a link into the destination"
    assert {item.path: item.reason for item in report.skipped} == {
        f"{source}/{name}": reason for name in ("all", "below", "one.dcm")
    }
    assert all(item.noteworthy for item in report.skipped)


def test_studies_of_a_destination_may_be_elsewhere_even_in_a_source(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 2), tmp_path / "tree"
    (source / "room").mkdir()
    tree.mkdir()
    (tree / "studies").symlink_to(source / "room")
    options = BuildOptions(part10=Part10.ALWAYS)
    for outcome in (Outcome.PUBLISHED, Outcome.UNCHANGED):
        report = build_tree(tree, source, options=options)
        assert report.outcomes == {outcome: 2}
        assert [(item.path, item.reason) for item in report.skipped] == [(f"{source}/room", "the destination")]


def test_second_names_of_a_file_are_in_the_report(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 2)
    (source / "003.dcm").hardlink_to(source / "001.dcm")
    (source / "004.dcm").symlink_to("002.dcm")
    (tmp_path / "elsewhere").symlink_to(source)
    report = build_tree(tmp_path / "tree", source, source / "004.dcm", tmp_path / "elsewhere")
    assert report.outcomes == {Outcome.PUBLISHED: 2}
    assert report.as_json()["summary"]["passedOver"] == 4
    assert report.as_json()["passedOver"] == [
        {"path": f"{tmp_path}/elsewhere", "reason": f"the same folder as {source}"},
        {"path": f"{source}/003.dcm", "reason": f"the same file as {source}/001.dcm"},
        {"path": f"{source}/004.dcm", "reason": f"the same file as {source}/002.dcm"},
        {"path": f"{source}/004.dcm", "reason": f"the same file as {source}/002.dcm"},
    ]
