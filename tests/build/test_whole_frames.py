"""Frames that are not one whole image: decoders make something up for what is missing, and pass over what is more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image

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
    lossless_jpeg_by_hand,
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


EOI = b"\xff\xd9"
ENDS_EARLY = "truncated: the data of the JPEG image end before its pixels do"
BASELINE, LOSSLESS = (50, jpeg_lossy), (70, lossless_jpeg)


def cut(image: bytes, left: float) -> bytes:
    """The first part of an image, closed with an end marker."""
    return image[: int(len(image) * left)] + EOI


def pierced(image: bytes) -> bytes:
    """An image whose data miss 200 bytes in their middle."""
    begin = len(image) // 2
    return image[:begin] + image[begin + 200 :]


CUT = [partial(cut, left=0.6), partial(cut, left=0.95)]


@pytest.mark.parametrize(
    ("number", "encode", "damage"),
    [*((*form, damage) for form in (BASELINE, LOSSLESS) for damage in CUT), (*LOSSLESS, pierced)],
)
@pytest.mark.parametrize("options", [{}, {"lossy": Lossy.KEEP}, {"lossy": Lossy.TRANSCODE}])
def test_a_jpeg_frame_whose_data_end_early_is_damaged(
    tmp_path: Path, number: int, encode: Encode, damage: Callable[[bytes], bytes], options: dict[str, Any]
) -> None:
    """It has an end marker all the same."""
    whole = encode(GREY, 8)
    path = write(tmp_path / "one", number, [damage(whole)])
    assert rejected(path, tmp_path / "tree", **options) == f"frame 1: {ENDS_EARLY}"
    several = write(tmp_path / "several", number, [whole, damage(whole)], NumberOfFrames=2)
    published = publish_file(several, tmp_path / "kept", keep_damaged=True, **options)
    kept = encode is jpeg_lossy and options.get("lossy") is not Lossy.TRANSCODE
    outcome = "the bytes of the frame are kept as they are" if kept else "all samples of the frame are 0"
    assert f"damaged: {ENDS_EARLY}; {outcome} (frame 2)" in published.built.notes


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_lossless_jpeg_without_its_last_samples_is_damaged(tmp_path: Path, rows: int) -> None:
    """A sample takes 5 to 13 bits here, so two bytes are at least one."""
    image = lossless_jpeg_by_hand(GREY, rows)
    published = publish_file(write(tmp_path / "whole", 70, [image]), tmp_path / "tree")
    assert published.built.notes == ()
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
    path = write(tmp_path / "cut", 70, [image[:-4] + EOI])
    assert rejected(path, tmp_path / "none") == f"frame 1: {ENDS_EARLY}"


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("broken", ["fails", "decodes otherwise"])
def test_the_second_decoder_alone_refuses_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colour: bool, broken: str
) -> None:
    """libjpeg-turbo may have a fault of its own."""

    def decode(data: bytes, **_: object) -> Frame:
        if broken == "fails":
            raise RuntimeError
        return ~np.asarray(imagecodecs.jpeg8_decode(data))

    monkeypatch.setattr("stillframe.codec.jpeg.jpeg8_decode", decode)
    frame = random_samples((40, 50, 3), "u1", 8) if colour else GREY
    image = lossless_jpeg(frame, 8)
    value = encapsulated_value([image])
    path = write_dicom(tmp_path / "whole", jpeg(70), image_attributes(frame), value, vr="OB", native=False)
    published = publish_file(path, tmp_path / "tree")
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    value = encapsulated_value([cut(image, 0.9)])
    path = write_dicom(tmp_path / "cut", jpeg(70), image_attributes(frame), value, vr="OB", native=False)
    assert rejected(path, tmp_path / "none") == f"frame 1: {ENDS_EARLY}"


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_whole_jpeg_frames_of_any_kind_are_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    file = BytesIO()
    Image.fromarray(GREY).save(file, "JPEG", **options)
    published = publish_file(write(tmp_path / "file", 50, [file.getvalue()]), tmp_path / "tree")
    assert [data.removesuffix(b"\0") for _, data in published.parts()] == [file.getvalue()]
    assert not any("truncated" in note for note in published.built.notes)
