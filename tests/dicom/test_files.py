from __future__ import annotations

import os
import tempfile
from io import SEEK_CUR, SEEK_END, BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.dicom.files import LoadedInput, descriptor_of, join_files, reopen_file
from stillframe.errors import InputError


@given(
    st.binary(max_size=64), st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), max_size=5), st.integers(1, 9)
)
def test_parts_are_read_one_after_the_other(data: bytes, places: list[tuple[int, int]], step: int) -> None:
    parts = [(start, max(0, min(length, len(data) - start))) for start, length in places]
    file = join_files([(BytesIO(data), start, length) for start, length in parts])
    read = b"".join(iter(lambda: file.read(step), b""))
    assert read == b"".join(data[start : start + length] for start, length in parts)


def test_a_file_that_became_shorter_is_told() -> None:
    with pytest.raises(InputError, match="became shorter"):
        join_files([(BytesIO(b"abc"), 0, 5)]).read()


def test_a_file_is_read_by_two_each_at_its_own_offset(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        assert file.read(10) == data[:10]
        descriptor = descriptor_of(file)
        assert descriptor is not None
        with reopen_file(os.dup(descriptor)) as other:
            assert other.read(3) == data[:3]
            assert other.seek(20_000) == other.tell() == 20_000
            assert file.read(10) == data[10:20]
            buffer = bytearray(4000)
            assert other.readinto(buffer) == 4000
            assert buffer == data[20_000:24_000]
            assert other.seek(-5, SEEK_END) == len(data) - 5
            assert other.seek(-5, SEEK_CUR) == len(data) - 10
            assert other.read() == data[-10:]
        assert file.read() == data[20:]


def test_only_files_of_the_system_have_a_descriptor() -> None:
    with tempfile.SpooledTemporaryFile(max_size=100) as spooled:
        spooled.write(b"in memory until now")
        descriptor = descriptor_of(spooled)
        assert descriptor is not None
        assert os.pread(descriptor, 100, 0) == b"in memory until now"
    assert descriptor_of(LoadedInput(b"abc")) is None
    assert descriptor_of(join_files([(BytesIO(b"abc"), 0, 3)])) is None
