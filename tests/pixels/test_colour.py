"""Every combination of what a codestream and its data set say of colour, judged by a second decoder.

The table of docs/inputs.md under "Colour" is what is expected here. To write it anew:

    STILLFRAME_WRITE_DOCS=1 python -m pytest tests/pixels/test_colour.py -k document
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from stillframe.codec.colour import Colour, ColourMarkers, Space, decide_colour
from stillframe.codec.facts import FrameFacts
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import PixelDataError
from stillframe.pixels.colour import ColourOutcome, colour_note, convert_to_rgb, kept_photometric, viewer_note
from tests.support.dicom_files import EXPLICIT, RLE, encapsulated_value, image_attributes, jpeg, write_dicom
from tests.support.ffmpeg import decode_components, encode_jpeg_2000, needs_ffmpeg
from tests.support.frame_encoders import (
    JFIF,
    adobe,
    jp2_file,
    jpeg_of_components,
    lossless_jpeg,
    rle,
    spiff,
    with_segments,
)
from tests.support.places import REPOSITORY
from tests.support.reading import opened

type Frame = npt.NDArray[Any]

SHAPE = (48, 64, 3)


def smooth() -> Frame:
    """Three components that vary slowly, each in its own way, as far as samples go."""
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    parts = (np.sin(row / 15), np.cos(column / 18), np.sin((row + column) / 25))
    return np.stack([(128 + 110 * part).astype("u1") for part in parts], axis=-1)


def noisy() -> Frame:
    return np.random.default_rng(4).integers(0, 256, SHAPE).astype("u1")


def to_rgb(components: Frame, *, partial: bool = False) -> Frame:
    """The inverse of the equations of PS3.3 C.7.6.3.1.2, rounded to the nearest and clipped."""
    y, cb, cr = (components[..., index].astype("f8") for index in range(3))
    cb, cr = cb - 128, cr - 128
    if partial:
        y, cb, cr = (y - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    green = (y - 0.299 * (y + 1.402 * cr) - 0.114 * (y + 1.772 * cb)) / 0.587
    rgb = np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype("u1")


def assert_near(found: Frame, expected: Frame, tolerance: int = 0) -> None:
    """Equal within a tolerance; where there is none, but for sums that end in one half as floating point has them."""
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= max(tolerance, 1)
    assert tolerance or np.count_nonzero(difference) <= difference.size // 200


# --- the table ----------------------------------------------------------------------------------------------------

COLUMNS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT, YBR_ICT", "YBR_PARTIAL_420")
REFUSED = "–"


@dataclass(frozen=True)
class Row:
    """One kind of frames: its name and what its markers say; `encode` makes it of three components.

    `cells` say for each column what the components are taken for; `noted` marks what contradicts the data set.
    `second` gives the components by another decoder, `tolerance` is how far RGB may be from what follows of these.
    """

    frames: str
    markers: str
    syntax: str
    encode: Callable[[Frame], bytes]
    second: Callable[[bytes], Frame]
    cells: tuple[str, str, str, str, str]
    components: Callable[[], Frame] = noisy
    tolerance: int = 0


def by_ffmpeg(demuxer: str) -> Callable[[bytes], Frame]:
    return lambda data: decode_components(data, demuxer, SHAPE)


def by_openjph(data: bytes) -> Frame:
    """OpenJPH, while frames are decoded by OpenJPEG."""
    found = np.asarray(imagecodecs.htj2k_decode(data))
    return found if found.shape == SHAPE else np.ascontiguousarray(found.transpose(1, 2, 0))


def by_libjpeg(data: bytes) -> Frame:
    """Pillow's libjpeg, told that there is no transform: nobody else knows names in small letters."""
    return np.asarray(Image.open(BytesIO(with_segments(data, adobe(0), b"RGB"))))


def known(data: bytes) -> Frame:
    """Where there is no second decoder: what went in."""
    return noisy()


def lossless(application: bytes = b"", names: bytes = b"\1\2\3") -> Callable[[Frame], bytes]:
    return lambda frame: with_segments(lossless_jpeg(frame, 8), application, names)


def baseline(application: bytes = b"", names: bytes = b"\1\2\3", subsampling: str = "444") -> Callable[[Frame], bytes]:
    return lambda frame: with_segments(jpeg_of_components(frame, subsampling), application, names)


def by_charls(application: bytes = b"") -> Callable[[Frame], bytes]:
    return lambda frame: with_segments(bytes(jpeg_ls.encode_array(frame, interleave_mode=1)), application)


def by_openjpeg(frame: Frame, *, transform: bool, reversible: bool = True, space: int | None = None) -> bytes:
    level = 0 if reversible else 90
    data = bytes(imagecodecs.jpeg2k_encode(frame, level, codecformat="j2k", reversible=reversible, mct=transform))
    return data if space is None else jp2_file(data, space, SHAPE)


def by_imagecodecs(frame: Frame, *, transform: bool) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True, bitspersample=8, rgb=transform))


JPEG, LOSSLESS, LS = by_ffmpeg("jpeg_pipe"), by_ffmpeg("jpeg_pipe"), by_ffmpeg("jpegls_pipe")
J2K = by_ffmpeg("j2k_pipe")
RGB_CELLS = ("RGB", "RGB, noted", "RGB, noted", "RGB, noted", "RGB, noted")
YCC_CELLS = ("YCbCr, noted", "YCbCr", "YCbCr", "YCbCr, noted", "YCbCr, noted")
HALVED_CELLS = (*YCC_CELLS[:4], "YCbCr, partial range")
OF_DATA_SET = ("RGB", "YCbCr", "YCbCr", REFUSED, REFUSED)
OF_J2K = ("RGB", "YCbCr", "YCbCr", "RGB, noted", "YCbCr, partial range")
RGB_J2K = ("RGB", "RGB, noted", "RGB, noted", "RGB", "RGB, noted")
BASELINE, PROCESS_14 = "JPEG baseline", "JPEG lossless"

ROWS = (
    Row(BASELINE, "none", jpeg(50), baseline(), JPEG, OF_DATA_SET, smooth, 2),
    Row(BASELINE, "JFIF", jpeg(50), baseline(JFIF), JPEG, YCC_CELLS, smooth, 2),
    Row(BASELINE, "APP14, transform 0", jpeg(50), baseline(adobe(0)), JPEG, RGB_CELLS, smooth, 2),
    Row(BASELINE, "APP14, transform 1", jpeg(50), baseline(adobe(1)), JPEG, YCC_CELLS, smooth, 2),
    Row(BASELINE, "APP14, transform 0, and JFIF", jpeg(50), baseline(JFIF + adobe(0)), JPEG, RGB_CELLS, smooth, 2),
    Row(BASELINE, "components R, G, B", jpeg(50), baseline(names=b"RGB"), JPEG, RGB_CELLS, smooth, 2),
    Row(BASELINE, "components r, g, b", jpeg(50), baseline(names=b"rgb"), by_libjpeg, RGB_CELLS, smooth, 2),
    Row(BASELINE, "4:2:2", jpeg(50), baseline(subsampling="422"), JPEG, HALVED_CELLS, smooth, 12),
    Row(BASELINE, "4:2:0", jpeg(50), baseline(subsampling="420"), JPEG, HALVED_CELLS, smooth, 16),
    Row(PROCESS_14, "none", jpeg(70), lossless(), LOSSLESS, OF_DATA_SET),
    Row(PROCESS_14, "JFIF", jpeg(70), lossless(JFIF), LOSSLESS, YCC_CELLS),
    Row(PROCESS_14, "APP14, transform 0", jpeg(57), lossless(adobe(0)), LOSSLESS, RGB_CELLS),
    Row(PROCESS_14, "APP14, transform 1", jpeg(57), lossless(adobe(1)), LOSSLESS, YCC_CELLS),
    Row(PROCESS_14, "components R, G, B", jpeg(70), lossless(names=b"RGB"), LOSSLESS, RGB_CELLS),
    Row("JPEG-LS", "none", jpeg(80), by_charls(), LS, OF_DATA_SET),
    Row("JPEG-LS", "SPIFF, YCbCr", jpeg(80), by_charls(spiff(3)), LS, YCC_CELLS),
    Row("JPEG-LS", "SPIFF, RGB", jpeg(80), by_charls(spiff(10)), LS, RGB_CELLS),
    Row("JPEG 2000", "no transform", jpeg(90), functools.partial(by_openjpeg, transform=False), J2K, OF_J2K),
    Row("JPEG 2000", "reversible transform", jpeg(90), functools.partial(by_openjpeg, transform=True), J2K, RGB_J2K),
    Row(
        "JPEG 2000", "irreversible transform", jpeg(91),
        functools.partial(by_openjpeg, transform=True, reversible=False), J2K, RGB_J2K, smooth, 2,
    ),
    Row("JPEG 2000", "4:2:2", jpeg(90), lambda frame: encode_jpeg_2000(frame, "yuv422p"), J2K, HALVED_CELLS),
    Row("JPEG 2000", "4:2:0", jpeg(90), lambda frame: encode_jpeg_2000(frame, "yuv420p"), J2K, HALVED_CELLS),
    Row("JPEG 2000", "4:1:1", jpeg(90), lambda frame: encode_jpeg_2000(frame, "yuv411p"), J2K, HALVED_CELLS),
    Row(
        "JPEG 2000", "JP2 file, sYCC", jpeg(90), functools.partial(by_openjpeg, transform=False, space=18),
        lambda data: J2K(data[data.index(b"\xff\x4f\xff\x51") :]), YCC_CELLS,
    ),
    Row(
        "JPEG 2000", "JP2 file, sRGB", jpeg(90), functools.partial(by_openjpeg, transform=False, space=16),
        lambda data: J2K(data[data.index(b"\xff\x4f\xff\x51") :]), ("RGB", *RGB_J2K[1:3], "RGB, noted", "RGB, noted"),
    ),
    Row("HTJ2K", "no transform", jpeg(201), functools.partial(by_imagecodecs, transform=False), by_openjph, OF_J2K),
    Row(
        "HTJ2K", "reversible transform", jpeg(201),
        functools.partial(by_imagecodecs, transform=True), by_openjph, RGB_J2K,
    ),
    Row("RLE", REFUSED, RLE, lambda frame: rle(frame, 8), known, OF_DATA_SET),
    Row("native", REFUSED, EXPLICIT, bytes, known, ("RGB", "YCbCr", "YCbCr, 4:2:2", REFUSED, REFUSED)),
)  # fmt: skip
CELLS = [
    pytest.param(row, photometric, cell, id=f"{row.frames}, {row.markers}, {photometric}")
    for row in ROWS
    for column, cell in zip(COLUMNS, row.cells, strict=True)
    for photometric in column.split(", ")
]


def quads(frame: Frame) -> bytes:
    """Native YBR_FULL_422: two luminance samples, then the chrominance that they share."""
    return np.stack([frame[:, ::2, 0], frame[:, 1::2, 0], frame[:, ::2, 1], frame[:, ::2, 2]], axis=-1).tobytes()


@functools.cache
def prepare(row: Row) -> tuple[Frame, bytes, Frame]:
    """The components of a row, what they are encoded to, and what another decoder makes of that."""
    frame = row.components()
    data = row.encode(frame)
    return frame, data, row.second(data)


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize(("row", "photometric", "cell"), CELLS)
def test_colour_is_what_a_second_decoder_and_the_table_say(
    tmp_path: Path, row: Row, photometric: str, cell: str
) -> None:
    frame, data, components = prepare(row)
    attributes = image_attributes(frame, PhotometricInterpretation=photometric)
    value = encapsulated_value([data])
    if row.syntax == EXPLICIT:
        value = data
        if photometric == "YBR_FULL_422":
            value = quads(frame)
    path = write_dicom(tmp_path / "file", row.syntax, attributes, value, vr="OB")
    if cell == REFUSED:
        with pytest.raises(PixelDataError, match=f"{photometric} is not defined for"), opened(path) as reader:
            reader.decoded(0)
        return
    with opened(path) as reader:
        decoded = reader.decoded(0)
    components = components.copy()
    if "4:2:2" in cell:
        components[:, 1::2, 1:] = components[:, ::2, 1:]
    if not row.tolerance and "4:" not in row.markers + cell:
        assert np.array_equal(components, frame)
    expected = to_rgb(components, partial="partial" in cell) if cell.startswith("YCbCr") else components
    assert_near(decoded.array, expected, row.tolerance)
    assert decoded.colour is not None
    outcome = ColourOutcome.CONVERTED if decoded.converted else ColourOutcome.TAKEN
    note = colour_note(decoded.colour, decoded.facts, photometric, outcome)
    assert ("noted" in cell) == note.startswith(f"Photometric Interpretation is {photometric}, but ")
    assert decoded.converted == cell.startswith("YCbCr") == ("converted to RGB" in note)


_PLACE = re.compile(r"(<!-- begin: colours -->\n\n)(?:.*?)(\n\n<!-- end -->)", re.DOTALL)


def test_the_table_of_the_document_is_the_one_that_is_tested() -> None:
    document = REPOSITORY / "docs" / "inputs.md"
    head = ["frames", "markers", *(f"{column}" for column in COLUMNS)]
    lines = [head, ["---"] * len(head), *([row.frames, row.markers, *row.cells] for row in ROWS)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    before = document.read_text(encoding="utf-8")
    assert len(_PLACE.findall(before)) == 1
    after = _PLACE.sub(lambda match: match[1] + table + match[2], before)
    if os.environ.get("STILLFRAME_WRITE_DOCS"):
        document.write_text(after, encoding="utf-8")
    assert document.read_text(encoding="utf-8") == after


# --- the parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(61, 47), (1, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv420p"])
@needs_ffmpeg
def test_chrominance_reaches_the_edges_of_images_of_any_size(
    tmp_path: Path, shape: tuple[int, int], pixel_format: str
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype("u1")
    data = encode_jpeg_2000(frame, pixel_format)
    attributes = image_attributes(frame, PhotometricInterpretation="YBR_FULL_422")
    path = write_dicom(tmp_path / "file", jpeg(90), attributes, encapsulated_value([data]), vr="OB")
    rows, columns = np.indices(shape)
    down = 2 if pixel_format == "yuv420p" else 1
    shared = frame[rows // down * down, columns // 2 * 2]
    shared[..., 0] = frame[..., 0]
    with opened(path) as reader:
        assert_near(reader.decoded(0).array, to_rgb(shared))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_more_bits_are_converted_by_the_same_equations(bits: int) -> None:
    """Neutral chrominance leaves grey, and full red has the luminance 0.299."""
    most, half = (1 << bits) - 1, 1 << bits - 1
    frame = np.array(
        [[[0, half, half], [most, half, half], [round(0.299 * most), half, most]]], "u1" if bits == 8 else "u2"
    )
    black, white, red = convert_to_rgb(frame, Space.YBR_FULL, bits)[0].tolist()
    assert (black, white) == ([0] * 3, [most] * 3)
    assert red[0] >= most * 0.995
    assert abs(convert_to_rgb(frame, Space.YBR_FULL, bits)[0, 2, 1] - max(0, 0.299 * most - 0.714 * (most - half))) <= 1
    assert convert_to_rgb(frame, Space.RGB, bits) is frame


def test_video_range_reaches_from_16_to_235() -> None:
    frame = np.array([[[16, 128, 128], [235, 128, 128], [0, 128, 128], [255, 128, 128]]], "u1")
    found = convert_to_rgb(frame, Space.YBR_PARTIAL, 8)
    assert found[0].tolist() == [[0] * 3, [255] * 3, [0] * 3, [255] * 3]


def test_large_frames_are_converted_as_small_ones_are() -> None:
    frame = np.random.default_rng(2).integers(0, 256, (1500, 1000, 3)).astype("u1")
    assert_near(convert_to_rgb(frame, Space.YBR_FULL, 8), to_rgb(frame))


def test_the_first_marker_that_says_anything_decides() -> None:
    """Adobe's transform is told before JFIF, both before names and sub-sampling; a transform of 2 is of no use here."""
    every = ColourMarkers(adobe=0, jfif=True, names="RGB", subsampled=True)
    assert decide_colour(every, "YBR_FULL").space is Space.RGB
    assert decide_colour(ColourMarkers(adobe=2, jfif=True, names="RGB"), "RGB").space is Space.YBR_FULL
    assert decide_colour(ColourMarkers(names="RGB", subsampled=True), "YBR_FULL").space is Space.RGB
    assert decide_colour(ColourMarkers(adobe=2), "RGB") == Colour(Space.RGB)
    assert decide_colour(ColourMarkers(), "YBR_ICT") == Colour(Space.RGB)


def facts(number: int, *, lossless: bool = False, **markers: Any) -> FrameFacts:
    return FrameFacts(
        width=1, height=1, samples=3, precision=8, lossless=lossless, syntax=transfer_syntax(jpeg(number)),
        markers=ColourMarkers(**markers),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "stated", "published"),
    [
        (facts(50, adobe=0), "YBR_FULL_422", "RGB"),
        (facts(50, jfif=True), "RGB", "YBR_FULL"),
        (facts(50, jfif=True, subsampled=True), "RGB", "YBR_FULL_422"),
        (facts(50, jfif=True), "YBR_FULL_422", "YBR_FULL_422"),
        (facts(91, transform=True), "YBR_FULL", "YBR_ICT"),
        (facts(91, transform=True, lossless=True), "YBR_FULL", "YBR_RCT"),
        (facts(91, transform=True), "RGB", "RGB"),
        (facts(91), "YBR_ICT", "RGB"),
        (facts(203, subsampled=True), "RGB", "YBR_FULL_422"),
    ],
)
def test_kept_frames_have_metadata_that_describe_them(found: FrameFacts, stated: str, published: str) -> None:
    """PS3.5 8.2.1, 8.2.4: what stays as it is must be read as it is."""
    assert kept_photometric(found, decide_colour(found.markers, stated), stated) == published


@pytest.mark.parametrize(
    ("found", "stated", "told"),
    [
        (facts(50), "RGB", True),
        (facts(50, adobe=0), "RGB", False),
        (facts(50, names="RGB"), "RGB", False),
        (facts(50, names="rgb"), "RGB", True),
        (facts(50, adobe=0, jfif=True), "RGB", True),
        (facts(50), "YBR_FULL_422", False),
        (facts(91), "RGB", False),
    ],
)
def test_rgb_in_jpeg_that_no_marker_tells_of_is_noted(found: FrameFacts, stated: str, told: bool) -> None:
    assert bool(viewer_note(found, decide_colour(found.markers, stated))) == told
