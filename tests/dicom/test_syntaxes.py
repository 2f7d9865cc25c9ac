"""The table of transfer syntaxes, held against pydicom's dictionary."""

from __future__ import annotations

import pytest
from pydicom import uid
from pydicom._uid_dict import UID_dictionary

from stillframe.dicom.syntaxes import TRANSFER_SYNTAXES, Family, transfer_syntax

PYDICOMS = {key: name for key, (name, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
# In PS3.6 Table A-1, but not in the dictionary of pydicom 3.0.
NEWER = {f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112, 204, 205)} | {
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.8.1",
}


def test_the_names_are_those_of_the_standard() -> None:
    assert PYDICOMS.keys() - TRANSFER_SYNTAXES.keys() == set()
    assert TRANSFER_SYNTAXES.keys() - PYDICOMS.keys() <= NEWER
    assert {key: TRANSFER_SYNTAXES[key].name for key in PYDICOMS} == PYDICOMS


def test_encodings_are_those_that_pydicom_reads() -> None:
    for key in PYDICOMS.keys() - {"1.2.840.10008.1.20"}:
        syntax, known = transfer_syntax(key), uid.UID(key)
        assert syntax.encoding == (known.is_implicit_VR, known.is_little_endian), key
        assert syntax.deflated == (known.is_deflated or key.endswith((".95", ".205"))), key
        assert syntax.is_native == (not known.is_encapsulated and syntax.has_frames), key


def test_videos_are_those_that_pydicom_knows() -> None:
    assert {str(key) for key in uid.MPEGTransferSyntaxes} == {
        key for key, syntax in TRANSFER_SYNTAXES.items() if syntax.family is Family.VIDEO
    }


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("1.2.3", Family.UNKNOWN),
        ("", Family.UNKNOWN),
        ("1.2.840.10008.1.2.4.109", Family.NO_FRAMES),
        ("1.2.840.10008.1.2.4.108.1", Family.NO_FRAMES),
        ("1.2.840.10008.1.2.7.9", Family.NO_FRAMES),
    ],
)
def test_what_dicom_does_not_define_has_a_family_all_the_same(key: str, family: Family) -> None:
    syntax = transfer_syntax(key)
    assert syntax.family is family
    assert str(syntax) == f"transfer syntax {key}"
    assert syntax.is_passed_through == (family is Family.UNKNOWN)
