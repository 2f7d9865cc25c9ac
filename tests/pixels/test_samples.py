"""What becomes of samples that are otherwise than the data set says; the expected values are worked out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillframe.pixels.reader import FrameReader
from stillframe.pixels.samples import Contradiction
from tests.support.dicom_files import encapsulated_value, image_attributes, jpeg, random_samples, write_dicom
from tests.support.frame_encoders import htj2k, j2k, jpegls, jpegxl, lossless_jpeg
from tests.support.reading import opened, read_frames

WITH_PRECISION = [(90, j2k), (201, htj2k), (80, jpegls), (110, jpegxl)]


def write(path: Path, number: int, data: bytes, like: Any, **attributes: Any) -> Path:
    return write_dicom(path, jpeg(number), image_attributes(like, **attributes), encapsulated_value([data]), vr="OB")


def contradiction(reader: FrameReader) -> Contradiction:
    with pytest.raises(Contradiction) as caught:
        reader.decoded(0)
    return caught.value


@pytest.mark.parametrize(("number", "encode"), WITH_PRECISION)
def test_a_greater_precision_is_no_contradiction_while_the_samples_fit(
    tmp_path: Path, number: int, encode: Any
) -> None:
    """As encoders write it that take the container's size for the precision."""
    frame = random_samples((16, 16), "u2", 10)
    path = write(tmp_path / "file", number, encode(frame, 16), frame, BitsStored=10)
    assert np.array_equal(read_frames(path)[0], frame)


@pytest.mark.parametrize(("number", "encode"), WITH_PRECISION)
def test_samples_beyond_bits_stored_are_those_of_the_codestream(tmp_path: Path, number: int, encode: Any) -> None:
    """A codestream has a precision of its own; its samples are never masked to what the data set says."""
    frame = random_samples((16, 16), "u2", 12)
    with opened(write(tmp_path / "file", number, encode(frame, 12), frame, BitsStored=10)) as reader:
        reader.adopt(contradiction(reader))
        assert (reader.description.bits_stored, reader.description.bits_allocated) == (12, 16)
        assert np.array_equal(reader.decoded(0).array, frame)
        assert {tag: element["Value"] for tag, element in reader.changes.items()} == {
            "00280101": [12],
            "00280102": [11],
        }
        (note,) = reader.notes
        assert note.startswith(
            "the codestream has unsigned samples of 12 bits, not 10 bits with Pixel Representation 0"
        )


@pytest.mark.parametrize(("number", "encode"), [*WITH_PRECISION, (70, lossless_jpeg)])
def test_samples_that_bits_allocated_cannot_hold_get_room(tmp_path: Path, number: int, encode: Any) -> None:
    frame = random_samples((16, 16), "u2", 12)
    path = write(tmp_path / "file", number, encode(frame, 12), frame, BitsAllocated=8, BitsStored=8)
    with opened(path) as reader:
        reader.adopt(contradiction(reader))
        assert reader.changes["00280100"]["Value"] == [16]
        assert np.array_equal(reader.decoded(0).array, frame)


@pytest.mark.parametrize("number", [57, 70])
def test_lossless_jpeg_of_the_container_is_masked_as_native_samples_are(tmp_path: Path, number: int) -> None:
    """A data set could be compressed with an overlay in its unused bits: the precision was that of the container."""
    frame = random_samples((16, 16), "u2", 16)
    with opened(write(tmp_path / "file", number, lossless_jpeg(frame, 16), frame, BitsStored=12)) as reader:
        decoded = reader.decoded(0)
    assert decoded.masked
    assert np.array_equal(decoded.array, frame & 0x0FFF)


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k), (80, jpegls)])
@pytest.mark.parametrize(
    ("bits", "precision", "extended"), [(13, 13, False), (12, 16, False), (12, 16, True), (16, 16, True)]
)
def test_unsigned_samples_under_pixel_representation_1_are_twos_complement(
    tmp_path: Path, number: int, encode: Any, bits: int, precision: int, extended: bool
) -> None:
    """Encoded from the bits of the cells, the sign extended over the container or not."""
    frame = random_samples((16, 16), "i2", bits)
    cells = frame.view("u2") if extended else frame.view("u2") & (1 << bits) - 1
    with opened(write(tmp_path / "file", number, encode(cells, precision), frame, BitsStored=bits)) as reader:
        decoded = reader.decoded(0)
    assert decoded.signed
    assert np.array_equal(decoded.array, frame)


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k)])
def test_signed_samples_under_pixel_representation_0_are_signed(tmp_path: Path, number: int, encode: Any) -> None:
    frame = random_samples((16, 16), "i2", 12)
    path = write(tmp_path / "file", number, encode(frame, 12), frame, BitsStored=12, PixelRepresentation=0)
    with opened(path) as reader:
        reader.adopt(contradiction(reader))
        assert {tag: element["Value"] for tag, element in reader.changes.items()} == {"00280103": [1]}
        assert np.array_equal(reader.decoded(0).array, frame)
        assert reader.decoded(0).array.dtype == np.dtype("i2")


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k)])
def test_signed_codestreams_without_negative_samples_contradict_nothing(
    tmp_path: Path, number: int, encode: Any
) -> None:
    frame = np.abs(random_samples((16, 16), "i2", 11))
    path = write(tmp_path / "file", number, encode(frame, 12), frame, BitsStored=12, PixelRepresentation=0)
    found = read_frames(path)[0]
    assert np.array_equal(found, frame)
    assert found.dtype == np.dtype("u2")


@pytest.mark.parametrize(
    ("number", "encode"), [(70, lossless_jpeg), (80, jpegls), (90, j2k), (201, htj2k), (110, jpegxl)]
)
def test_8_bit_codestreams_in_16_bit_cells_keep_their_samples(tmp_path: Path, number: int, encode: Any) -> None:
    frame = random_samples((16, 16), "u1", 8)
    found = read_frames(write(tmp_path / "file", number, encode(frame, 8), frame.astype("u2"), BitsStored=12))[0]
    assert np.array_equal(found, frame)
    assert found.dtype == np.dtype("u2")


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k)])
@pytest.mark.parametrize("stated", [0, 1])
def test_colour_is_unsigned_whatever_says_that_it_is_not(tmp_path: Path, number: int, encode: Any, stated: int) -> None:
    """PS3.3 C.7.6.3.1.2: the bits that a codestream marks as signed are those of the samples."""
    frame = random_samples((16, 16, 3), "u2", 12)
    signed = ((frame.astype("i4") ^ 2048) - 2048).astype("i2")  # the same 12 bits, the highest one as the sign
    assert signed.min() < 0
    path = write(tmp_path / "file", number, encode(signed, 12), frame, BitsStored=12, PixelRepresentation=stated)
    with opened(path) as reader:
        decoded = reader.decoded(0)
        assert np.array_equal(decoded.array, frame)
        assert decoded.array.dtype == frame.dtype
        assert len(decoded.remarks) == 1
        assert "00280103" in reader.changes if stated else "00280103" not in reader.changes
        assert len(reader.notes) == stated
