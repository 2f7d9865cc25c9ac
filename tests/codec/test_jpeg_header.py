"""What the marker segments of JPEG and JPEG-LS images say; the images are made by libjpeg-turbo and CharLS."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest

from stillframe.codec.colour import ColourMarkers, Space
from stillframe.codec.jpeg_header import parse_jpeg, without_application
from stillframe.errors import PixelDataError
from tests.support.dicom_files import jpeg, random_samples
from tests.support.frame_encoders import (
    JFIF,
    adobe,
    jpeg_lossy,
    jpeg_ls_near,
    jpeg_of_components,
    jpegls,
    lossless_jpeg,
    spiff,
    with_segments,
)

COLOUR = random_samples((16, 24, 3), "u1", 8)
GREY = random_samples((16, 24), "u1", 8)
HP = b"\xff\xe8\0\x07mrfx"


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        (b"", {}),
        (JFIF, {"jfif": True}),
        (b"\xff\xe0\0\x08JFXX\0\x10", {}),
        (adobe(0), {"adobe": 0}),
        (adobe(1), {"adobe": 1}),
        (b"\xff\xee\0\x07Adobe", {}),
        (JFIF + adobe(2), {"jfif": True, "adobe": 2}),
        (spiff(3), {"enumerated": Space.YBR_FULL}),
        (spiff(10), {"enumerated": Space.RGB}),
        (spiff(8), {}),
        (HP + b"\1", {"transform": True}),
        (HP + b"\0", {}),
        (b"\xff\xe1\0\x0aExif\0\0\0\0", {}),
    ],
)
def test_segments_say_what_colours_are(application: bytes, expected: dict[str, Any]) -> None:
    for image in (jpeg_of_components(COLOUR), lossless_jpeg(COLOUR, 8), jpegls(COLOUR, 8)):
        assert parse_jpeg(with_segments(image, application)).markers == ColourMarkers(**expected)


@pytest.mark.parametrize(("names", "expected"), [(b"RGB", "RGB"), (b"rgb", "rgb"), (b"\1\2\3", ""), (b"BGR", "")])
def test_names_of_components_are_seen(names: bytes, expected: str) -> None:
    assert parse_jpeg(with_segments(jpeg_of_components(COLOUR), names=names)).markers.names == expected


@pytest.mark.parametrize(("subsampling", "expected"), [("444", False), ("422", True), ("420", True)])
def test_sampling_factors_are_compared(subsampling: str, expected: bool) -> None:
    assert parse_jpeg(jpeg_of_components(COLOUR, subsampling)).markers.subsampled == expected
    assert not parse_jpeg(jpeg_lossy(GREY, 8)).markers.subsampled


@pytest.mark.parametrize(
    ("image", "number"),
    [
        (jpeg_lossy(GREY, 8), 50),
        (jpeg_lossy(GREY.astype("u2") << 4, 12), 51),
        (lossless_jpeg(GREY, 8), 70),
        (lossless_jpeg(GREY, 8, predictor=4), 57),
        (jpegls(GREY, 8), 80),
        (jpeg_ls_near(GREY, 8), 81),
    ],
)
def test_the_narrowest_transfer_syntax_is_named(image: bytes, number: int) -> None:
    assert parse_jpeg(image).syntax.uid == jpeg(number)


def test_an_image_without_its_segments_has_the_same_samples_and_no_transform() -> None:
    whole = with_segments(lossless_jpeg(COLOUR, 8), JFIF + adobe(1) + spiff(3))
    bare = without_application(whole)
    assert parse_jpeg(bare).markers == ColourMarkers(adobe=0)
    assert len(bare) < len(whole)
    assert np.array_equal(imagecodecs.jpeg8_decode(bare), COLOUR)


def test_an_image_that_is_cut_before_its_scan_is_refused() -> None:
    image = jpeg_of_components(COLOUR)
    with pytest.raises(PixelDataError, match="no scan"):
        parse_jpeg(image[: image.index(b"\xff\xda")])
