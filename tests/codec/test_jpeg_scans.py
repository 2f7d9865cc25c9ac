from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from stillframe.codec.jpeg_scans import fill_scans
from stillframe.errors import PixelDataError
from tests.support.dicom_files import random_samples
from tests.support.frame_encoders import jpeg_of_components, jpegls, lossless_jpeg, lossless_jpeg_by_hand

GREY, COLOUR = random_samples((120, 50), "u1", 8), random_samples((120, 50, 3), "u1", 8)
WIDE = random_samples((120, 50), "u2", 12)
EOI = b"\xff\xd9"


def pillow(frame: Any, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


HUFFMAN = {
    "baseline": pillow(GREY),
    "sub-sampled": jpeg_of_components(COLOUR, "420"),
    "optimised": pillow(COLOUR, optimize=True),
    "progressive": pillow(COLOUR, progressive=True),
    "restarts": pillow(COLOUR, restart_marker_rows=1),
    "short restarts": pillow(COLOUR, restart_marker_blocks=1),
    "progressive, restarts": pillow(GREY, progressive=True, restart_marker_rows=1),
    "12 bits": bytes(imagecodecs.jpeg_encode(WIDE, 95, bitspersample=12)),
    "lossless": lossless_jpeg(GREY, 8),
    "lossless, colour": lossless_jpeg(COLOUR, 8),
    "lossless, 12 bits": lossless_jpeg(WIDE, 12, predictor=4),
    "lossless, a code for nearly nothing": lossless_jpeg_by_hand(GREY),
    "lossless, restarts": lossless_jpeg_by_hand(GREY, 3),
}


def decoded(data: bytes) -> Any:
    return imagecodecs.jpeg8_decode(data)


@pytest.mark.parametrize("name", HUFFMAN)
def test_whole_images_stay_the_same(name: str) -> None:
    image = HUFFMAN[name]
    for data in (image, image[:-2] + b"\xff\xff\xff" + EOI):
        filled = fill_scans(data)
        assert filled is not None
        assert len(filled) > len(data)
        assert np.array_equal(decoded(filled), decoded(image))


@pytest.mark.parametrize("name", HUFFMAN)
@pytest.mark.parametrize("left", [0.5, 0.75, 0.9, 0.97])
def test_images_that_end_early_change(name: str, left: float) -> None:
    cut = HUFFMAN[name][: int(len(HUFFMAN[name]) * left)] + EOI
    try:
        plain = decoded(cut)
    except imagecodecs.Jpeg8Error:  # between two scans
        assert name.startswith("progressive")
        return
    filled = fill_scans(cut)
    assert filled is not None
    assert not np.array_equal(decoded(filled), plain)


@pytest.mark.parametrize("name", [name for name in HUFFMAN if name.startswith("lossless")])
def test_two_missing_bytes_of_lossless_jpeg_are_enough(name: str) -> None:
    """Padding is less than a byte, so that with two bytes some of a sample is missing."""
    image = HUFFMAN[name]
    for missing in (*range(2, 40), *range(40, len(image) // 2, 97)):
        cut = image[: -2 - missing] + EOI
        filled = fill_scans(cut)
        assert filled is not None
        assert not np.array_equal(decoded(filled), decoded(cut)), missing


def test_bytes_missing_in_the_middle_of_an_interval_are_found() -> None:
    image = HUFFMAN["lossless, restarts"]
    place = image.index(b"\xff\xd3") - 20
    hole = image[:place] + image[place + 10 :]
    filled = fill_scans(hole)
    assert filled is not None
    assert not np.array_equal(decoded(filled), decoded(hole))


@pytest.mark.parametrize("name", ["restarts", "progressive, restarts"])
def test_intervals_missing_at_the_end_are_found(name: str) -> None:
    image = HUFFMAN[name]
    cut = image[: image.rindex(b"\xff\xd1")] + EOI
    filled = fill_scans(cut)
    assert filled is not None
    assert not np.array_equal(decoded(filled), decoded(cut))


@pytest.mark.parametrize("name", ["restarts", "lossless, restarts"])
def test_intervals_are_counted_from_0_to_7_and_again(name: str) -> None:
    """ISO/IEC 10918-1 B.2.1."""
    image = HUFFMAN[name]
    first, second = image.index(b"\xff\xd1"), image.index(b"\xff\xd2")
    with pytest.raises(PixelDataError, match="restart marker 2 where 1 must be"):
        fill_scans(image[:first] + image[second:])


def test_what_is_not_huffman_coded_is_left_alone() -> None:
    """Arithmetic coders leave out zeros at the end (ISO/IEC 10918-1 D.1.8)."""
    assert fill_scans(jpegls(GREY, 8)) is None
    image = pillow(GREY)
    arithmetic = image.replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert fill_scans(arithmetic) is None
