"""The grayscale pipeline, palettes and reduction, against pydicom, Pillow and arithmetic."""

from __future__ import annotations

import dataclasses
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.dataset import FileDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing

from stillframe.dicom.json_convert import convert
from stillframe.dicom.viewer_values import in_viewer_form
from stillframe.pixels.display import read_display
from stillframe.pixels.rendering import (
    Display,
    LookupTable,
    Ramp,
    Rescale,
    Sigmoid,
    fit_size,
    linear_window,
    reduce_image,
    render_frame,
    settle_window,
)
from tests.support.dicom_files import image, noise, to_bytes


def display_of(dataset: FileDataset, frame_index: int = 0) -> Display:
    """As the pipeline reads it: from the file's bytes, through DICOM JSON."""
    converted = convert(dcmread(BytesIO(to_bytes(dataset)), stop_before_pixels=True))
    published = in_viewer_form(converted.dataset, converted.bulk)
    return read_display(published.dataset, frame_index, {value.path: value.data for value in published.bulk})


def shown(dataset: FileDataset) -> npt.NDArray[np.uint8]:
    frame = dataset.pixel_array
    return render_frame(frame, settle_window(display_of(dataset), frame))


def eight_bits(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    return np.floor((values - low) / (high - low) * 255 + 0.5)


def lut(first: int, entries: npt.NDArray[Any], bits: int = 16, vr: str = "OW") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    data = entries.astype("<u2")
    item.add_new("LUTData", vr, data.tobytes() if vr == "OW" else data.tolist())
    return item


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
def test_windows_are_those_of_pydicom(function: str | None, signed: bool) -> None:
    pixels = noise(1).astype("i2") - 1500 if signed else noise(1)
    attributes = {"RescaleSlope": "2", "RescaleIntercept": "-1024", "WindowCenter": ["700.5", "5"]}
    dataset = image(1, pixels, BitsStored=13, WindowWidth=["900", "6"], **attributes)
    if function:
        dataset.VOILUTFunction = function
    values = apply_windowing(apply_modality_lut(pixels, dataset), dataset)
    least = -4096 if signed else 0
    ends = least * 2 - 1024, (least + 8191) * 2 - 1024
    assert np.abs(shown(dataset).astype(int) - eight_bits(values, *ends)).max() <= (1 if function == "SIGMOID" else 0)


@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("count", [300, 4096])  # in line, and large enough for bulk data
def test_lookup_tables_are_those_of_pydicom(vr: str, count: int) -> None:
    modality = lut(100, np.arange(count) * 7 % 2048, vr=vr)
    modality.ModalityLUTType = "US"
    voi = lut(50, 4095 - np.arange(1500) * 2, 12, vr)
    dataset = image(1, ModalityLUTSequence=Sequence([modality]), VOILUTSequence=Sequence([voi]))
    dataset.WindowCenter, dataset.WindowWidth = "5", "3"  # the LUT comes first
    values = apply_voi(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    assert np.array_equal(shown(dataset), eight_bits(values, 0, 4095))


def test_a_lookup_table_may_begin_below_zero_and_hold_bytes() -> None:
    voi = lut(-1000, np.arange(256), 8)
    voi.LUTData = np.arange(256, dtype="u1").tobytes()
    pixels = noise(1).astype("i2") - 1500
    dataset = image(1, pixels, VOILUTSequence=Sequence([voi]), BitsStored=13)
    assert np.array_equal(shown(dataset), np.clip(pixels + 1000, 0, 255))


@pytest.mark.parametrize("width", ["0", "-5"])
def test_without_a_usable_window_the_frames_own_values_are_shown(width: str) -> None:
    dataset = image(1, RescaleSlope="-2", RescaleIntercept="10", WindowCenter="5", WindowWidth=width)
    values = dataset.pixel_array * -2.0 + 10
    assert np.array_equal(shown(dataset), eight_bits(values, values.min(), values.max()))


@pytest.mark.parametrize(("slope", "intercept"), [("1e308", "0"), ("-1e300", "5"), ("1", "1e308"), ("1e308", "-1e308")])
def test_a_rescale_that_leads_out_of_the_numbers_is_none(slope: str, intercept: str) -> None:
    dataset = image(1, RescaleSlope=slope, RescaleIntercept=intercept)
    values = dataset.pixel_array
    assert np.array_equal(shown(dataset), eight_bits(values, values.min(), values.max()))


def test_a_rescale_of_floats_that_leads_out_of_the_numbers_is_none() -> None:
    values = noise(1)
    wide = values * 2.0**1000
    display = settle_window(Display(bits=64, modality=Rescale(1e10)), wide)
    assert np.array_equal(render_frame(wide, display), eight_bits(values, values.min(), values.max()))


@pytest.mark.parametrize("stored", [-2000, 63536])  # as a signed value, and as some write it, unsigned
def test_padding_does_not_count(stored: int) -> None:
    pixels = noise(1).astype("i2")
    pixels[:20] = -2000
    dataset = image(1, pixels, BitsStored=16)
    dataset.add_new("PixelPaddingValue", "SS" if stored < 0 else "US", stored)
    inside = pixels[20:].astype(float)
    expected = eight_bits(np.clip(pixels, inside.min(), None), inside.min(), inside.max())
    assert np.array_equal(shown(dataset), expected)


def test_a_range_of_padding_does_not_count() -> None:
    pixels = noise(1)
    dataset = image(1, pixels, PixelPaddingValue=1000, PixelPaddingRangeLimit=4095)
    assert settle_window(display_of(dataset), pixels).voi == Ramp(
        pixels[pixels < 1000].min(), pixels[pixels < 1000].max()
    )


def test_eight_bit_images_without_a_window_keep_their_brightness() -> None:
    pixels = noise(1, bits=8) // 2
    assert np.array_equal(shown(image(1, pixels)), pixels)


def test_a_frame_of_one_value_is_dark() -> None:
    assert shown(image(1, np.full((4, 4), 700, "u2"))).max() == 0


@pytest.mark.parametrize(
    "attributes", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}]
)
def test_inverted_images(attributes: dict[str, str]) -> None:
    pixels = noise(1, bits=8)
    assert np.array_equal(shown(image(1, pixels, **attributes)), 255 - pixels)


def test_monochrome1_with_an_inverse_shape_is_inverted_once() -> None:
    pixels = noise(1, bits=8)
    dataset = image(1, pixels, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.array_equal(shown(dataset), 255 - pixels)


@pytest.mark.parametrize("kind", ["u4", "i4", "f4", "f8"])
def test_wide_samples(kind: str) -> None:
    frame = (noise(1).astype(float) * (1e5 if kind[0] != "f" else 1e-3) - (1e8 if kind == "i4" else 0)).astype(kind)
    display = settle_window(Display(bits=32), frame)
    values = frame.astype(float)
    assert np.array_equal(render_frame(frame, display), eight_bits(values, values.min(), values.max()))


def test_what_is_not_a_number_is_dark() -> None:
    frame = np.array([[np.nan, np.inf, 1.0, 3.0]])
    assert render_frame(frame, settle_window(Display(bits=64), frame)).tolist() == [[0, 255, 0, 255]]


def test_colour_of_other_depths() -> None:
    sixteen = noise(1, (4, 5, 3), 16)
    assert np.array_equal(render_frame(sixteen, Display(bits=16)), sixteen >> 8)
    wide = sixteen.astype("u4") << 16
    assert np.array_equal(render_frame(wide, Display(bits=32)), sixteen >> 8)
    five = noise(1, (4, 5, 3), 8) >> 3
    assert np.array_equal(render_frame(five, Display(bits=5)), five.astype(int) * 255 // 31)


@pytest.mark.parametrize("name", ["examples_palette.dcm", "gdcm-US-ALOKA-16.dcm", "OBXXXX1A.dcm"])
def test_palettes_are_those_of_pydicom(name: str, pydicom_files: list[Path]) -> None:
    dataset = dcmread(next(path for path in pydicom_files if path.name == name))
    colours = apply_color_lut(dataset.pixel_array, dataset)
    deep = colours.dtype.itemsize == 2 and colours.max() > 255
    assert np.array_equal(shown(dataset), colours >> 8 if deep else colours)


def test_tables_of_a_palette_may_begin_and_end_apart() -> None:
    frame = np.arange(-20, 20, dtype="i2").reshape(5, 8)
    red, green, blue = (LookupTable(first, np.arange(1, 11, dtype="u2"), 8) for first in (-10, 0, 5))
    found = render_frame(frame, Display(bits=16, palette=(red, green, blue)))
    expected = np.stack([np.clip(frame - first, 0, 9) + 1 for first in (-10, 0, 5)], axis=-1)
    assert np.array_equal(found, expected)


def test_segmented_palettes_are_those_of_pydicom() -> None:
    # pydicom expands them too.
    pixels = np.arange(256, dtype="u1").reshape(16, 16)
    dataset = image(1, pixels, PhotometricInterpretation="PALETTE COLOR")
    for index, colour in enumerate(("Red", "Green", "Blue")):
        words = np.array([0, 2, 0, 1000 * index, 1, 254, 60000 - 9000 * index], "<u2")
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", words.tobytes())
    difference = shown(dataset).astype(int) - (apply_color_lut(pixels, dataset) >> 8)
    assert np.abs(difference).max() <= 1  # pydicom truncates what is here rounded


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 100), st.floats(0.01, 100))
def test_sizes_fit_and_keep_their_shape(rows: int, columns: int, vertical: float, horizontal: float) -> None:
    height, width = fit_size(rows, columns, (vertical, horizontal), 256)
    assert 1 <= height <= min(rows, 256)
    assert 1 <= width <= min(columns, 256)
    shape = (rows * vertical) / (columns * horizontal)
    if min(height, width) > 1:  # each side is rounded to whole pixels
        assert (height - 0.51) / (width + 0.51) <= shape <= (height + 0.51) / (width - 0.51)


def test_sizes() -> None:
    assert fit_size(512, 512, (1, 1), 256) == (256, 256)
    assert fit_size(100, 80, (1, 1), 256) == (100, 80)
    assert fit_size(100, 100, (2, 1), 256) == (100, 50)
    assert fit_size(1000, 500, (0.5, 1), 256) == (256, 256)
    assert fit_size(1, 5000, (1, 1), 256) == (1, 256)


def averaging(length: int, count: int) -> npt.NDArray[np.float64]:
    """The matrix that takes `length` samples to the means over `count` equal stretches of them."""
    ends, samples = np.arange(count + 1) * length / count, np.arange(length)
    shares = np.minimum(ends[1:, None], samples + 1) - np.maximum(ends[:-1, None], samples)
    matrix: npt.NDArray[np.float64] = np.clip(shares, 0, None)
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(48, 40), (31, 23), (96, 7), (1, 1), (95, 79)])
@pytest.mark.parametrize("shape", [(96, 80), (96, 80, 3)])
def test_reduction_is_the_mean_of_the_area(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    reduced = reduce_image(picture, *size)
    if shape[0] % size[0] == shape[1] % size[1] == 0:  # elsewhere Pillow's box filter takes whole pixels
        expected = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX)
        assert np.abs(reduced.astype(int) - np.asarray(expected)).max() <= 1
    weights = [averaging(length, count) for length, count in zip(shape, size, strict=False)]
    means = np.einsum("ij,kl,jl...->ik...", weights[0], weights[1], picture.astype(float))
    assert np.abs(reduced - means).max() <= 0.5 + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1500, 1429), (1429, 1500), (256, 244), (2, 2)])
def test_reduction_takes_little_memory(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (1500, 1500, 3), np.uint8)
    tracemalloc.start()
    reduced = reduce_image(picture, *size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * picture.nbytes
    rows, columns = (averaging(length, count) for length, count in zip((1500, 1500), size, strict=True))
    means = np.stack([rows @ picture[..., channel] @ columns.T for channel in range(3)], axis=-1)
    assert np.abs(reduced - means).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("palette", [False, True])
def test_rendering_takes_little_memory(palette: bool) -> None:
    frame = np.random.default_rng(3).integers(0, 65536, (1500, 3000), np.uint16)
    table = LookupTable(0, np.arange(65536, dtype="u2"), 16)
    display = Display(bits=16, voi=Ramp(0, 65535), palette=(table, table, table) if palette else None)
    tracemalloc.start()
    found = render_frame(frame, display)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * frame.nbytes
    if palette:
        assert np.array_equal(found, np.repeat((frame >> 8)[..., None], 3, axis=-1))
    else:
        assert np.array_equal(found, eight_bits(frame, 0, 65535))


def test_nothing_is_enlarged() -> None:
    with pytest.raises(ValueError, match="cannot become"):
        reduce_image(np.zeros((4, 4), np.uint8), 4, 5)


def test_windows_by_function() -> None:
    assert linear_window(100, 0) is None
    assert linear_window(100, 0.5) is None
    assert linear_window(100, 0.5, "LINEAR_EXACT") == Ramp(99.75, 100.25)
    assert linear_window(100, 50, "SIGMOID") == Sigmoid(100, 50)
    # PS3.3 C.11.2.1.2.1: with a width of 1 the values up to centre - 0.5 are dark and all others bright.
    frame = np.array([[98, 99, 100, 101]], "u2")
    assert render_frame(frame, Display(bits=16, voi=linear_window(100, 1))).tolist() == [[0, 0, 255, 255]]


def test_signed_samples_around_zero() -> None:
    frame = np.arange(-128, 128, dtype="i2").reshape(16, 16)
    display = Display(bits=16, modality=Rescale(), voi=Ramp(-128, 127))
    assert np.array_equal(render_frame(frame, display), frame + 128)
    narrow = dataclasses.replace(display, bits=8)
    assert np.array_equal(render_frame(frame.astype("i1"), narrow), frame + 128)
