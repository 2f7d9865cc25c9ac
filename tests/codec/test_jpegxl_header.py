from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stillframe.codec.colour import NO_MARKERS, ColourMarkers, Space
from stillframe.codec.facts import FrameFacts
from stillframe.codec.jpegxl_header import parse_jpeg_xl
from stillframe.errors import PixelDataError
from tests.support.dicom_files import random_samples
from tests.support.frame_encoders import jpeg_lossy

# A width that one of the standard's ratios gives, sizes that are multiples of 8, and others.
SHAPES = [(1, 1), (8, 8), (9, 13), (256, 256), (100, 120), (300, 400), (400, 600), (90, 160), (80, 100), (30, 60)]


@pytest.mark.parametrize("shape", [*SHAPES, (16, 48), (1, 3000), (700, 2)])
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 10), ("u2", 12), ("u2", 13), ("u2", 16)])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_header_says_what_was_encoded(shape: tuple[int, int], dtype: str, bits: int, samples: int) -> None:
    frame = random_samples(shape if samples == 1 else (*shape, 3), dtype, bits)
    for lossless, options in ((True, {"lossless": True}), (False, {"distance": 2.0})):
        data = bytes(imagecodecs.jpegxl_encode(frame, bitspersample=bits, effort=1, **options))
        expected = FrameFacts(width=shape[1], height=shape[0], samples=samples, precision=bits, lossless=lossless)
        assert parse_jpeg_xl(data) == expected


@pytest.mark.parametrize("container", [False, True])
def test_a_container_holds_the_same_header(container: bool) -> None:
    frame = random_samples((9, 13), "u2", 16)
    data = bytes(imagecodecs.jpegxl_encode(frame, lossless=True, usecontainer=container))
    assert parse_jpeg_xl(data) == FrameFacts(width=13, height=9, samples=1, precision=16, lossless=True)


def test_a_recompressed_jpeg_image_is_never_lossless() -> None:
    data = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg_lossy(random_samples((9, 13, 3), "u1", 8), 8)))
    header = parse_jpeg_xl(data)
    assert (header.width, header.height, header.samples, header.lossless) == (13, 9, 3, False)
    assert (header.recompressed, header.decodable, header.markers) == (True, True, NO_MARKERS)


def test_a_recompressed_jpeg_image_that_photographs_would_turn_is_read_as_it_lies() -> None:
    """Its Exif segment says so, which decoders of JPEG pass over; the width of other images would be their height."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.fromarray(random_samples((9, 13, 3), "u1", 8)).save(file, "JPEG", exif=exif)
    header = parse_jpeg_xl(bytes(imagecodecs.jpegxl_encode_jpeg(file.getvalue())))
    assert (header.width, header.height, header.decodable, header.recompressed) == (13, 9, True, True)


@pytest.mark.parametrize("options", [{"lossless": True}, {"distance": 1.0}])
def test_a_header_promises_rgb_of_colour_alone(options: dict[str, Any]) -> None:
    colour = parse_jpeg_xl(bytes(imagecodecs.jpegxl_encode(random_samples((9, 13, 3), "u1", 8), **options)))
    assert colour.markers == ColourMarkers(decoded=Space.RGB)
    grey = parse_jpeg_xl(bytes(imagecodecs.jpegxl_encode(random_samples((9, 13), "u1", 8), **options)))
    assert grey.markers == NO_MARKERS
    assert not colour.recompressed


def header_with(space: str) -> bytes:
    """The header of an image of 8 x 8 pixels and 8 bits that is not XYB; `space` are the bits of its ColourSpace."""
    size = "100000100"  # small, of 8 rows, in the ratio 1:1
    metadata = "00000100000"  # nothing by default or extra; 8 bit integers, 16 bit buffers; no channels, no XYB, no ICC
    return b"\xff\x0a" + int((size + metadata + space)[::-1], 2).to_bytes(16, "little")


@pytest.mark.parametrize(
    ("bits", "samples", "decoded"),
    [("00", 3, Space.RGB), ("10", 1, None), ("010000", 3, None), ("011000", 3, None)],
    ids=["RGB", "grey", "XYB", "unknown"],
)
def test_a_space_that_is_not_rgb_promises_nothing(bits: str, samples: int, decoded: Space | None) -> None:
    header = parse_jpeg_xl(header_with(bits))
    assert (header.width, header.height, header.samples, header.precision) == (8, 8, samples, 8)
    assert (header.markers.decoded, header.lossless, header.decodable) == (decoded, True, True)


@pytest.mark.parametrize(
    "frame",
    [np.linspace(0, 1, 117).reshape(9, 13).astype("f4"), random_samples((9, 13, 4), "u1", 8)],
    ids=["float", "alpha"],
)
def test_what_is_no_plain_integer_image_says_so(frame: Any) -> None:
    header = parse_jpeg_xl(bytes(imagecodecs.jpegxl_encode(frame)))
    assert (header.width, header.height, header.decodable) == (13, 9, False)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xd8\xff\xe0", "not a JPEG XL image: begins with ffd8ffe0"),
        (b"", "not a JPEG XL image"),
        (b"\xff\x0a", "ends inside its header"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "not a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x07free", "not a JPEG XL image"),
    ],
)
def test_what_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PixelDataError, match=reason):
        parse_jpeg_xl(data)


@given(data=st.binary(max_size=60), prefix=st.sampled_from([b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"]))
def test_any_bytes_are_a_header_or_refused(data: bytes, prefix: bytes) -> None:
    try:
        header = parse_jpeg_xl(prefix + data)
    except PixelDataError:
        return
    assert header.width > 0
    assert header.height > 0
