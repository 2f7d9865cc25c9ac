from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.dicom.files import join_files
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
