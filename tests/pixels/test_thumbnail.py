"""Pictures of frames, opened with Pillow."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stillframe.codec.htj2k import encode_frame
from stillframe.pixels.rendering import Display, LookupTable, Ramp
from stillframe.pixels.thumbnail import PublishedFrame, make_rendered, make_thumbnail
from tests.support.dicom_files import noise

GREY = Display(bits=12, voi=Ramp(0, 4095))


def opened(data: bytes) -> Image.Image:
    picture = Image.open(BytesIO(data))
    assert picture.format == "JPEG"
    return picture


@pytest.mark.parametrize(
    ("shape", "size"), [((512, 512), (256, 256)), ((1000, 700), (179, 256)), ((40, 30), (30, 40)), ((1, 900), (256, 1))]
)
@pytest.mark.parametrize("encoded", [False, True])
def test_thumbnails_fit_and_look_like_the_frame(shape: tuple[int, int], size: tuple[int, int], encoded: bool) -> None:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = (2000 + 1000 * np.sin(rows / 90) + 1000 * np.cos(columns / 120)).astype("u2")
    frame = PublishedFrame(0, pixels, encode_frame(pixels, 12) if encoded else None)
    picture = opened(make_thumbnail(frame, GREY))
    assert (picture.size, picture.mode) == (size, "L")
    expected = Image.fromarray((pixels / 4095 * 255).astype("u1")).resize(size, Image.Resampling.BOX)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(expected)).mean() < 2


def test_pixels_that_are_not_square_become_so() -> None:
    frame = PublishedFrame(0, noise(1, (300, 400)))
    display = Display(bits=12, voi=Ramp(0, 4095), spacing=(2, 1))
    assert opened(make_thumbnail(frame, display)).size == (171, 256)
    assert opened(make_rendered(frame, display)).size == (200, 300)


def test_colour_and_rendered_frames_keep_their_size() -> None:
    pixels = np.zeros((300, 400, 3), "u1")
    pixels[:, :200] = (200, 30, 60)
    frame = PublishedFrame(0, pixels, encode_frame(pixels, 8))
    for picture, size in (
        (make_thumbnail(frame, Display(bits=8)), (256, 192)),
        (make_rendered(frame, Display(bits=8)), (400, 300)),
    ):
        image = opened(picture)
        assert (image.size, image.mode) == (size, "RGB")
        found = np.asarray(image).astype(int)
        assert np.abs(found[5, 5] - (200, 30, 60)).max() <= 2
        assert found[5, -5].max() <= 2


def test_indices_into_a_palette_are_not_averaged() -> None:
    """Half of the pixels are red and half are blue; what is between them in the palette is green."""
    pixels = np.indices((512, 512)).sum(axis=0).astype("u1") % 2 * 2
    red, green, blue = (
        LookupTable(0, np.array(entries, "u2"), 8) for entries in ([255, 0, 0], [0, 255, 0], [0, 0, 255])
    )
    frame = PublishedFrame(0, pixels, encode_frame(pixels, 8))
    found = np.asarray(opened(make_thumbnail(frame, Display(bits=8, palette=(red, green, blue)))))
    assert np.abs(found.astype(int) - (128, 0, 128)).max() <= 3


def test_the_same_frame_gives_the_same_bytes() -> None:
    pixels = noise(4, (600, 500))
    frames = [PublishedFrame(0, pixels, encode_frame(pixels, 12)) for _ in range(2)]
    assert make_thumbnail(frames[0], GREY) == make_thumbnail(frames[1], GREY)
    assert make_rendered(frames[0], GREY) == make_rendered(frames[1], GREY)
