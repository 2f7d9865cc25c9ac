"""A header is read the same whatever was read before it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from stillframe.dicom.json_convert import Converted, convert
from stillframe.dicom.known_elements import KnownElement
from stillframe.dicom.read import read_instance
from tests.support.dicom_files import ROOT

# What instances of a series differ in: values, elements, character sets, sequences, values of other lengths.
VALUES: dict[str, list[Any]] = {
    "SpecificCharacterSet": [None, "ISO_IR 100", "ISO_IR 192"],
    "InstanceCreationTime": [None, "101112", "101113.5"],
    "StationName": [None, "CT1", "CT\xfc", ""],
    "SeriesDescription": ["a", "abc", "x" * 60],
    "PatientName": ["Doe^Jane", "M\xfcller^J"],
    "ImageComments": [None, "c" * 900, "c" * 2000],
    "InstanceNumber": ["1", "2", "1000"],
    "ImagePositionPatient": [["0", "0", "1"], ["0", "0", "1.5"]],
    "Rows": [512, 256],
    "SmallestImagePixelValue": [None, 0, 7],
    "CodeSequence": [None, 0, 1, 2],
}
ONE = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})


def written(values: dict[str, Any], syntax: str) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(f"{ROOT}.1")
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = ROOT
    for name, value in values.items():
        if name == "CodeSequence":
            dataset.ProcedureCodeSequence = Sequence([Dataset() for _ in range(value)]) if value is not None else []
            for number, item in enumerate(dataset.ProcedureCodeSequence):
                item.CodeValue, item.CodeMeaning = str(number), "M\xfcde"
        elif value is not None:
            setattr(dataset, name, value)
    if dataset.get("SpecificCharacterSet") is None:  # text that the default repertoire lacks
        for name in ("StationName", "PatientName"):
            if name in dataset:
                setattr(dataset, name, str(dataset[name].value).replace("\xfc", "u"))
        for item in dataset.get("ProcedureCodeSequence", ()):
            item.CodeMeaning = "Mude"
    block = dataset.private_block(0x0029, "ACME", create=True)
    block.add_new(0x01, "UN", b"\1\0\2\0")
    block.add_new(0x02, "OB", bytes(range(100)))
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(data: bytes) -> tuple[Dataset, Converted]:
    dataset = read_instance(io.BytesIO(data)).dataset
    return dataset, convert(dataset)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
@given(st.lists(ONE, min_size=2, max_size=4))
def test_elements_and_json_do_not_depend_on_what_was_read_before(syntax: str, series: list[dict[str, Any]]) -> None:
    for values in series:
        data = written(values, syntax)
        dataset, converted = read(data)
        for element in dcmread(io.BytesIO(data)):  # what pydicom reads, which remembers nothing
            found = dataset[element.tag]
            assert (found.VR, found.value) == (element.VR, element.value)
        for other in series:
            read(written(other, syntax))
            assert read(data)[1] == converted
        read(written(series[0], ExplicitVRLittleEndian))
        assert read(data)[1] == converted


def test_what_two_headers_share_is_one_element_and_one_json() -> None:
    first, one = read(
        written({"PatientName": "Doe^Jane", "CodeSequence": 2, "InstanceNumber": "1"}, ExplicitVRLittleEndian)
    )
    second, other = read(
        written({"PatientName": "Doe^Jane", "CodeSequence": 2, "InstanceNumber": "2"}, ExplicitVRLittleEndian)
    )
    assert isinstance(second.get_item(0x00100010), KnownElement)
    assert first.get_item(0x00100010) is second.get_item(0x00100010)
    assert one.dataset["00081032"] is other.dataset["00081032"]
    assert other.dataset["00200013"]["Value"] == [2]
    assert one.dataset["00200013"]["Value"] == [1]


def test_notes_are_told_of_every_instance() -> None:
    values = {"PatientName": "Doe^Jane", "InstanceNumber": "1"}
    assert b"IS\x02\x001 " in written(values, ExplicitVRLittleEndian)
    data = written(values, ExplicitVRLittleEndian).replace(b"IS\x02\x001 ", b"US\x03\x001 \0")  # 3 bytes are no numbers
    notes = read(data)[1].notes
    assert notes
    assert read(data)[1].notes == notes
