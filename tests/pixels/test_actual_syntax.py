"""Pixel data that are written otherwise than the file names them, or that it does not name at all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from stillframe.codec.htj2k import decode_frame
from tests.support.dicom_files import (
    EXPLICIT,
    IMPLICIT,
    INSTANCE,
    RLE,
    SERIES,
    STUDY,
    encapsulated_value,
    jpeg,
    noise,
)
from tests.support.elements import (
    PIXEL_DATA,
    UNDEFINED,
    element,
    head,
    identity,
    image_module,
    meta_header,
    native_pixels,
)
from tests.support.frame_encoders import htj2k, j2k, jpegls, lossless_jpeg, rle
from tests.support.trees import build_tree, document

PIXELS = noise(1, (48, 40))
PLACE = f"studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
FRAMES = {
    jpeg(70): lossless_jpeg(PIXELS, 12),
    jpeg(80): jpegls(PIXELS, 12),
    jpeg(90): j2k(PIXELS, 12),
    jpeg(201): htj2k(PIXELS, 12),
    RLE: rle(PIXELS, 12),
}


def body(pixel_data: bytes, syntax: str = EXPLICIT) -> bytes:
    return b"".join([*identity(syntax), *image_module(PIXELS, syntax), pixel_data])


def published(tmp_path: Path, data: bytes) -> tuple[Any, list[str]]:
    """The metadata and the notes of a file whose frame comes out right."""
    (tmp_path / "1").write_bytes(data)
    report = build_tree(tmp_path / "tree", tmp_path / "1")
    assert [item.reason for item in report.rejected] == []
    assert (decode_frame((tmp_path / "tree" / PLACE / "frames" / "1").read_bytes()) == PIXELS).all()
    notes = [note for noted in report.noted for note in noted.notes]
    return document(tmp_path / "tree", f"{PLACE}/metadata")[0], notes


@pytest.mark.parametrize("head_bytes", [b"", meta_header(None)], ids=["no meta header", "no transfer syntax"])
@pytest.mark.parametrize("syntax", FRAMES)
def test_frames_tell_the_transfer_syntax_that_the_file_does_not_name(
    tmp_path: Path, head_bytes: bytes, syntax: str
) -> None:
    fragments = head(PIXEL_DATA, "OB", UNDEFINED) + encapsulated_value([FRAMES[syntax]])
    _, notes = published(tmp_path, head_bytes + body(fragments))
    assert len(notes) == 1
    assert notes[0].startswith(f"the file names no transfer syntax, but its frames are of transfer syntax {syntax} ")


def test_an_implicit_data_set_without_a_name_may_hold_frames(tmp_path: Path) -> None:
    fragments = head(PIXEL_DATA, "OB", UNDEFINED, IMPLICIT) + encapsulated_value([FRAMES[jpeg(70)]])
    _, notes = published(tmp_path, body(fragments, IMPLICIT))
    assert "its frames are of" in notes[0]


@pytest.mark.parametrize("syntax", FRAMES)
def test_frames_under_a_native_name_are_read_as_what_they_are(tmp_path: Path, syntax: str) -> None:
    fragments = head(PIXEL_DATA, "OB", UNDEFINED) + encapsulated_value([FRAMES[syntax]])
    _, notes = published(tmp_path, meta_header(EXPLICIT) + body(fragments))
    assert f"but its frames are of transfer syntax {syntax} " in notes[0]


@pytest.mark.parametrize("syntax", FRAMES)
def test_native_samples_under_the_name_of_a_compression_are_read_as_what_they_are(tmp_path: Path, syntax: str) -> None:
    _, notes = published(tmp_path, meta_header(syntax) + body(native_pixels(PIXELS)))
    assert "asks for encapsulated pixel data, these are native; they were read as Explicit VR Little Endian" in notes[0]


def test_samples_that_are_too_few_are_refused_under_any_name(tmp_path: Path) -> None:
    data = meta_header(jpeg(70)) + body(element(PIXEL_DATA, "OB", FRAMES[jpeg(70)]))
    (tmp_path / "1").write_bytes(data)
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1").rejected
    assert "1 frames need 3840 bytes" in rejected.reason


@pytest.mark.parametrize("delimited", [True, False])
def test_encapsulated_pixel_data_may_have_a_length(tmp_path: Path, delimited: bool) -> None:
    value = encapsulated_value([FRAMES[jpeg(70)]], delimited=delimited)
    late = element(0x00281050, "DS", "600")
    metadata, notes = published(tmp_path, meta_header(jpeg(70)) + body(element(PIXEL_DATA, "OB", value) + late))
    assert "the encapsulated pixel data have a length of their own; it was left out" in notes
    assert metadata["00281050"]["Value"] == [600]


def test_frames_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    fragments = head(PIXEL_DATA, "OB", UNDEFINED) + encapsulated_value([struct.pack("<4L", 1, 2, 3, 4)])
    (tmp_path / "1").write_bytes(body(fragments))
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1").rejected
    assert rejected.reason == (
        "the file names no transfer syntax, and the encapsulated pixel data do not tell it:"
        " frame 1 begins with 01000000"
    )


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_fragments_with_a_length_under_a_native_name_are_frames(tmp_path: Path, syntax: str) -> None:
    value = encapsulated_value([FRAMES[jpeg(90)]])
    _, notes = published(tmp_path, meta_header(syntax) + body(element(PIXEL_DATA, "OW", value, syntax), syntax))
    assert "the encapsulated pixel data have a length of their own; it was left out" in notes


def test_a_first_frame_in_short_fragments_tells(tmp_path: Path) -> None:
    frame = FRAMES[jpeg(90)]
    parts = [frame[:2], frame[2:8], frame[8:]]
    fragments = head(PIXEL_DATA, "OB", UNDEFINED) + encapsulated_value(parts)
    _, notes = published(tmp_path, meta_header(EXPLICIT) + body(fragments))
    assert "but its frames are of transfer syntax" in notes[0]
