"""Frames that are not one whole image: decoders make something up for what is missing, and pass over what is more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from stillframe.options import Lossy
from tests.support.dicom_files import (
    DEFLATED_FRAMES,
    encapsulated_value,
    image_attributes,
    jpeg,
    offset_table,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import (
    deflated,
    htj2k,
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    jpegxl,
    jpegxl_lossy,
    jpegxl_of_jpeg,
    lossless_jpeg,
)
from tests.support.published import publish_file, rejected

type Frame = npt.NDArray[Any]
type Encode = Callable[[Frame, int], bytes]

GREY = random_samples((40, 50), "u1", 8)


def write(path: Path, number: int, fragments: list[bytes], table: bytes = b"", **attributes: Any) -> Path:
    """A file of one of the JPEG transfer syntaxes."""
    value = encapsulated_value(fragments, table)
    return write_dicom(path, jpeg(number), image_attributes(GREY, **attributes), value, vr="OB", native=False)


IMAGES = [
    (50, jpeg_lossy),
    (70, lossless_jpeg),
    (80, jpegls),
    (81, jpeg_ls_near),
    (90, j2k),
    (91, j2k_lossy),
    (201, htj2k),
    (110, jpegxl),
    (111, jpegxl_of_jpeg),
    (112, jpegxl_lossy),
]
ANOTHER = "holds another image behind the first; a frame is one (PS3.5 A.4)"


@pytest.mark.parametrize(("number", "encode"), IMAGES)
@pytest.mark.parametrize("padding", [b"", b"\0"])
@pytest.mark.parametrize("options", [{}, {"lossy": Lossy.KEEP}, {"lossy": Lossy.TRANSCODE}])
def test_two_images_in_one_fragment_are_not_one_frame(
    tmp_path: Path, number: int, encode: Encode, padding: bytes, options: dict[str, Any]
) -> None:
    image = encode(GREY, 8)
    path = write(tmp_path / "file", number, [image, image + padding + image], NumberOfFrames=2)
    assert rejected(path, tmp_path / "tree", **options) == f"frame 2: {ANOTHER}"


@pytest.mark.parametrize(("number", "encode"), IMAGES)
@pytest.mark.parametrize("firsts", [[0, 1], [0, 2]])
@pytest.mark.parametrize("code", ["L", "Q"])
def test_an_offset_table_that_leaves_out_an_image_is_not_true(
    tmp_path: Path, number: int, encode: Encode, firsts: list[int], code: str
) -> None:
    fragments = [encode(GREY, 8) for _ in range(3)]
    table = offset_table(fragments, firsts, code)
    extended: dict[str, Any] = {"ExtendedOffsetTable": table} if code == "Q" else {}
    path = write(tmp_path / "file", number, fragments, b"" if extended else table, NumberOfFrames=2, **extended)
    reason = rejected(path, tmp_path / "tree")
    if number in (110, 111, 112):  # their fragments do not show where they end
        assert reason == f"frame {3 - firsts[1]}: {ANOTHER}"
    else:
        assert reason == "Number of Frames is 2, the pixel data hold 3 images"


def test_two_deflated_frames_in_one_item_are_not_one_frame(tmp_path: Path) -> None:
    once = deflated(GREY.tobytes())
    for name, rest, reason in (("two", once, f"frame 1: {ANOTHER}"), ("padded", bytes(4), ""), ("more", b"more", "")):
        value = encapsulated_value([once + rest])
        path = write_dicom(tmp_path / name, DEFLATED_FRAMES, image_attributes(GREY), value, vr="OB", native=False)
        if reason:
            assert rejected(path, tmp_path / f"{name}-tree") == reason
        else:
            assert publish_file(path, tmp_path / f"{name}-tree").built.notes == ((BEHIND,) if name == "more" else ())


BEHIND = "bytes that are no part of the image stand behind it"


@pytest.mark.parametrize(("number", "encode"), [one for one in IMAGES if one[0] not in (110, 111, 112)])
def test_other_bytes_behind_an_image_are_noted(tmp_path: Path, number: int, encode: Encode) -> None:
    image = encode(GREY, 8)
    plain = publish_file(write(tmp_path / "plain", number, [image]), tmp_path / "plain-tree")
    padded = publish_file(write(tmp_path / "padded", number, [image + bytes(8)]), tmp_path / "padded-tree")
    assert BEHIND not in plain.built.notes + padded.built.notes
    noted = publish_file(write(tmp_path / "noted", number, [image + b"more"]), tmp_path / "noted-tree")
    assert BEHIND in noted.built.notes


def of_two_tile_parts(codestream: bytes) -> bytes:
    """A codestream that says of its one tile-part that there are two (TNsot, ISO/IEC 15444-1 A.4.2)."""
    place = codestream.index(b"\xff\x90\0\x0a") + 11
    return codestream[:place] + b"\2" + codestream[place + 1 :]


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (91, j2k_lossy), (201, htj2k), (203, htj2k_lossy)])
def test_a_frame_without_its_last_tile_part_is_damaged(tmp_path: Path, number: int, encode: Encode) -> None:
    damaged, whole = of_two_tile_parts(encode(GREY, 8)), encode(GREY, 8)
    reason = "damaged JPEG 2000 codestream: tile 0 has 1 of its 2 tile-parts"
    assert rejected(write(tmp_path / "one", number, [damaged]), tmp_path / "tree") == f"frame 1: {reason}"
    several = write(tmp_path / "several", number, [whole, damaged], NumberOfFrames=2)
    published = publish_file(several, tmp_path / "kept", keep_damaged=True)
    lossless = encode in (j2k, htj2k)
    outcome = "all samples of the frame are 0" if lossless else "the bytes of the frame are kept as they are"
    assert f"damaged: {reason}; {outcome} (frame 2)" in published.built.notes
