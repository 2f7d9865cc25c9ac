"""Videos: streams that are published as they are, however large."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from stillframe.build.results import Outcome
from stillframe.dicom.syntaxes import TRANSFER_SYNTAXES, Family
from stillframe.options import BuildOptions, Part10, Rendered
from tests.support.dicom_files import (
    AVC,
    DELIMITER,
    ITEM,
    MP4,
    SERIES,
    STUDY,
    instance_uid,
    video_head,
    write_video,
)
from tests.support.trees import build_tree, contents, document

INSTANCE = f"studies/{STUDY}/series/{SERIES}/instances/{instance_uid(1)}"


VIDEO_SYNTAXES = sorted(syntax.uid for syntax in TRANSFER_SYNTAXES.values() if syntax.family is Family.VIDEO)


@pytest.mark.parametrize("syntax", VIDEO_SYNTAXES)
def test_a_video_is_published_as_it_is(tmp_path: Path, syntax: str) -> None:
    source = write_video(tmp_path / "1.dcm", [MP4[:4], MP4[4:100], MP4[100:]], syntax)
    report = build_tree(tmp_path / "tree", source)
    assert (report.outcomes, report.frames, [*report.noted]) == ({Outcome.PUBLISHED: 1}, 0, [])
    made = contents(tmp_path / "tree")
    assert {path.removeprefix(f"{INSTANCE}/") for path in made if path.startswith(INSTANCE)} == {
        "metadata", "rendered", "index.dcm",
    }  # fmt: skip
    assert not [path for path in made if path.endswith("thumbnail")]
    assert made[f"{INSTANCE}/rendered"] == MP4
    assert made[f"{INSTANCE}/index.dcm"] == source.read_bytes()
    (metadata,) = document(tmp_path / "tree", f"{INSTANCE}/metadata")
    assert metadata["00083002"]["Value"] == [syntax]
    assert metadata["00280008"]["Value"] == [300]
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}


@pytest.mark.parametrize(
    ("end", "tail", "expected"),
    [
        (DELIMITER, b"\xff" * 9, "9 bytes behind the pixel data, from offset "),
        (bytes(8), b"", "the pixel data end with zeros instead of a sequence delimiter"),
    ],
)
def test_elements_behind_a_video_are_in_its_metadata(tmp_path: Path, end: bytes, tail: bytes, expected: str) -> None:
    source = write_video(tmp_path / "1.dcm", [MP4], end=end + b"\x32\0\x60\x10LO\x04\0Knee" + tail)
    report = build_tree(tmp_path / "tree", source)
    (note,) = report.noted[0].notes
    assert note.startswith(expected)
    (metadata,) = document(tmp_path / "tree", f"{INSTANCE}/metadata")
    assert metadata["00321060"]["Value"] == ["Knee"]
    assert contents(tmp_path / "tree")[f"{INSTANCE}/rendered"] == MP4


def test_options_leave_the_stream_or_the_file_out(tmp_path: Path) -> None:
    source = write_video(tmp_path / "1.dcm", [MP4])
    options = BuildOptions(rendered=Rendered.NEVER, part10=Part10.NEVER)
    build_tree(tmp_path / "tree", source, options=options)
    assert [path for path in contents(tmp_path / "tree") if path.startswith(INSTANCE)] == [f"{INSTANCE}/metadata"]
    build_tree(tmp_path / "documents", source, options=BuildOptions(rendered=Rendered.DOCUMENTS))
    assert (tmp_path / "documents" / INSTANCE / "rendered").read_bytes() == MP4


def test_a_stream_that_nothing_names_is_published_in_its_file_only(tmp_path: Path) -> None:
    report = build_tree(tmp_path / "tree", write_video(tmp_path / "1.dcm", [b"unknown " * 9]))
    assert report.noted[0].notes[0].startswith("no video under rendered: ")
    assert not (tmp_path / "tree" / INSTANCE / "rendered").exists()
    assert (tmp_path / "tree" / INSTANCE / "index.dcm").exists()


@pytest.mark.parametrize(
    ("fragments", "end", "reason"),
    [
        ([MP4], b"", "truncated: the fragments of the video do not end"),
        ([], DELIMITER, "the pixel data of an image hold no fragments"),
        ([MP4], ITEM + b"\xff\xff\0\0rest", "truncated: a fragment of 65535 bytes at offset 896 ends beyond the file"),
    ],
)
def test_damaged_videos_are_rejected(tmp_path: Path, fragments: list[bytes], end: bytes, reason: str) -> None:
    report = build_tree(tmp_path / "tree", write_video(tmp_path / "1.dcm", fragments, end=end))
    assert [item.reason for item in report.rejected] == [reason]


def test_native_pixel_data_are_no_video(tmp_path: Path) -> None:
    data = video_head(AVC)[:-4] + struct.pack("<L", len(MP4)) + MP4
    (tmp_path / "1.dcm").write_bytes(data)
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1.dcm").rejected
    assert "asks for encapsulated pixel data" in rejected.reason


def test_the_same_stream_in_other_fragments_is_a_duplicate_and_another_a_conflict(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    build_tree(tree, write_video(tmp_path / "1.dcm", [MP4]))
    before = contents(tree)
    assert build_tree(tree, write_video(tmp_path / "2.dcm", [MP4[:50], MP4[50:]])).outcomes == {Outcome.DUPLICATE: 1}
    for number, other in enumerate((MP4[:-2], MP4 + b"\0\0", MP4[:-1] + b"?")):
        (rejected,) = build_tree(tree, write_video(tmp_path / f"o{number}.dcm", [other])).rejected
        assert "differs in the video" in rejected.reason
    assert contents(tree) == before
    newcomer = write_video(tmp_path / "3.dcm", [MP4 + b"\0\0"])
    assert build_tree(tree, newcomer, replace=True).outcomes == {Outcome.REPLACED: 1}
    assert (tree / INSTANCE / "rendered").read_bytes() == MP4 + b"\0\0"


@pytest.mark.slow
def test_a_large_video_is_built_in_little_memory(tmp_path: Path) -> None:
    megabyte = bytes(1 << 20)
    with (tmp_path / "large.dcm").open("wb") as file:
        file.write(video_head(AVC) + ITEM + bytes(4))
        for number in range(200):
            block = MP4.ljust(1 << 20, b"\0") if number == 0 else megabyte
            file.write(ITEM + struct.pack("<L", len(block)) + block)
        file.write(DELIMITER)
    command = [
        sys.executable,
        "-m",
        "stillframe",
        "build",
        str(tmp_path / "large.dcm"),
        str(tmp_path / "tree"),
        "--workers",
        "0",
    ]
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    code, peak = map(int, done.stdout.split())
    assert code == 0
    assert peak * (1 if sys.platform == "darwin" else 1024) < 130 << 20
    assert (tmp_path / "tree" / INSTANCE / "rendered").stat().st_size == 200 << 20
    whole = dcmread(tmp_path / "tree" / INSTANCE / "index.dcm", stop_before_pixels=True)
    assert whole.SOPInstanceUID == instance_uid(1)
