"""What is published of objects whose data sets are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dicom_files import INSTANCE, SERIES, STUDY, noise
from tests.support.elements import (
    REPORT_CLASS,
    element,
    head,
    identity,
    image_module,
    meta_header,
    native_pixels,
    sequence,
)
from tests.support.trees import build_tree, document

PIXELS = noise(1, (16, 12))
METADATA = f"studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/metadata"


def holding(tag: int) -> bytes:
    """A sequence of known length whose one item holds another sequence, which zeros end."""
    inner = sequence(0x00400275, [element(0x00080050, "SH", "1")], end=bytes(8))
    return element(tag, "SQ", head(0xFFFEE000, "", len(inner)) + inner)


@pytest.mark.parametrize("tag", [0x0040A730, 0x00091010])
def test_an_image_with_a_damaged_sequence_is_published_with_a_note(tmp_path: Path, tag: int) -> None:
    parts = [*identity(), *image_module(PIXELS), native_pixels(PIXELS), element(0x00090010, "LO", "OWN"), holding(tag)]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    (note,) = report.noted[0].notes
    assert note.startswith(f"{tag:08X}")
    assert document(tmp_path / "tree", METADATA)[0]["0020000D"]["Value"] == [STUDY]


def test_half_a_report_is_not_published(tmp_path: Path) -> None:
    parts = [*identity(sop_class=REPORT_CLASS), holding(0x0040A730)]
    (tmp_path / "1.dcm").write_bytes(meta_header(sop_class=REPORT_CLASS) + b"".join(parts))
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1.dcm").rejected
    assert rejected.reason.startswith("holds a damaged sequence: 0040A730")


def test_a_private_sequence_that_is_damaged_leaves_a_report_whole(tmp_path: Path) -> None:
    parts = [*identity(sop_class=REPORT_CLASS), element(0x00090010, "LO", "OWN"), holding(0x00091010)]
    (tmp_path / "1.dcm").write_bytes(meta_header(sop_class=REPORT_CLASS) + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.rejected == []
    assert report.noted[0].notes[0].startswith("00091010")
