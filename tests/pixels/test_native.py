from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.errors import PixelDataError
from tests.support.dicom_files import BIG_ENDIAN, EXPLICIT, IMPLICIT, image_attributes, random_samples, write_dicom
from tests.support.examples import SAME_FOLDER, examples
from tests.support.reading import opened, read_frames


def packed(cells: list[int], *, big_endian: bool) -> bytes:
    """PS3.5 D.1: the bits of all cells in one stream, from the least significant bit, cut into words of 16 bits."""
    stream = sum(cell << 12 * index for index, cell in enumerate(cells))
    words = (12 * len(cells) + 15) // 16
    return b"".join(
        (stream >> 16 * word & 0xFFFF).to_bytes(2, "big" if big_endian else "little") for word in range(words)
    )


def test_two_cells_of_12_bits_share_three_bytes() -> None:
    assert packed([0xABC, 0xDEF], big_endian=False)[:3] == bytes([0xBC, 0xFA, 0xDE])


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(("dtype", "bits"), [("u2", 12), ("i2", 12), ("u2", 10), ("i2", 10)])
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), count=st.integers(1, 4))
@settings(max_examples=examples(25), suppress_health_check=SAME_FOLDER)
def test_cells_of_12_bits_are_read_whatever_bit_their_frame_begins_at(
    tmp_path: Path, syntax: str, dtype: str, bits: int, rows: int, columns: int, count: int
) -> None:
    frames = np.array([random_samples((rows, columns), dtype, bits, seed) for seed in range(count)])
    cells = [int(sample) & 0xFFF for sample in frames.reshape(-1)]
    attributes = image_attributes(frames[0], count, BitsAllocated=12, BitsStored=bits)
    path = write_dicom(tmp_path / "file", syntax, attributes, packed(cells, big_endian=syntax == BIG_ENDIAN))
    with opened(path) as reader:
        assert (reader.description.bits_allocated, reader.description.bits_stored) == (16, bits)
        assert reader.changes == {"00280100": {"vr": "US", "Value": [16]}}
        assert reader.notes == ["Bits Allocated was 12; the samples are published in 16 bits"]
    found = read_frames(path)
    assert np.array_equal(found, frames)
    assert found[0].dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [(2, "2 frames of Bits Allocated 12 need 60 bytes, the pixel data have 80"), (None, "Number of Frames is missing")],
)
def test_cells_of_16_bits_that_are_called_12_are_refused(tmp_path: Path, frames: int | None, reason: str) -> None:
    """Their length is that of more packed frames, or of packed ones with something behind."""
    frame = random_samples((4, 5), "u2", 12)
    attributes = image_attributes(frame, BitsAllocated=12, BitsStored=12) | {"NumberOfFrames": frames}
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, frame.tobytes() * 2)
    with pytest.raises(PixelDataError, match=reason):
        read_frames(path)
