from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread

from stillframe.dicom.header import is_dicom, read_plain
from stillframe.dicom.json_convert import convert
from stillframe.dicom.read import PIXEL_TAGS, read_instance
from stillframe.errors import InputError
from stillframe.source.inputs import InputRef
from stillframe.source.scan import scan_input, scan_plain
from tests.support.examples import examples


def test_data_sets_hold_what_pydicom_reads(pydicom_files: list[Path]) -> None:
    compared = 0
    for file in pydicom_files:
        with file.open("rb") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read = read_instance(opened)
                other = dcmread(file)
            except (InputError, InvalidDicomError):
                continue
            expected = convert(other)
            if "SOPClassUID" not in other:
                continue
            compared += 1
            assert convert(read.dataset).dataset == expected.dataset, file
            assert (read.pixels is not None) == any(keyword in other for keyword in PIXEL_TAGS.values()), file
            if read.pixels is not None and read.pixels.length is not None:
                assert read.pixels.length == len(other[read.pixels.keyword].value), file
    assert compared > 100


def test_a_plain_scan_finds_what_the_full_parser_finds(pydicom_files: list[Path]) -> None:
    compared = 0
    for file in pydicom_files:
        source = InputRef(path=str(file))
        scanned = scan_plain(source)
        if scanned is None:
            continue
        compared += 1
        assert scanned == scan_input(source), file
    assert compared > 100


def test_every_file_that_pydicom_reads_without_force_is_dicom(pydicom_files: list[Path]) -> None:
    for file in pydicom_files:
        data = file.read_bytes()
        if data[128:132] == b"DICM":
            assert is_dicom(data[:256])


@pytest.mark.parametrize("data", [b"", b"DICM", b"%PDF-1.7 and more text", b"PK\x03\x04" + bytes(200), bytes(200)])
def test_other_files_are_not_dicom(data: bytes) -> None:
    assert not is_dicom(data)


@settings(max_examples=examples(300))
@given(st.data())
def test_damaged_headers_raise_nothing_but_input_errors(data: st.DataObject) -> None:
    source = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        source[data.draw(st.integers(132, len(source) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(132, len(source)))
    head = bytes(source[:cut])
    try:
        plain = read_plain(head)
    except InputError:
        return
    if plain is not None:
        assert all(offset + length <= len(head) for *_, offset, length in plain.elements.values())


def _sample() -> bytes:
    import pydicom

    return (Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm").read_bytes()[:8192]


SAMPLE = _sample()


def test_a_truncated_plain_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(SAMPLE)
    with path.open("rb") as opened, pytest.raises(InputError, match="truncated: PixelData promises 32768 bytes"):
        read_instance(opened)
    assert dcmread(path, stop_before_pixels=True).Rows == 128
