"""Comments of JPEG images, read by Pillow."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stillframe.codec.jpeg import encode_jpeg
from stillframe.jpeg_comment import comment_of, with_comment

PIXELS = (np.arange(40 * 30 * 3) % 251).astype("u1").reshape(40, 30, 3)


def saved(**options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", **options)
    return file.getvalue()


WITHOUT_JFIF = b"\xff\xd8" + saved()[20:]


@pytest.mark.parametrize(
    "image", [encode_jpeg(PIXELS, 85), encode_jpeg(PIXELS[..., 0], 85), saved(progressive=True), WITHOUT_JFIF]
)
@pytest.mark.parametrize("text", ["", "STILLFRAME format=4", "x" * 60_000])
def test_others_read_the_comment_and_the_same_picture(image: bytes, text: str) -> None:
    commented = with_comment(image, text)
    opened, plain = Image.open(BytesIO(commented)), Image.open(BytesIO(image))
    assert opened.info["comment"].startswith(text.encode())
    assert opened.info.get("jfif") == plain.info.get("jfif")
    assert np.array_equal(np.asarray(opened), np.asarray(plain))
    assert comment_of(commented) == text


def test_an_image_that_is_damaged_or_has_another_comment_has_none() -> None:
    image = with_comment(encode_jpeg(PIXELS, 85), "what it shows")
    assert comment_of(image) == "what it shows"
    for offset in range(len(image)):
        assert comment_of(image[:offset] + bytes([image[offset] ^ 1]) + image[offset + 1 :]) == ""
        assert comment_of(image[:offset]) == ""
    assert comment_of(saved(comment=b"of a camera")) == comment_of(encode_jpeg(PIXELS, 85)) == comment_of(b"") == ""
