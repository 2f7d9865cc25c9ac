"""What planning learns of an input, and how little of it has to be read for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.inputs import Header, InputRef, Rejected
from stillframe.source.scan import scan_input, scan_plain
from tests.support.dicom_files import SERIES, STUDY, instance_uid, noise
from tests.support.elements import NATIVE, element, identity, image_module, meta_header, native_pixels

PIXELS = noise(1, (48, 40))
UIDS = InstanceUIDs(STUDY, SERIES, instance_uid(1))


def write(tmp_path: Path, data: bytes) -> InputRef:
    (tmp_path / "1.dcm").write_bytes(data)
    return InputRef(path=str(tmp_path / "1.dcm"), size=len(data))


def parts(syntax: str) -> list[bytes]:
    return [*identity(syntax), *image_module(PIXELS, syntax), native_pixels(PIXELS, syntax)]


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_head_of_a_file_in_order_is_enough(tmp_path: Path, syntax: str) -> None:
    source = write(tmp_path, meta_header(syntax) + b"".join(parts(syntax)))
    assert scan_plain(source) == Header(source, UIDS, "P1", "Sample^One")


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("moved", [1, 4, 5, 6], ids=["instance", "patient", "study", "series"])
@pytest.mark.parametrize("place", [7, 12, 99], ids=["behind its group", "among others", "behind the pixels"])
def test_what_a_plan_needs_is_found_wherever_it_is(tmp_path: Path, syntax: str, moved: int, place: int) -> None:
    elements = parts(syntax)
    elements.insert(place, elements.pop(moved))
    source = write(tmp_path, meta_header(syntax) + b"".join(elements))
    assert scan_input(source) == Header(source, UIDS, "P1", "Sample^One")


def test_a_descending_tag_makes_the_rest_be_read(tmp_path: Path) -> None:
    """Else a name that follows the UIDs would be missed."""
    first, instance, modality, name, patient, *rest = parts(NATIVE[1])
    source = write(tmp_path, meta_header() + b"".join([first, patient, instance, modality, *rest, name]))
    assert scan_plain(source) is None
    assert scan_input(source) == Header(source, UIDS, "P1", "Sample^One")


def test_a_file_without_uids_is_refused_for_that(tmp_path: Path) -> None:
    elements = parts(NATIVE[1])
    del elements[5]
    scanned = scan_input(write(tmp_path, meta_header() + b"".join(elements)))
    assert isinstance(scanned, Rejected)
    assert scanned.reason == "StudyInstanceUID is missing or empty"
    assert scanned.instance == instance_uid(1)


def test_a_plan_takes_two_different_uids_for_none(tmp_path: Path) -> None:
    elements = [*parts(NATIVE[1]), element(0x0020000D, "UI", "1.2.3")]
    elements.insert(8, elements.pop(5))
    scanned = scan_input(write(tmp_path, meta_header() + b"".join(elements)))
    assert isinstance(scanned, Rejected)
    assert scanned.reason == "StudyInstanceUID (0020,000D) is there twice, with different values"
