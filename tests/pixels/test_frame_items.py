"""Frames that are native samples in items of their own: deflated (PS3.5 A.4.13), or as they are (A.4.11)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.errors import PixelDataError
from stillframe.pixels.native import native_bytes
from stillframe.pixels.reader import Form
from tests.support.dicom_files import (
    DEFLATED_FRAMES,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image_attributes,
    random_samples,
    write_dicom,
)
from tests.support.examples import SAME_FOLDER, examples
from tests.support.frame_encoders import deflated
from tests.support.reading import opened, read_frames

ITEMS: dict[str, Callable[[bytes], bytes]] = {DEFLATED_FRAMES: deflated, UNCOMPRESSED_ITEMS: bytes}


def write_items(path: Path, syntax: str, natives: list[bytes], like: Any, **attributes: Any) -> Path:
    """One frame an item; the writer pads items of odd length."""
    value = encapsulated_value([ITEMS[syntax](native) for native in natives])
    return write_dicom(path, syntax, image_attributes(like, len(natives), **attributes), value, vr="OB")


@pytest.mark.parametrize("syntax", ITEMS)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5, 7), "u1"), ((5, 7), "i2"), ((5, 7), "u4"), ((5, 7, 3), "u1"), ((5, 7, 3), "u2")],
)
def test_frames_are_read_as_native_ones(
    tmp_path: Path, syntax: str, planar: int, shape: tuple[int, ...], dtype: str
) -> None:
    frames = [random_samples(shape, dtype, 8 * np.dtype(dtype).itemsize, seed) for seed in range(3)]
    colour = {"PlanarConfiguration": planar} if len(shape) == 3 else {}
    natives = [
        (frame.transpose(2, 0, 1) if colour and planar else frame).astype(f"<{dtype}").tobytes() for frame in frames
    ]
    path = write_items(tmp_path / "file", syntax, natives, frames[0], **colour)
    with opened(path) as reader:
        assert reader.form() is Form.LOSSLESS
    assert np.array_equal(read_frames(path), frames)


@pytest.mark.parametrize("syntax", ITEMS)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), count=st.integers(1, 4))
@settings(max_examples=examples(30), suppress_health_check=SAME_FOLDER)
def test_one_bit_frames_each_begin_on_a_byte(tmp_path: Path, syntax: str, rows: int, columns: int, count: int) -> None:
    frames = random_samples((count, rows, columns), "u1", 1)
    natives = [np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames]
    path = write_items(tmp_path / "file", syntax, natives, frames[0], BitsAllocated=1, BitsStored=1)
    assert np.array_equal(read_frames(path), frames)


@pytest.mark.parametrize("syntax", ITEMS)
def test_bits_above_bits_stored_are_masked_and_ybr_full_becomes_rgb(tmp_path: Path, syntax: str) -> None:
    frame = random_samples((5, 7), "u2", 16)
    path = write_items(tmp_path / "grey", syntax, [frame.astype("<u2").tobytes()], frame, BitsStored=12)
    with opened(path) as reader:
        decoded = reader.decoded(0)
    assert decoded.masked
    assert np.array_equal(decoded.array, frame & 0x0FFF)
    grey = np.full((5, 7, 3), 128, "u1")
    path = write_items(tmp_path / "ybr", syntax, [grey.tobytes()], grey, PhotometricInterpretation="YBR_FULL")
    with opened(path) as reader:
        decoded = reader.decoded(0)
    assert decoded.converted
    assert np.array_equal(decoded.array, grey)


@pytest.mark.parametrize("syntax", ITEMS)
def test_the_number_of_items_is_that_of_the_frames(tmp_path: Path, syntax: str) -> None:
    frames = [random_samples((5, 8), "u1", 8, seed) for seed in range(3)]
    natives = [frame.tobytes() for frame in frames]
    path = write_items(tmp_path / "file", syntax, natives, frames[0], NumberOfFrames=None)
    with opened(path) as reader:
        assert reader.notes == ["Number of Frames is missing; the pixel data hold 3"]
    assert np.array_equal(read_frames(path), frames)


@pytest.mark.parametrize("syntax", ITEMS)
@pytest.mark.parametrize(("length", "held"), [(33, "33"), (37, "more"), (70, "more")])
def test_an_item_of_another_size_is_refused(tmp_path: Path, syntax: str, length: int, held: str) -> None:
    frame = random_samples((5, 7), "u1", 8)
    path = write_items(tmp_path / "file", syntax, [bytes(length)], frame)
    held = "34" if (syntax, length) == (UNCOMPRESSED_ITEMS, 33) else held
    with pytest.raises(PixelDataError, match=f"a frame needs 35 bytes, its item holds {held}"):
        read_frames(path)


@pytest.mark.slow
def test_a_bomb_is_not_inflated_beyond_the_promised_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB of zeros in 200 kB."""
    asked: list[int] = []
    inflater = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._inner = inflater(wbits)
            self.eof, self.unused_data = False, b""

        def decompress(self, data: bytes, limit: int) -> bytes:
            asked.append(limit)
            return self._inner.decompress(data, limit)

    monkeypatch.setattr("stillframe.pixels.decoders.zlib.decompressobj", Counting)
    frame = random_samples((5, 7), "u1", 8)
    bomb = deflated(bytes(200_000_000))
    path = write_dicom(tmp_path / "file", DEFLATED_FRAMES, image_attributes(frame), encapsulated_value([bomb]), vr="OB")
    with pytest.raises(PixelDataError, match="its item holds more"):
        read_frames(path)
    assert asked == [37]


@pytest.mark.parametrize(
    ("cut", "reason"), [(8, "ends early|cannot be inflated"), (1, "ends early|cannot be inflated")]
)
def test_a_damaged_deflated_frame_is_refused(tmp_path: Path, cut: int, reason: str) -> None:
    frame = random_samples((50, 70), "u1", 8)
    data = deflated(frame.tobytes())[: -len(frame) * cut]
    path = write_dicom(tmp_path / "file", DEFLATED_FRAMES, image_attributes(frame), encapsulated_value([data]), vr="OB")
    with pytest.raises(PixelDataError, match=reason):
        read_frames(path)


@pytest.mark.parametrize(("window", "head"), [(15, "zlib"), (31, "gzip")])
def test_deflated_frames_with_a_head_are_read_through_it(tmp_path: Path, window: int, head: str) -> None:
    """RFC 1950 and RFC 1952 instead of RFC 1951, as some writers deflate whole data sets."""
    frames = [random_samples((6, 7), "u2", 16, seed) for seed in range(2)]
    items = []
    for frame in frames:
        deflater = zlib.compressobj(wbits=window)
        items.append(deflater.compress(frame.tobytes()) + deflater.flush())
    attributes = image_attributes(frames[0], 2)
    path = write_dicom(tmp_path / "file", DEFLATED_FRAMES, attributes, encapsulated_value(items), vr="OB")
    with opened(path) as reader:
        found = [reader.decoded(index) for index in range(2)]
    assert all(np.array_equal(one.array, other) for one, other in zip(found, frames, strict=True))
    assert {one.remarks for one in found} == {(f"the deflated frames have a {head} head; they were read through it",)}
    broken = [items[0][:20] + bytes([items[0][20] ^ 0xFF]) + items[0][21:], items[1]]
    write_dicom(path, DEFLATED_FRAMES, attributes, encapsulated_value(broken), vr="OB")
    with pytest.raises(PixelDataError, match="frame 1: cannot be inflated"):
        read_frames(path)


def test_what_comes_out_is_what_native_bytes_would_hold() -> None:
    frame = random_samples((5, 7), "u1", 1)
    assert native_bytes(frame, 1) == np.packbits(frame.reshape(-1), bitorder="little").tobytes()
