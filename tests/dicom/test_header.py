from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import dcmread

from stillframe.dicom.header import is_dicom, read_plain
from stillframe.dicom.json_convert import convert
from stillframe.dicom.read import PIXEL_TAGS, read_instance
from stillframe.dicom.sequences import SequenceValue
from stillframe.dicom.walk import Odd, Short
from stillframe.errors import InputError
from stillframe.source.inputs import InputRef
from stillframe.source.scan import scan_input, scan_plain
from tests.support.examples import examples


def plain_files(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if read_plain(file.read_bytes(), PIXEL_TAGS.__contains__, whole=True) is not None]


def odd(*_: object) -> NoReturn:
    raise Odd


def outcome(file: Path) -> tuple[object, ...]:
    with file.open("rb") as opened:
        try:
            read = read_instance(opened)
        except InputError as error:
            return (str(error),)
        return read.transfer_syntax, read.size, read.pixels, convert(read.dataset)


@pytest.mark.slow
def test_plain_headers_say_what_pydicom_reads(pydicom_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = plain_files(pydicom_files)
    assert len(files) > 100
    plain = [outcome(file) for file in files]
    for name in ("read_plain", "read_elements"):
        monkeypatch.setattr(f"stillframe.dicom.read.{name}", lambda *_, **__: None)
    monkeypatch.setattr(SequenceValue, "find_items", odd)
    for file, expected in zip(files, plain, strict=True):
        assert outcome(file) == expected, file


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


@pytest.mark.slow
@settings(max_examples=examples(300))
@given(st.data())
def test_damaged_headers_raise_nothing_but_input_errors(data: st.DataObject) -> None:
    source = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        source[data.draw(st.integers(132, len(source) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(132, len(source)))
    head = bytes(source[:cut])
    try:
        plain = read_plain(head, PIXEL_TAGS.__contains__, whole=data.draw(st.booleans()))
    except Short:
        return
    if plain is not None:
        assert plain.stopped_at <= len(head)
        assert all(offset + length <= plain.stopped_at for *_, offset, length in plain.elements.values())


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
