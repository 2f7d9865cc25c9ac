from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import jpeg_ls
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.pixels.encoders.base import RLELosslessEncoder

from stillframe.dicom.read import PixelElement
from stillframe.errors import PixelDataError
from stillframe.pixels.description import describe_pixels
from stillframe.pixels.native import native_bytes
from stillframe.pixels.reader import Form
from tests.support.dicom_files import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    RLE,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image_attributes,
    jpeg,
    offset_table,
    random_samples,
    write_dicom,
)
from tests.support.examples import SAME_FOLDER, examples
from tests.support.frame_encoders import (
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
from tests.support.reading import opened, read_frames

type Frame = npt.NDArray[Any]

NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)


def stored_bytes(frames: list[Frame], syntax: str, *, planar: int = 0, words: bool = False) -> bytes:
    """Frames as a native data set stores them; `words` are 8-bit samples in OW words (PS3.5 8.1.1)."""
    planes = [frame.transpose(2, 0, 1) if planar else frame for frame in frames]
    data = b"".join(
        frame.astype(frame.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<")).tobytes() for frame in planes
    )
    data += bytes(len(data) % 2)
    return np.frombuffer(data, "<u2").byteswap().tobytes() if words else data


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("i1", 8), ("u2", 16), ("i2", 16), ("u2", 12), ("i2", 12)])
def test_native_grey_frames_are_read(tmp_path: Path, syntax: str, dtype: str, bits: int) -> None:
    frames = [random_samples((5, 7), dtype, bits, seed) for seed in range(3)]
    path = write_dicom(
        tmp_path / "file",
        syntax,
        image_attributes(frames[0], 3, BitsStored=bits),
        stored_bytes(frames, syntax, words=syntax == BIG_ENDIAN and dtype[1] == "1"),
    )
    found = read_frames(path)
    assert [frame.dtype for frame in found] == [np.dtype(dtype)] * 3
    assert all(np.array_equal(one, other) for one, other in zip(found, frames, strict=True))


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_native_colour_frames_are_interleaved(tmp_path: Path, syntax: str, planar: int, dtype: str) -> None:
    frames = [random_samples((5, 3, 3), dtype, 8, seed) for seed in range(2)]
    path = write_dicom(
        tmp_path / "file",
        syntax,
        image_attributes(frames[0], 2, PlanarConfiguration=planar),
        stored_bytes(frames, syntax, planar=planar, words=syntax == BIG_ENDIAN and dtype == "u1"),
    )
    assert np.array_equal(read_frames(path), frames)


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_of_one_bit_is_interleaved(tmp_path: Path, planar: int) -> None:
    """Frames of 105 bits: a plane begins inside a byte."""
    frames = random_samples((2, 5, 7, 3), "u1", 1)
    stored = frames.transpose(0, 3, 1, 2) if planar else frames
    value = np.packbits(stored.reshape(-1), bitorder="little").tobytes()
    value += bytes(len(value) % 2)
    attributes = image_attributes(frames[0], 2, BitsAllocated=1, BitsStored=1, PlanarConfiguration=planar)
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, value, vr="OB")
    assert np.array_equal(read_frames(path), frames)
    assert np.array_equal(dcmread(path).pixel_array, frames)


@pytest.mark.slow
@settings(max_examples=examples(100), suppress_health_check=SAME_FOLDER)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), count=st.integers(1, 5), vr=st.sampled_from(["OB", "OW"]),
    samples=st.sampled_from([1, 3]),
)  # fmt: skip
def test_big_endian_words_of_bytes_with_odd_frames(
    tmp_path: Path, rows: int, columns: int, count: int, vr: str, samples: int
) -> None:
    """In OW two samples share a word, so a frame of odd length ends inside one; OB has no byte order."""
    shape = (rows, columns, 3) if samples == 3 else (rows, columns)
    frames = [random_samples(shape, "u1", 8, seed) for seed in range(count)]
    value = stored_bytes(frames, BIG_ENDIAN, words=vr == "OW")
    path = write_dicom(tmp_path / "file", BIG_ENDIAN, image_attributes(frames[0], count), value, vr=vr)
    found = read_frames(path)
    assert len(found) == count
    assert np.array_equal(found, frames)


def test_big_endian_words_agree_with_pydicom(tmp_path: Path) -> None:
    frame = random_samples((4, 6), "u1", 8)
    value = stored_bytes([frame], BIG_ENDIAN, words=True)
    path = write_dicom(tmp_path / "file", BIG_ENDIAN, image_attributes(frame), value)
    assert np.array_equal(dcmread(path).pixel_array, read_frames(path)[0])


@given(count=st.integers(1, 9), rows=st.integers(1, 7), columns=st.integers(1, 7), big=st.booleans())
@settings(max_examples=examples(100), suppress_health_check=SAME_FOLDER)
def test_one_bit_frames_need_not_begin_on_a_byte(
    tmp_path: Path, count: int, rows: int, columns: int, big: bool
) -> None:
    frames = random_samples((count, rows, columns), "u1", 1)
    data = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    data += bytes(len(data) % 2)
    attributes = image_attributes(frames[0], count, BitsAllocated=1, BitsStored=1)
    path = write_dicom(tmp_path / "file", BIG_ENDIAN if big else EXPLICIT, attributes, data, vr="OB")
    found = read_frames(path)
    assert len(found) == count
    assert np.array_equal(found, frames)
    assert all(
        np.array_equal(np.unpackbits(np.frombuffer(native_bytes(one, 1), "u1"), count=one.size, bitorder="little"),
                       one.reshape(-1))
        for one in found
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "bits"), [("u2", 12), ("i2", 12), ("u1", 7), ("i1", 5), ("i2", 1), ("i2", 15)])
def test_bits_above_bits_stored_are_no_part_of_a_sample(tmp_path: Path, dtype: str, bits: int) -> None:
    """An old overlay above unsigned samples is cleared; above signed ones the sign is put in its place."""
    frame = random_samples((6, 8), dtype, bits)
    plain = frame.view(f"u{frame.itemsize}")
    mask = (1 << bits) - 1
    overlay = (plain & mask) | (random_samples((6, 8), f"u{frame.itemsize}", frame.itemsize * 8 - bits, 9) << bits)
    attributes = image_attributes(frame, BitsStored=bits)
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, stored_bytes([overlay], EXPLICIT))
    with opened(path) as reader:
        decoded = reader.decoded(0)
    assert decoded.masked
    assert np.array_equal(decoded.array, frame)
    path = write_dicom(tmp_path / "clean", EXPLICIT, attributes, stored_bytes([frame], EXPLICIT))
    with opened(path) as reader:
        assert not reader.decoded(0).masked


def test_signed_samples_without_sign_extension_are_extended(tmp_path: Path) -> None:
    stored = np.array([[0x0FFF, 0x0800], [0x07FF, 0x0001]], "u2")
    path = write_dicom(
        tmp_path / "file",
        EXPLICIT,
        image_attributes(stored, BitsStored=12, PixelRepresentation=1),
        stored_bytes([stored], EXPLICIT),
    )
    assert read_frames(path)[0].tolist() == [[-1, -2048], [2047, 1]]


def rgb_of(ybr: Frame) -> Frame:
    """The inverse of PS3.3 C.7.6.3.1.2, rounded to the nearest and clipped."""
    y, cb, cr = (ybr[..., index].astype("f8") for index in range(3))
    rgb = np.stack(
        [
            y + 1.402 * (cr - 128),
            y - (0.114 * 1.772 * (cb - 128) + 0.299 * 1.402 * (cr - 128)) / 0.587,
            y + 1.772 * (cb - 128),
        ],
        axis=-1,
    )
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype("u1")


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("planar", [0, 1])
def test_native_ybr_full_becomes_rgb(tmp_path: Path, syntax: str, planar: int) -> None:
    ybr = random_samples((5, 6, 3), "u1", 8)
    path = write_dicom(
        tmp_path / "file",
        syntax,
        image_attributes(ybr, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=planar),
        stored_bytes([ybr], syntax, planar=planar),
        vr="OB",
    )
    with opened(path) as reader:
        decoded = reader.decoded(0)
    assert decoded.converted
    # pydicom's coefficients have four digits: a sample may fall on the other side of one half.
    assert np.abs(decoded.array.astype(int) - rgb_of(ybr)).max() <= 1
    assert (decoded.array != rgb_of(ybr)).mean() < 0.05


@pytest.mark.parametrize("count", [1, 2, 3])
def test_native_ybr_full_422_shares_chrominance_between_two_pixels(tmp_path: Path, count: int) -> None:
    frames = random_samples((count, 3, 6, 3), "u1", 8)
    frames[:, :, 1::2, 1:] = frames[:, :, ::2, 1:]
    quads = np.stack([frames[:, :, ::2, 0], frames[:, :, 1::2, 0], frames[:, :, ::2, 1], frames[:, :, ::2, 2]], axis=-1)
    path = write_dicom(
        tmp_path / "file",
        EXPLICIT,
        image_attributes(frames[0], count, PhotometricInterpretation="YBR_FULL_422"),
        quads.tobytes(),
        vr="OB",
    )
    found = read_frames(path)
    assert len(found) == count
    for one, ybr in zip(found, frames, strict=True):
        assert np.abs(one.astype(int) - rgb_of(ybr)).max() <= 1


def test_native_ybr_full_422_of_an_odd_width_is_refused(tmp_path: Path) -> None:
    frame = random_samples((2, 3, 3), "u1", 8)
    attributes = image_attributes(frame, PhotometricInterpretation="YBR_FULL_422")
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, bytes(12), vr="OB")
    with pytest.raises(PixelDataError, match="even number of columns"):
        read_frames(path)


def test_the_size_of_a_frame_is_that_of_its_fragments_whatever_a_table_says(tmp_path: Path) -> None:
    """Extended Offset Table Lengths (7FE0,0002) may say anything."""
    frame = random_samples((3, 4), "u1", 8)
    tables = {"ExtendedOffsetTable": struct.pack("<Q", 0), "ExtendedOffsetTableLengths": struct.pack("<Q", 1 << 60)}
    value = encapsulated_value([frame.tobytes()])
    with opened(write_dicom(tmp_path / "file", UNCOMPRESSED_ITEMS, image_attributes(frame) | tables, value)) as reader:
        assert reader.stored_bytes(0) == 12


@pytest.mark.parametrize("dtype", ["u4", "i4"])
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_samples_of_32_bits_are_read_but_not_encodable(tmp_path: Path, syntax: str, dtype: str) -> None:
    frame = random_samples((3, 4), dtype, 32)
    path = write_dicom(tmp_path / "file", syntax, image_attributes(frame), stored_bytes([frame], syntax))
    with opened(path) as reader:
        assert not reader.description.encodable
        assert np.array_equal(reader.decoded(0).array, frame)


@pytest.mark.parametrize(("dtype", "tag", "vr"), [("f4", 0x0008, "OF"), ("f8", 0x0009, "OD")])
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_floating_point_samples_are_read_but_not_encodable(
    tmp_path: Path, syntax: str, dtype: str, tag: int, vr: str
) -> None:
    frame = np.linspace(-1e30, 1e-30, 12).reshape(3, 4).astype(dtype)
    attributes = image_attributes(frame, BitsStored=None, HighBit=None, PixelRepresentation=None)
    value = stored_bytes([frame], syntax)
    path = write_dicom(tmp_path / "file", syntax, attributes, value, vr=vr, tag=(0x7FE0, tag))
    with opened(path) as reader:
        assert not reader.description.encodable
        assert np.array_equal(reader.decoded(0).array, frame)
        assert reader.decoded(0).array.dtype == np.dtype(dtype)


# --- promises that are not kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("promised", "held"), [(3, 2), (2, 3), (1, 2), (1, 7)])
def test_native_pixel_data_of_another_number_of_frames_are_refused(
    tmp_path: Path, syntax: str, promised: int, held: int
) -> None:
    frame = random_samples((4, 4), "u2", 16)
    value = stored_bytes([frame] * held, syntax)
    path = write_dicom(tmp_path / "file", syntax, image_attributes(frame, promised), value)
    reason = f"need {promised * 32} bytes, the pixel data have {held * 32}" if held < promised else f"hold {held}"
    with pytest.raises(PixelDataError, match=reason), opened(path):
        pass


def test_one_byte_of_padding_is_no_frame(tmp_path: Path) -> None:
    frame = random_samples((1, 1), "u1", 8)
    path = write_dicom(tmp_path / "file", EXPLICIT, image_attributes(frame), frame.tobytes() + b"\0", vr="OB")
    assert read_frames(path)[0].tolist() == frame.tolist()


MISSING = [None, "", 0]


@pytest.mark.parametrize("frames", MISSING)
@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    ("dtype", "shape", "held"), [("u1", (3, 3), 1), ("u1", (3, 3), 7), ("i2", (3, 5), 2), ("u1", (3, 3, 3), 4)]
)
def test_a_missing_number_of_frames_is_what_the_native_pixel_data_hold(
    tmp_path: Path, frames: int | str | None, syntax: str, dtype: str, shape: tuple[int, ...], held: int
) -> None:
    samples = [random_samples(shape, dtype, 8, seed) for seed in range(held)]
    attributes = image_attributes(samples[0]) | {"NumberOfFrames": frames}
    path = write_dicom(tmp_path / "file", syntax, attributes, stored_bytes(samples, syntax), vr="OB")
    with opened(path) as reader:
        assert reader.description.frames == held
        assert reader.notes == ([f"Number of Frames is missing; the pixel data hold {held}"] if held > 1 else [])
        assert ("00280008" in reader.changes) == (held > 1)
    assert np.array_equal(read_frames(path), samples)


def test_padding_is_no_second_frame_and_a_frame_and_a_half_are_refused(tmp_path: Path) -> None:
    one = random_samples((1, 1), "u1", 8)
    attributes = image_attributes(one) | {"NumberOfFrames": None}
    assert len(read_frames(write_dicom(tmp_path / "a", EXPLICIT, attributes, one.tobytes() + b"\0", vr="OB"))) == 1
    frame = random_samples((4, 4), "u1", 8)
    attributes = image_attributes(frame) | {"NumberOfFrames": None}
    path = write_dicom(tmp_path / "b", EXPLICIT, attributes, frame.tobytes() * 2 + bytes(8), vr="OB")
    with pytest.raises(PixelDataError, match="Number of Frames is missing, and 40 bytes of pixel data do not tell it"):
        read_frames(path)
    tiny = image_attributes(random_samples((1, 3), "u1", 1), BitsAllocated=1, BitsStored=1) | {"NumberOfFrames": None}
    with pytest.raises(PixelDataError, match="4 bytes of pixel data do not tell it"):  # 6 to 10 frames of 3 bits
        read_frames(write_dicom(tmp_path / "c", EXPLICIT, tiny, bytes(4), vr="OB"))


@pytest.mark.parametrize("frames", MISSING)
@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_a_missing_number_of_frames_is_what_the_fragments_hold(
    tmp_path: Path, frames: int | str | None, table: str
) -> None:
    samples = [random_samples((9, 13), "u1", 8, seed) for seed in range(3)]
    fragments = [part for data in (j2k(frame, 8) for frame in samples) for part in (data[:40], data[40:])]
    attributes = image_attributes(samples[0]) | {"NumberOfFrames": frames}
    if table == "extended":
        attributes["ExtendedOffsetTable"] = offset_table(fragments, [0, 2, 4], "Q")
    basic = offset_table(fragments, [0, 2, 4]) if table == "basic" else b""
    path = write_dicom(tmp_path / "file", jpeg(90), attributes, encapsulated_value(fragments, basic), vr="OB")
    with opened(path) as reader:
        assert reader.notes == ["Number of Frames is missing; the pixel data hold 3"]
    assert np.array_equal(read_frames(path), samples)


def test_native_ybr_full_422_as_long_as_ybr_full_is_refused(tmp_path: Path) -> None:
    frame = random_samples((2, 4, 3), "u1", 8)
    attributes = image_attributes(frame, PhotometricInterpretation="YBR_FULL_422")
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, frame.tobytes(), vr="OB")
    with pytest.raises(PixelDataError, match="1 frames of YBR_FULL_422 need 16 bytes, the pixel data have 24"):
        read_frames(path)


def test_the_limit_to_the_size_of_a_frame_is_an_option() -> None:
    dataset = Dataset()
    for keyword, value in image_attributes(random_samples((4, 4), "u2", 12)).items():
        setattr(dataset, keyword, value)
    element = PixelElement("PixelData", "OW", 0, 32)
    assert describe_pixels(dataset, element, 32).frame_bytes == 32
    with pytest.raises(PixelDataError, match="a frame of 32 bytes exceeds the limit of 31"):
        describe_pixels(dataset, element, 31)


def describe(**changes: Any) -> None:
    dataset = Dataset()
    for keyword, value in (image_attributes(random_samples((4, 4), "u2", 12)) | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    describe_pixels(dataset, PixelElement("PixelData", "OW", 0, 32))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": None}, "Rows is missing"),
        ({"Columns": 0}, "an image of 0 x 4 pixels"),
        ({"BitsAllocated": None}, "BitsAllocated is missing"),
        ({"BitsAllocated": 10}, "Bits Allocated 10 is not supported"),
        ({"BitsAllocated": 12, "BitsStored": 13}, "Bits Stored 13 with Bits Allocated 12"),
        ({"BitsStored": 17}, "Bits Stored 17 with Bits Allocated 16"),
        ({"PhotometricInterpretation": "RGB"}, "'RGB' with 1 samples is not supported"),
        ({"PhotometricInterpretation": None}, "'' with 1 samples is not supported"),
        ({"SamplesPerPixel": 4, "PhotometricInterpretation": "CMYK"}, "'CMYK' with 4 samples is not supported"),
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL", "BitsAllocated": 32},
            "YBR_FULL with Bits Allocated 32 is not supported",
        ),
        ({"PixelRepresentation": 2}, "are 0 or 1"),
        ({"NumberOfFrames": -1}, "Number of Frames is -1"),
        ({"Rows": 65535, "Columns": 65535}, "exceeds the limit"),
    ],
)
def test_an_image_pixel_module_that_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    describe()
    with pytest.raises(PixelDataError, match=reason):
        describe(**changes)


def test_pixel_data_and_transfer_syntax_must_agree(tmp_path: Path) -> None:
    frame = random_samples((4, 4), "u1", 8)
    path = write_dicom(tmp_path / "a", EXPLICIT, image_attributes(frame), encapsulated_value([b"1234"]), native=False)
    with pytest.raises(PixelDataError, match="encapsulated pixel data under the native"), opened(path):
        pass
    path = write_dicom(tmp_path / "b", jpeg(90), image_attributes(frame), frame.tobytes(), native=True)
    with pytest.raises(PixelDataError, match="asks for encapsulated pixel data, these are native"), opened(path):
        pass


VIDEO = [jpeg(number) for number in range(100, 109)] + [f"{jpeg(number)}.1" for number in range(100, 107)]
LIVE = ["1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2", "1.2.840.10008.1.2.7.3"]


@pytest.mark.parametrize("syntax", [*VIDEO, *LIVE, "1.2.840.10008.1.2.6.1"])
def test_transfer_syntaxes_without_still_frames_are_refused(tmp_path: Path, syntax: str) -> None:
    frame = random_samples((4, 4), "u1", 8)
    path = write_dicom(tmp_path / "file", syntax, image_attributes(frame), encapsulated_value([b"1234"]), vr="OB")
    with pytest.raises(PixelDataError, match=rf"{syntax} .*is not supported"), opened(path):
        pass


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("number", [94, 95, 204, 205])
def test_jpip_references_are_refused_by_name(tmp_path: Path, number: int, native: bool) -> None:
    frame = random_samples((4, 4), "u1", 8)
    value = frame.tobytes() if native else encapsulated_value([b"1234"])
    path = write_dicom(tmp_path / "file", jpeg(number), image_attributes(frame), value, vr="OB", native=native)
    with pytest.raises(PixelDataError, match=rf"{number} .*JPIP.* refers to a JPIP provider"), opened(path):
        pass


# --- compressed -------------------------------------------------------------------------------------------------


LOSSLESS = [
    *((jpeg(number), j2k) for number in (90, 91)),
    *((jpeg(number), htj2k) for number in (201, 202, 203)),
    (jpeg(80), jpegls),
    (jpeg(81), jpegls),
    (jpeg(70), lossless_jpeg),
    (jpeg(110), jpegxl),
]


@pytest.mark.parametrize(("syntax", "encode"), LOSSLESS)
@pytest.mark.parametrize(
    ("shape", "dtype", "bits"), [((9, 13), "u1", 8), ((9, 13), "u2", 12), ((9, 13), "u2", 16), ((9, 13, 3), "u1", 8)]
)
def test_lossless_frames_decode_to_what_was_encoded(
    tmp_path: Path, syntax: str, encode: Any, shape: tuple[int, ...], dtype: str, bits: int
) -> None:
    frames = [random_samples(shape, dtype, bits, seed) for seed in range(2)]
    encoded = [encode(frame, bits) for frame in frames]
    colour = {"PhotometricInterpretation": "YBR_RCT"} if len(shape) == 3 and encode in (j2k, htj2k) else {}
    attributes = image_attributes(frames[0], 2, BitsStored=bits, **colour)
    path = write_dicom(tmp_path / "file", syntax, attributes, encapsulated_value(encoded), vr="OB")
    with opened(path) as reader:
        assert reader.form() is Form.LOSSLESS
        for index, frame in enumerate(frames):
            decoded = reader.decoded(index)
            assert np.array_equal(decoded.array, frame)
            assert decoded.array.dtype == frame.dtype
            assert not decoded.masked
            assert not decoded.converted


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize(
    ("shape", "dtype", "bits"),
    [((9, 13), "u1", 8), ((9, 13), "u2", 12), ((9, 13), "u2", 16), ((9, 13), "i2", 16), ((9, 13, 3), "u1", 8)],
)
def test_every_selection_value_of_lossless_jpeg_decodes_to_what_was_encoded(
    tmp_path: Path, predictor: int, shape: tuple[int, ...], dtype: str, bits: int
) -> None:
    """The encoder is libjpeg-turbo's, the decoder another one; Ss in the scan header is the predictor (10918-1 H)."""
    frame = random_samples(shape, dtype, bits)
    data = lossless_jpeg(frame.view(f"u{frame.itemsize}"), bits, predictor)
    scan = data.index(b"\xff\xda")
    assert data[scan + 5 + 2 * data[scan + 4]] == predictor
    attributes = image_attributes(frame, BitsStored=bits)
    path = write_dicom(tmp_path / "file", jpeg(57), attributes, encapsulated_value([data]), vr="OB")
    with opened(path) as reader:
        assert reader.form() is Form.LOSSLESS
        assert np.array_equal(reader.decoded(0).array, frame)


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("planar", [0, 1])
def test_every_interleave_mode_of_jpeg_ls_gives_the_same_colours(tmp_path: Path, mode: int, planar: int) -> None:
    """ISO/IEC 14495-1 C.2.3: by planes, by lines, by samples, whatever Planar Configuration says (PS3.5 8.2.3)."""
    frame = random_samples((19, 23, 3), "u1", 8)
    data = bytes(jpeg_ls.encode_array(frame if mode else frame.transpose(2, 0, 1).copy(), interleave_mode=mode))
    attributes = image_attributes(frame, PlanarConfiguration=planar)
    path = write_dicom(tmp_path / "file", jpeg(80), attributes, encapsulated_value([data]), vr="OB")
    assert np.array_equal(read_frames(path)[0], frame)


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k)])
def test_signed_wavelet_frames_keep_their_sign(tmp_path: Path, number: int, encode: Any) -> None:
    frame = random_samples((20, 30), "i2", 13)
    attributes = image_attributes(frame, BitsStored=13)
    path = write_dicom(tmp_path / "file", jpeg(number), attributes, encapsulated_value([encode(frame, 13)]), vr="OB")
    assert np.array_equal(read_frames(path)[0], frame)


@pytest.mark.parametrize(("shape", "dtype"), [((9, 13), "u1"), ((9, 13), "i2"), ((8, 9, 3), "u1"), ((9, 13), "u2")])
def test_rle_frames_decode_to_what_was_encoded(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    frames = [random_samples(shape, dtype, 8 * np.dtype(dtype).itemsize, seed) for seed in range(3)]
    attributes = image_attributes(frames[0], 3)
    options = {
        "rows": shape[0], "columns": shape[1], "samples_per_pixel": attributes["SamplesPerPixel"],
        "photometric_interpretation": attributes["PhotometricInterpretation"], "number_of_frames": 1,
        "bits_allocated": attributes["BitsAllocated"], "bits_stored": attributes["BitsStored"],
        "pixel_representation": attributes["PixelRepresentation"], "planar_configuration": 0,
    }  # fmt: skip
    encoded = [RLELosslessEncoder.encode(frame, encoding_plugin="pydicom", **options) for frame in frames]
    path = write_dicom(tmp_path / "file", RLE, attributes, encapsulated_value(encoded), vr="OB")
    with opened(path) as reader:
        assert reader.form() is Form.LOSSLESS
    assert np.array_equal(read_frames(path), frames)


def test_rle_bits_above_bits_stored_are_masked(tmp_path: Path) -> None:
    frame = random_samples((4, 4), "u2", 12)
    stored = frame | 0xF000
    low, high = (stored & 0xFF).astype("u1").tobytes(), (stored >> 8).astype("u1").tobytes()
    segments = [bytes([15]) + high + b"\x80", bytes([15]) + low + b"\x80"]
    header = struct.pack("<3L", 2, 64, 64 + len(segments[0])) + bytes(52)
    attributes = image_attributes(frame, BitsStored=12)
    path = write_dicom(tmp_path / "file", RLE, attributes, encapsulated_value([header + b"".join(segments)]), vr="OB")
    with opened(path) as reader:
        decoded = reader.decoded(0)
    assert decoded.masked
    assert np.array_equal(decoded.array, frame)


LOSSY = [
    (jpeg(81), jpeg_ls_near, 8),
    (jpeg(81), jpeg_ls_near, 12),
    (jpeg(91), j2k_lossy, 8),
    (jpeg(91), j2k_lossy, 12),
    (jpeg(203), htj2k_lossy, 12),
    (jpeg(50), jpeg_lossy, 8),
    (jpeg(51), jpeg_lossy, 8),
    (jpeg(51), jpeg_lossy, 12),
    (jpeg(112), jpegxl_lossy, 8),
    (jpeg(112), jpegxl_lossy, 12),
    (jpeg(111), jpegxl_of_jpeg, 8),
]


@pytest.mark.parametrize(("syntax", "encode", "bits"), LOSSY)
def test_lossy_frames_are_known_as_such_and_decode_nearly(tmp_path: Path, syntax: str, encode: Any, bits: int) -> None:
    row, column = np.mgrid[:40, :50]
    frame = ((np.sin(row / 9) + np.cos(column / 7) + 2) * ((1 << bits) - 1) / 4).astype("u1" if bits == 8 else "u2")
    attributes = image_attributes(frame, BitsStored=bits)
    path = write_dicom(tmp_path / "file", syntax, attributes, encapsulated_value([encode(frame, bits)]), vr="OB")
    with opened(path) as reader:
        assert reader.form() is Form.LOSSY
        decoded = reader.decoded(0).array
    assert decoded.dtype == frame.dtype
    error = np.abs(decoded.astype(int) - frame)
    assert 0 < error.max() <= (1 << bits) // 32


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    frame = random_samples((9, 13), "u1", 8)
    attributes = image_attributes(frame, Rows=13, Columns=9)
    path = write_dicom(tmp_path / "file", jpeg(80), attributes, encapsulated_value([jpegls(frame, 8)]), vr="OB")
    with pytest.raises(PixelDataError, match="the frame is 13 x 9, the data set says 9 x 13"):
        read_frames(path)


# Not the JPEG syntaxes: gdcm ends its process on some damaged images, which is why builds decode in worker processes
# (tests/build/test_frames.py).
ENCODED = (
    {syntax: encode for syntax, encode in LOSSLESS if encode in (j2k, htj2k, jpegls)}
    | {syntax: encode for syntax, encode, bits in LOSSY if bits == 8 and encode is not jpeg_lossy}
    | {jpeg(110): jpegxl}
)


@pytest.mark.parametrize("syntax", ENCODED)
@settings(max_examples=examples(25), suppress_health_check=SAME_FOLDER)
@given(place=st.floats(0, 1, exclude_max=True), cut=st.floats(0, 1), value=st.integers(0, 255))
def test_damaged_frames_are_refused_or_decode_to_an_image_of_the_right_size(
    tmp_path: Path, syntax: str, place: float, cut: float, value: int
) -> None:
    """Whatever the damage, nothing but PixelDataError comes out, and no other size."""
    frame = random_samples((9, 13), "u1", 8)
    whole = bytearray(ENCODED[syntax](frame, 8))
    whole[int(place * len(whole))] = value
    damaged = bytes(whole[: int(cut * len(whole))]) if cut < 0.8 else bytes(whole)
    attributes = image_attributes(frame)
    path = write_dicom(tmp_path / "file", syntax, attributes, encapsulated_value([damaged]), vr="OB")
    try:
        found = read_frames(path)
    except PixelDataError:
        return
    assert [one.shape for one in found] == [frame.shape]


def test_every_native_transfer_syntax_gives_the_same_pixels(tmp_path: Path) -> None:
    frame = random_samples((7, 5), "i2", 14)
    attributes = image_attributes(frame, BitsStored=14)
    found = [
        read_frames(write_dicom(tmp_path / syntax, syntax, attributes, stored_bytes([frame], syntax)))[0]
        for syntax in NATIVE
    ]
    assert all(np.array_equal(one, other) for one, other in itertools.pairwise([*found, frame]))
