"""UIDs in place of what is none: everywhere in a data set, in every encoding, and with a record of what stood there."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64decode
from io import BytesIO
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from stillframe.dicom.assign_uids import assign_uids, notes_on_uids
from stillframe.dicom.assigned_uids import assigned_uid, uid_of_content
from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.part10 import open_part10
from stillframe.dicom.read import Instance, read_instance
from stillframe.dicom.uids import is_uid
from stillframe.errors import InputError
from tests.support.dicom_files import INSTANCE, SERIES, STUDY, image

# The tests make what is no UID with pydicom, which tells of it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Invalid value for VR UI"),
    pytest.mark.filterwarnings("ignore:The value length .* for VR UI"),
]

STUDY_NAME, FRAME_NAME, LONG = "study_A", "frame-of-reference", "1.2." + "3" * 70
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
DIGEST = "sha256:" + "ab" * 32


def referring(**attributes: Any) -> FileDataset:
    """An image that refers to others, in sequences within sequences."""
    dataset = image(1, StudyInstanceUID=STUDY_NAME, FrameOfReferenceUID=FRAME_NAME, **attributes)
    outer, inner, plain = Dataset(), Dataset(), Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", LONG
    inner.Manufacturer = "kept"
    plain.ReferencedSOPClassUID, plain.ReferencedSOPInstanceUID = "no class", INSTANCE
    outer.StudyInstanceUID, outer.ReferencedSeriesSequence = STUDY_NAME, [plain, inner]
    dataset.StudiesContainingOtherReferencedInstancesSequence = [outer]
    dataset.FailedSOPInstanceUIDList = [INSTANCE, "x", LONG]
    dataset.StudyDate, dataset.StudyTime = "20240229", "101112.5"
    return dataset


def file_of(dataset: FileDataset, syntax: str, *, delimited: bool = False) -> bytes:
    if delimited:
        sequence = dataset["StudiesContainingOtherReferencedInstancesSequence"]
        sequence.is_undefined_length = True
        sequence.value[0].is_undefined_length_sequence_item = True
        sequence.value[0]["ReferencedSeriesSequence"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]  # any text is a UID to pydicom
    buffer = BytesIO()
    dcmwrite(buffer, dataset, force_encoding=True, implicit_vr=syntax == ImplicitVRLittleEndian,
             little_endian=syntax != ExplicitVRBigEndian)  # fmt: skip
    return buffer.getvalue()


def assigned(data: bytes) -> Instance:
    instance = read_instance(BytesIO(data))
    assign_uids(instance, lambda: DIGEST)
    return instance


def uids_in(dataset: JSONDataset) -> list[str]:
    """Every value of VR UI, at every depth."""
    found: list[str] = []
    for element in dataset.values():
        for value in element.get("Value", ()):
            found += [value] if element["vr"] == "UI" else uids_in(value) if element["vr"] == "SQ" else []
    return found


def test_a_uid_follows_from_the_value_that_it_stands_for() -> None:
    """PS3.5 B.2: 2.25 and a UUID as a number; RFC 9562 5.5: of SHA-1 over a namespace and a name."""
    namespace = bytes.fromhex("6f3d9c5e2b0a5c1e9a470d6f3a5b8e21")
    digest = bytearray(hashlib.sha1(namespace + STUDY_NAME.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    uid = assigned_uid(STUDY_NAME)
    assert uid == f"2.25.{int.from_bytes(digest)}"
    assert uuid.UUID(int=int(uid.removeprefix("2.25."))).version == 5
    assert uid_of_content(STUDY_NAME) != uid


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_every_value_becomes_a_uid_and_a_uid_stays(value: str) -> None:
    uid = assigned_uid(value)
    assert not value or is_uid(uid)
    assert assigned_uid(uid) == uid


@pytest.mark.parametrize("delimited", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_what_is_no_uid_is_replaced_at_every_depth(syntax: str, delimited: bool) -> None:
    data = file_of(referring(), syntax, delimited=delimited)
    instance = assigned(data)
    expected = {old: assigned_uid(old) for old in (STUDY_NAME, FRAME_NAME, LONG, "x")}
    assert instance.former_uids == expected
    assert (instance.uids.study, instance.uids.series, instance.uids.instance) == (
        expected[STUDY_NAME],
        SERIES,
        INSTANCE,
    )
    metadata = convert(instance.dataset).dataset
    assert metadata["00200052"]["Value"] == [expected[FRAME_NAME]]
    assert metadata["00080058"]["Value"] == [INSTANCE, expected["x"], expected[LONG]]
    (outer,) = metadata["00081200"]["Value"]
    plain, inner = outer["00081115"]["Value"]
    assert outer["0020000D"]["Value"] == [expected[STUDY_NAME]]
    assert inner["00081155"]["Value"] == [expected[LONG]]
    assert inner["00080070"]["Value"] == ["kept"]
    assert plain["00081150"]["Value"] == ["no class"]  # a class that nobody defined: a UID would name nothing
    assert [uid for uid in uids_in(metadata) if not is_uid(uid)] == ["no class"]

    whole = dcmread(BytesIO(open_part10(instance.uids, instance, BytesIO(data)).read()))
    instance.file.close()
    assert whole.file_meta.MediaStorageSOPInstanceUID == INSTANCE
    told = whole["OriginalAttributesSequence"].to_json_dict(None, 1024)
    assert whole.to_json_dict() == rebuilt(data, expected).to_json_dict() | {"04000561": told}


def rebuilt(data: bytes, uids: dict[str, str]) -> Dataset:
    """The data set as pydicom reads it, with other UIDs: what the whole object is compared with."""
    dataset = dcmread(BytesIO(data))
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = uids[STUDY_NAME], uids[FRAME_NAME]
    dataset.FailedSOPInstanceUIDList = [INSTANCE, uids["x"], uids[LONG]]
    outer = dataset.StudiesContainingOtherReferencedInstancesSequence[0]
    outer.StudyInstanceUID = uids[STUDY_NAME]
    outer.ReferencedSeriesSequence[1].ReferencedSOPInstanceUID = uids[LONG]
    return dataset


def test_original_attributes_tell_what_stood_where() -> None:
    metadata = convert(assigned(file_of(referring(), ExplicitVRLittleEndian)).dataset).dataset
    (item,) = metadata["04000561"]["Value"]
    assert item["04000562"]["Value"] == ["20240229101112.5"]  # of the study: no clock
    assert item["04000563"]["Value"] == ["Stillframe"]
    assert item["04000565"]["Value"] == ["CORRECT"]
    found = {}
    for origin in item["04000551"]["Value"]:
        value = origin["04000552"]
        pointer = list(
            zip(origin.get("00720052", {}).get("Value", ()), origin.get("00741057", {}).get("Value", ()), strict=True)
        )
        text = b64decode(value["InlineBinary"]).rstrip(b"\0").decode()
        found[text] = (origin["00720026"]["Value"], origin["00720028"]["Value"], pointer)
    assert found == {
        STUDY_NAME: (["0020000D"], [1], []),
        FRAME_NAME: (["00200052"], [1], []),
        "x": (["00080058"], [2], []),
        LONG: (["00080058"], [3], []),
    }


def test_a_value_that_stands_only_in_an_item_is_told_with_the_way_to_it() -> None:
    dataset = referring()
    del dataset.FailedSOPInstanceUIDList
    metadata = convert(assigned(file_of(dataset, ImplicitVRLittleEndian)).dataset).dataset
    origins = metadata["04000561"]["Value"][0]["04000551"]["Value"]
    (told,) = [origin for origin in origins if origin["00720026"]["Value"] == ["00081155"]]
    assert told["00720052"]["Value"] == ["00081200", "00081115"]
    assert told["00741057"]["Value"] == [1, 2]
    assert told["00720028"]["Value"] == [1]


def test_what_was_told_before_stays() -> None:
    before = Dataset()
    before.ModifyingSystem, before.ReasonForTheAttributeModification = "another", "COERCE"
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        instance = assigned(file_of(referring(OriginalAttributesSequence=[before]), syntax))
        items = convert(instance.dataset).dataset["04000561"]["Value"]
        assert [item["04000563"]["Value"] for item in items] == [["another"], ["Stillframe"]]


def test_a_data_set_of_uids_stays_as_it_is() -> None:
    data = file_of(image(1), ExplicitVRLittleEndian)
    instance = assigned(data)
    assert instance.former_uids == {}
    assert notes_on_uids(instance) == ()
    assert open_part10(instance.uids, instance, BytesIO(data)).read() == data
    assert instance.uids.study == STUDY


@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_instance_uid_follows_from_the_content(empty: bool) -> None:
    dataset = image(1, SOPInstanceUID="" if empty else None)
    instance = assigned(file_of(dataset, ExplicitVRLittleEndian))
    uid = uid_of_content(DIGEST)
    assert instance.uids.instance == uid
    assert notes_on_uids(instance) == (f"has no SOPInstanceUID; {uid} follows from the bytes of the file",)
    assert "04000561" not in convert(instance.dataset).dataset  # nothing stood there


def test_items_that_are_not_well_formed_are_reached_too() -> None:
    """An item that promises more bytes than its sequence has."""
    dataset = image(1)
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "odd_one"
    dataset.ReferencedImageSequence = [inner]
    data = file_of(dataset, ExplicitVRLittleEndian)
    item = b"\xfe\xff\x00\xe0\x10\0\0\0" + b"\x08\0\x55\x11UI\x08\0odd_one\0"
    assert data.count(item) == 1
    instance = assigned(data.replace(item, item.replace(b"\x10\0\0\0", b"\x20\0\0\0", 1)))
    metadata = convert(instance.dataset).dataset
    assert metadata["00081140"]["Value"][0]["00081155"]["Value"] == [assigned_uid("odd_one")]


@pytest.mark.parametrize("seed", range(60))
def test_damaged_headers_are_refused_or_written_as_they_are_read(seed: int) -> None:
    """Whatever is made of odd bytes: no value is left that is no UID, and the whole object says the same."""
    random = Random(seed)
    data = bytearray(file_of(referring(), SYNTAXES[seed % 3], delimited=seed % 2 == 0))
    for _ in range(random.randint(1, 5)):
        data[random.randrange(132, len(data) - 15400)] = random.choice((0, 1, 8, 0xFF, random.randrange(256)))
    try:
        instance = assigned(bytes(data))
        metadata = convert(instance.dataset).dataset
        whole = open_part10(instance.uids, instance, BytesIO(bytes(data))).read()
    except InputError:
        return
    left = [uid for uid in uids_in(metadata) if uid and not is_uid(uid)]
    assert all(uid not in left for uid in instance.former_uids)
    assert convert(read_instance(BytesIO(whole)).dataset).dataset == metadata


def test_notes_name_every_value_up_to_a_hundred() -> None:
    instance = assigned(
        file_of(image(1, FailedSOPInstanceUIDList=[f"u{number}" for number in range(120)]), ExplicitVRLittleEndian)
    )
    notes = notes_on_uids(instance)
    assert notes[0] == f"'u0' is not a valid UID; it is published as {assigned_uid('u0')}"
    assert (len(notes), notes[-1]) == (101, "and 20 more UIDs")
