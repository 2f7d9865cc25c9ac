"""Deflated data sets, whatever their bytes begin and end with, and those that are deflated in name only."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import pytest

from stillframe.dicom.read import Instance, read_instance, read_scan
from stillframe.errors import InputError
from tests.support.dicom_files import DEFLATED, EXPLICIT, IMPLICIT, STUDY, jpeg, noise
from tests.support.elements import element, identity, image_module, meta_header, native_pixels
from tests.support.frame_encoders import deflated

PIXELS = noise(1, (48, 40))
BODY = b"".join([*identity(), *image_module(PIXELS), native_pixels(PIXELS)])
RAW = deflated(BODY)


def stored(data: bytes, first: int) -> bytes:
    """A stored block (RFC 1951 3.2.4), whose first byte says whether it is the last, and may say more than that."""
    return bytes([first]) + struct.pack("<HH", len(data), 0xFFFF - len(data)) + data


def read(data: bytes) -> tuple[Instance, bytes]:
    """The instance and its pixel data."""
    instance = read_instance(io.BytesIO(data))
    with instance.file as file:
        assert instance.pixels is not None
        file.seek(instance.pixels.offset)
        return instance, file.read(instance.pixels.length or 0)


@pytest.mark.parametrize(
    ("packed", "notes"),
    [
        (RAW, ()),
        (RAW + b"\0", ()),
        (deflated(BODY[:-1] + b"\1"), ()),
        (stored(BODY, 1), ()),
        (stored(BODY[:0x9C], 0x78) + stored(BODY[0x9C:], 1), ()),  # begins like a zlib head
        (RAW + gzip.compress(BODY)[-8:], ()),
        (RAW + b"tail", ("4 bytes behind the deflated data set are not published",)),
        *((zlib.compress(BODY, level), ("the deflated data set has a zlib head; it was read through it",))
          for level in (0, 1, 6, 9)),
        (gzip.compress(BODY), ("the deflated data set has a gzip head; it was read through it",)),
    ],
)  # fmt: skip
def test_deflated_data_sets_are_read_whatever_head_they_have(packed: bytes, notes: tuple[str, ...]) -> None:
    instance, pixels = read(meta_header(DEFLATED[0]) + packed)
    assert instance.notes == notes
    assert instance.uids.study == STUDY
    assert pixels[:-1] == BODY[-len(pixels) : -1]


def test_a_data_set_that_is_deflated_in_name_only_is_read_as_it_is() -> None:
    instance, pixels = read(meta_header(DEFLATED[0]) + BODY)
    assert pixels == PIXELS.tobytes()
    (note,) = instance.notes
    assert note.endswith("asks for a deflated data set, this one is not; it was read as it is")


@pytest.mark.parametrize("name", [EXPLICIT, IMPLICIT, jpeg(70), None])
@pytest.mark.parametrize("packed", [RAW, zlib.compress(BODY), gzip.compress(BODY)])
def test_a_data_set_that_is_deflated_without_being_called_so_is_inflated(name: str | None, packed: bytes) -> None:
    data = meta_header(name) + packed
    instance, pixels = read(data)
    assert pixels == PIXELS.tobytes()
    assert instance.notes[0].startswith("the data set is deflated, which ")
    assert read_scan(io.BytesIO(data))["StudyInstanceUID"].value == STUDY


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (RAW[:-9], "truncated: the deflated data set ends early"),
        (zlib.compress(BODY)[:-9], "truncated: the deflated data set ends early"),
        (b"\xff" * 99, f"damaged before offset {len(meta_header(DEFLATED[0])) + 99}, or its checksum is wrong"),
        (zlib.compress(BODY)[:-1] + b"?", "the deflated data set is damaged before offset"),
        (gzip.compress(BODY)[:-5] + b"?????", "the deflated data set is damaged before offset"),
    ],
)
def test_damaged_deflated_data_sets_are_refused(packed: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_instance(io.BytesIO(meta_header(DEFLATED[0]) + packed))


def test_what_is_neither_a_data_set_nor_deflated_is_refused() -> None:
    with pytest.raises(InputError, match=r"ends inside|cannot be parsed"):
        read_instance(io.BytesIO(meta_header() + bytes(range(1, 200))))


def test_inflating_is_bounded_however_it_is_called() -> None:
    bomb = element(0x00080005, "CS", "ISO_IR 100") + element(0x00091010, "OB", bytes(20_000_000))
    for name, packed in ((DEFLATED[0], deflated(bomb)), (EXPLICIT, zlib.compress(bomb))):
        with pytest.raises(InputError, match="its deflated data set has more than 1000000 bytes"):
            read_instance(io.BytesIO(meta_header(name) + packed), 1_000_000)
