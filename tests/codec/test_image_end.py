from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import pytest
from PIL import Image

from stillframe.codec.image_end import is_followed
from stillframe.codec.jpegxl_header import find_images, parse_jpeg_xl
from stillframe.dicom.syntaxes import Family
from stillframe.errors import PixelDataError
from tests.support.dicom_files import random_samples
from tests.support.frame_encoders import (
    htj2k,
    j2k,
    jp2_file,
    jpeg_lossy,
    jpeg_ls_near,
    jpeg_of_components,
    jpegls,
    jpegxl,
    jpegxl_of_jpeg,
    lossless_jpeg,
    spiff,
    with_segments,
)

GREY = random_samples((40, 50), "u1", 8)
COLOUR = random_samples((40, 50, 3), "u1", 8)


def in_container(frame: Any, bits: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, lossless=True, bitspersample=bits, usecontainer=True))


def progressive(frame: Any, _: int) -> bytes:
    """Several scans, with tables between them."""
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", progressive=True)
    return file.getvalue()


MARKED = [
    (Family.JPEG, jpeg_lossy),
    (Family.JPEG, lossless_jpeg),
    (Family.JPEG, progressive),
    (Family.JPEG_LS, jpegls),
    (Family.JPEG_LS, jpeg_ls_near),
    (Family.JPEG_2000, j2k),
    (Family.HTJ2K, htj2k),
    (Family.JPEG_XL, in_container),
    (Family.JPEG_XL, jpegxl_of_jpeg),
]


@pytest.mark.parametrize(("family", "encode"), MARKED)
@pytest.mark.parametrize("frame", [GREY, COLOUR], ids=["grey", "colour"])
def test_what_stands_behind_an_image_is_told(family: Family, encode: Callable[[Any, int], bytes], frame: Any) -> None:
    image = encode(frame, 8)
    for padding in (b"", b"\0", bytes(100)):
        assert not is_followed(image + padding, family)
    assert is_followed(image + b"\0 and more", family)
    for another in (image, b"\0" + image, bytes(9) + image):
        with pytest.raises(PixelDataError, match="holds another image behind the first"):
            is_followed(image + another, family)


@pytest.mark.parametrize("family", [Family.JPEG, Family.JPEG_LS])
def test_fill_bytes_behind_an_image_are_padding(family: Family) -> None:
    """Any marker may be preceded by FF (ISO/IEC 10918-1 B.1.1.2)."""
    image = (jpeg_lossy if family is Family.JPEG else jpegls)(GREY, 8)
    assert not is_followed(image + b"\xff" * 8, family)
    assert not is_followed(image[:-2] + b"\xff\xff\xff" + image[-2:], family)
    with pytest.raises(PixelDataError, match="another image"):
        is_followed(image + b"\xff\xff" + image, family)


@pytest.mark.parametrize("encode", [jpeg_lossy, lossless_jpeg, jpegls])
def test_a_preview_inside_a_marker_segment_is_no_image_of_the_frame(encode: Callable[[Any, int], bytes]) -> None:
    image, preview = encode(GREY, 8), jpeg_lossy(GREY[:8, :8], 8)
    segment = b"\xff\xe1" + (len(preview) + 8).to_bytes(2) + b"Exif\0\0" + preview
    family = Family.JPEG_LS if encode is jpegls else Family.JPEG
    assert not is_followed(image[:2] + segment + image[2:], family)


def test_a_spiff_directory_holds_a_start_of_image_of_its_own() -> None:
    """ISO/IEC 10918-3 F.2.2.4: the last entry counts the marker that follows it."""
    assert not is_followed(with_segments(jpeg_of_components(COLOUR), spiff(3)), Family.JPEG)


def test_images_that_a_multi_picture_index_announces_are_noted_only() -> None:
    """Cameras append previews to a photograph, and say so in its APP2 segment (CIPA DC-007)."""
    index = b"\xff\xe2\0\x0aMPF\0" + bytes(4)
    photograph = jpeg_lossy(COLOUR, 8)
    announcing = photograph[:2] + index + photograph[2:]
    assert not is_followed(announcing, Family.JPEG)
    assert is_followed(announcing + photograph, Family.JPEG)


def test_bytes_in_packets_that_look_like_an_image_are_none() -> None:
    """FF4F and FF51 may stand in coded data, whose bytes behind FF reach up to 8F (ISO/IEC 15444-1 D.4.1)."""
    image = j2k(GREY, 8)
    data = image.index(b"\xff\x93") + 2
    changed = image[: data + 40] + b"\xff\x4f\xff\x51\0\x29" + image[data + 46 :]
    assert not is_followed(changed, Family.JPEG_2000)


def test_boxes_behind_the_codestream_of_a_file_are_of_the_file() -> None:
    file = jp2_file(j2k(COLOUR, 8), 16, COLOUR.shape)
    assert not is_followed(file + b"\0\0\0\x0cxml abcd", Family.JPEG_2000)
    with pytest.raises(PixelDataError, match="another image"):
        is_followed(file + file, Family.JPEG_2000)


def test_a_bare_jpeg_xl_codestream_shows_where_another_may_begin() -> None:
    image = jpegxl(GREY, 8)
    facts = parse_jpeg_xl(image)
    assert list(find_images(image, facts)) == []
    other = jpegxl(GREY[:20], 8)
    assert list(find_images(image + image + other + in_container(GREY, 8), facts))[:2] == [
        len(image),
        2 * len(image) + len(other),
    ]
