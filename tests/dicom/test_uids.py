"""UIDs that may name things in keys."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.dicom.uids import check_uid
from stillframe.errors import InvalidUID
from stillframe.layout import metadata_key, parse_key

uids = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=6).map(lambda parts: ".".join(map(str, parts)))


@given(uids)
def test_well_formed_uids_pass(uid: str) -> None:
    assert check_uid(uid, "Study Instance UID") == uid


@given(st.text(alphabet=string.printable + "\0é\u0661", max_size=80))
def test_a_uid_that_passes_is_safe_in_a_path(text: str) -> None:
    try:
        check_uid(text, "Study Instance UID")
    except InvalidUID:
        return
    assert len(text) <= 64
    assert set(text) <= set("0123456789.")
    assert ".." not in text
    assert parse_key(metadata_key(text)).study == text


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1..2", "1.2/../3", "1.2\n", " 1.2", "1" * 65, "1.2.x", "-1", "1.\u0662"]
)
def test_hostile_uids_are_refused(uid: str) -> None:
    with pytest.raises(InvalidUID):
        check_uid(uid, "SOP Instance UID")
