"""What is published of objects whose data sets are not whole."""

from __future__ import annotations

import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openjpeg.utils import decode as openjpeg_decode
from pydicom.filereader import read_file_meta_info

from tests.support.dicom_files import (
    INSTANCE,
    SERIES,
    STUDY,
    encapsulated_value,
    image_attributes,
    instance_uid,
    jpeg,
    noise,
    offset_table,
    write_dicom,
)
from tests.support.elements import (
    REPORT_CLASS,
    SOP_CLASS,
    UNDEFINED,
    element,
    head,
    identity,
    image_module,
    meta_header,
    native_pixels,
    sequence,
)
from tests.support.frame_encoders import j2k
from tests.support.multipart import unwrap_part
from tests.support.trees import build_tree, document

PIXELS = noise(1, (16, 12))
METADATA = f"studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/metadata"


def holding(tag: int) -> bytes:
    """A sequence of known length whose one item holds another sequence, which zeros end."""
    inner = sequence(0x00400275, [element(0x00080050, "SH", "1")], end=bytes(8))
    return element(tag, "SQ", head(0xFFFEE000, "", len(inner)) + inner)


@pytest.mark.parametrize("tag", [0x0040A730, 0x00091010])
def test_an_image_with_a_damaged_sequence_is_published_with_a_note(tmp_path: Path, tag: int) -> None:
    parts = [*identity(), *image_module(PIXELS), native_pixels(PIXELS), element(0x00090010, "LO", "OWN"), holding(tag)]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    (note,) = report.noted[0].notes
    assert note.startswith(f"{tag:08X}")
    assert document(tmp_path / "tree", METADATA)[0]["0020000D"]["Value"] == [STUDY]


def test_half_a_report_is_not_published(tmp_path: Path) -> None:
    parts = [*identity(sop_class=REPORT_CLASS), holding(0x0040A730)]
    (tmp_path / "1.dcm").write_bytes(meta_header(sop_class=REPORT_CLASS) + b"".join(parts))
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1.dcm").rejected
    assert rejected.reason.startswith("holds a damaged sequence: 0040A730")


def test_a_private_sequence_that_is_damaged_leaves_a_report_whole(tmp_path: Path) -> None:
    parts = [*identity(sop_class=REPORT_CLASS), element(0x00090010, "LO", "OWN"), holding(0x00091010)]
    (tmp_path / "1.dcm").write_bytes(meta_header(sop_class=REPORT_CLASS) + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.rejected == []
    assert report.noted[0].notes[0].startswith("00091010")


@pytest.mark.parametrize(
    ("tag", "uid"), [(0x00080016, SOP_CLASS), (0x00080018, instance_uid(1)), (0x0020000D, STUDY), (0x0020000E, SERIES)]
)
@pytest.mark.parametrize("vr", ["US", "LO", "OB", "SH", "UL", "AT", "FD", "UN"])
def test_a_uid_of_another_vr_is_published_as_one_with_a_note(tmp_path: Path, tag: int, uid: str, vr: str) -> None:
    value = uid.encode() + bytes(len(uid) % 2)
    parts = [element(tag, vr, value) if part == element(tag, "UI", uid) else part for part in identity()]
    assert parts != identity()
    parts += [*image_module(PIXELS), native_pixels(PIXELS)]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    odd = [f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has the VR {vr}; published as UI"] if vr != "UN" else []
    assert [note for item in report.noted for note in item.notes] == odd
    assert document(tmp_path / "tree", METADATA)[0][f"{tag:08X}"] == {"vr": "UI", "Value": [uid]}


def image_by_tag() -> dict[int, bytes]:
    """The elements of an image but for its pixels."""
    return {int.from_bytes(part[1::-1] + part[3:1:-1]): part for part in (*identity(), *image_module(PIXELS))}


def build_with(folder: Path, tag: int, written: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The published metadata and the notes of an image of 16 rows with an element written so."""
    parts = image_by_tag() | {0x7FE00010: native_pixels(PIXELS), tag: written}
    (folder / "1.dcm").write_bytes(meta_header() + b"".join(parts[key] for key in sorted(parts)))
    report = build_tree(folder / "tree", folder / "1.dcm")
    assert report.rejected == []
    return document(folder / "tree", METADATA)[0], tuple(note for item in report.noted for note in item.notes)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("OW", b"\x10\0"),
        ("OB", b"\x10\0"),
        ("AT", b"\x10\0"),
        ("LO", b"16"),
        ("SH", b" 16 "),
        ("UT", b"16"),
        ("UI", b"\x10\0"),
        ("IS", b"16\n "),
    ],
)
def test_rows_that_nobody_would_find_are_published_as_a_number(tmp_path: Path, vr: str, value: bytes) -> None:
    metadata, notes = build_with(tmp_path, 0x00280010, element(0x00280010, vr, value))
    assert metadata["00280010"] == {"vr": "US", "Value": [16]}
    assert notes == (f"(0028,0010) has the VR {vr}; published as US",)


@pytest.mark.parametrize(
    ("vr", "value"), [("OB", b"\0\0"), ("OB", b"0 "), ("SH", b"0 "), ("IS", b"0 "), ("US", b"\0\0")]
)
def test_no_frames_are_as_many_as_there_are_in_any_vr(tmp_path: Path, vr: str, value: bytes) -> None:
    metadata, _ = build_with(tmp_path, 0x00280008, element(0x00280008, vr, value))
    assert metadata["00280008"] == {"vr": "IS", "Value": [1]}


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("SS", b"\x10\0"),
        ("UL", b"\x10\0\0\0"),
        ("SL", b"\x10\0\0\0"),
        ("IS", b"+16 "),
        ("DS", b"16.0"),
        ("DS", b" 16."),
    ],
)
def test_rows_that_are_a_number_in_another_vr_stay_so(tmp_path: Path, vr: str, value: bytes) -> None:
    metadata, notes = build_with(tmp_path, 0x00280010, element(0x00280010, vr, value))
    assert metadata["00280010"] == {"vr": vr, "Value": [16]}
    assert not any("0028,0010" in note for note in notes)


@pytest.mark.parametrize(("vr", "value"), [("OB", b"MONOCHROME2 "), ("US", b"MONOCHROME2 "), ("UN", b"MONOCHROME2 ")])
def test_a_photometric_interpretation_that_is_no_text_is_published_as_one(
    tmp_path: Path, vr: str, value: bytes
) -> None:
    metadata, notes = build_with(tmp_path, 0x00280004, element(0x00280004, vr, value))
    assert metadata["00280004"] == {"vr": "CS", "Value": ["MONOCHROME2"]}
    assert (vr == "UN") == (f"(0028,0004) has the VR {vr}; published as CS" not in notes)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("UN", b"1 "),
        ("UN", b"1   "),
        ("UN", b"+1"),
        ("UN", b"\1\0"),
        ("OB", b"1\0"),
        ("OW", b"01"),
        ("LO", b"1 "),
        ("XX", b"1 "),
    ],
)
def test_a_number_of_frames_whose_vr_tells_nothing_is_read(tmp_path: Path, vr: str, value: bytes) -> None:
    """Unknown to who wrote it, it may be UN (PS3.5 6.2.2)."""
    metadata, _ = build_with(tmp_path, 0x00280008, element(0x00280008, vr, value))
    assert metadata["00280008"] == {"vr": "IS", "Value": [1]}


@pytest.mark.parametrize(
    ("vr", "code", "number"),
    [("UV", "Q", 16), ("SV", "q", 16), ("FL", "f", 16.0), ("FD", "d", 16.0)],
)
def test_rows_that_are_a_wider_number_are_read(tmp_path: Path, vr: str, code: str, number: float) -> None:
    metadata, _ = build_with(tmp_path, 0x00280010, element(0x00280010, vr, struct.pack(f"<{code}", number)))
    assert metadata["00280010"] == {"vr": vr, "Value": [16]}


def test_what_floating_point_samples_do_not_have_is_published_as_it_is(tmp_path: Path) -> None:
    """Bits Stored, High Bit and Pixel Representation are no part of their module (PS3.3 C.7.6.24)."""
    parts = [part for part in image_module(PIXELS) if part != element(0x00280100, "US", 16)]
    parts.insert(4, element(0x00280100, "US", 32))
    parts = [*identity(), *parts, element(0x7FE00008, "OF", PIXELS.astype("<f4").tobytes())]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    assert list(build_tree(tmp_path / "tree", tmp_path / "1.dcm").noted) == []
    metadata = document(tmp_path / "tree", METADATA)[0]
    assert [metadata[tag]["Value"] for tag in ("00280100", "00280101", "00280102")] == [[32], [12], [11]]


@pytest.mark.parametrize("vr", ["??", "XX"])
def test_what_is_no_vr_has_a_length_of_two_bytes(tmp_path: Path, vr: str) -> None:
    """?? stands where others write UN: dcm4che 2 has it as a VR of its own, DCMTK reads such a length, too."""
    described = element(0x0008103E, vr, "head")
    nested = sequence(0x00081140, [element(0x00081150, vr, SOP_CLASS + "\0"), described])
    odd = [element(0x00080008, vr, "ORIGINAL"), described, nested, element(0x00091001, vr, "of its own")]
    parts = [*odd, *identity(), *image_module(PIXELS), native_pixels(PIXELS)]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.rejected == []
    metadata = document(tmp_path / "tree", METADATA)[0]
    assert metadata["00080008"] == {"vr": "CS", "Value": ["ORIGINAL"]}
    assert metadata["0008103E"] == {"vr": "LO", "Value": ["head"]}
    assert metadata["00091001"] == {"vr": "UN", "InlineBinary": b64encode(b"of its own").decode()}
    assert metadata["00081140"]["Value"] == [
        {"00081150": {"vr": "UI", "Value": [SOP_CLASS]}},
        {"0008103E": metadata["0008103E"]},
    ]
    assert "0008103E: its VR is none that DICOM defines" in report.noted[0].notes


@pytest.mark.parametrize("vr", ["OV", "OB", "UN", "UV", "XX"])
def test_an_extended_offset_table_counts_in_any_vr(tmp_path: Path, vr: str) -> None:
    """Three fragments are two frames, as nothing but the table tells: no marker is in them."""
    fragments = [b"one ", b"and more", b"two "]
    table = element(0x7FE00001, vr, offset_table(fragments, [0, 2], "Q"))
    value = head(0x7FE00010, "OB", UNDEFINED) + encapsulated_value(fragments)
    count = element(0x00280008, "IS", "2")
    parts = [*identity(), *image_module(PIXELS)]
    parts.insert(len(identity()) + 2, count)
    (tmp_path / "1.dcm").write_bytes(meta_header(jpeg(53)) + b"".join([*parts, table, value]))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert (list(report.rejected), report.frames) == ([], 2)
    frames = [tmp_path / "tree" / METADATA.replace("metadata", f"frames/{number}") for number in (1, 2)]
    assert [unwrap_part(frame.read_bytes()) for frame in frames] == [b"one and more", b"two "]


@pytest.mark.parametrize("vr", ["OB", "US", "UL", "FD", "AT", "SH"])
def test_the_head_that_a_report_gets_names_its_class_whatever_its_vr(tmp_path: Path, vr: str) -> None:
    parts = identity(sop_class=REPORT_CLASS)
    value = REPORT_CLASS.encode() + bytes(len(REPORT_CLASS) % 2)
    parts[0] = element(0x00080016, vr, value)
    (tmp_path / "1.dcm").write_bytes(b"".join(parts))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.rejected == []
    whole = tmp_path / "tree" / METADATA.replace("metadata", "index.dcm")
    assert read_file_meta_info(whole).MediaStorageSOPClassUID == REPORT_CLASS


@pytest.mark.parametrize("value", [b"", b"  ", b"\0\0"])
def test_a_number_of_frames_of_padding_alone_is_none(tmp_path: Path, value: bytes) -> None:
    metadata, _ = build_with(tmp_path, 0x00280008, element(0x00280008, "IS", value))
    assert metadata["00280008"] == {"vr": "IS"}


@pytest.mark.parametrize("value", [b"1.5 ", b"1e9 ", b"9" * 18, b"one ", b"1\\1 "])
def test_a_number_of_frames_that_is_none_is_refused(tmp_path: Path, value: bytes) -> None:
    parts = [*identity(), element(0x00280008, "IS", value), *image_module(PIXELS), native_pixels(PIXELS)]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join(parts))
    (rejected,) = build_tree(tmp_path / "tree", tmp_path / "1.dcm").rejected
    assert rejected.reason.startswith("NumberOfFrames is not a number")


@pytest.mark.parametrize(
    ("tag", "name", "value"),
    [
        (0x00280002, "Samples per Pixel", 1),
        (0x00280102, "High Bit", 11),
        (0x00280103, "Pixel Representation", 0),
    ],
)
@pytest.mark.parametrize("written", [b"", "empty"])
def test_what_every_image_has_is_published_where_a_file_lacks_it(
    tmp_path: Path, tag: int, name: str, value: int, written: bytes | str
) -> None:
    metadata, notes = build_with(tmp_path, tag, element(tag, "US") if written else b"")
    assert metadata[f"{tag:08X}"] == {"vr": "US", "Value": [value]}
    assert f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing; taken to be {value}" in notes


def test_bits_stored_that_are_missing_are_those_allocated(tmp_path: Path) -> None:
    parts = [part for part in image_module(PIXELS) if part[:4] not in (b"\x28\0\x01\x01", b"\x28\0\x02\x01")]
    (tmp_path / "1.dcm").write_bytes(meta_header() + b"".join([*identity(), *parts, native_pixels(PIXELS)]))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    metadata = document(tmp_path / "tree", METADATA)[0]
    assert [metadata[tag]["Value"] for tag in ("00280101", "00280102")] == [[16], [15]]
    assert [note for note in report.noted[0].notes if "missing" in note] == [
        "Bits Stored (0028,0101) is missing; taken to be 16",
        "High Bit (0028,0102) is missing; taken to be 15",
    ]


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_stored_that_are_missing_end_with_the_high_bit(tmp_path: Path, signed: int) -> None:
    """High Bit is Bits Stored - 1 (PS3.5 8.1.1), and so is where the sign of 12 bits stands in cells of 16."""
    samples = PIXELS.astype("i4") - 2048 * signed
    parts = image_by_tag() | {0x00280101: b"", 0x00280103: element(0x00280103, "US", signed)}
    data = b"".join(parts[tag] for tag in sorted(parts)) + native_pixels(samples & 0xFFF)
    (tmp_path / "1.dcm").write_bytes(meta_header() + data)
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert "Bits Stored (0028,0101) is missing; taken to be 12" in report.noted[0].notes
    metadata = document(tmp_path / "tree", METADATA)[0]
    assert [metadata[tag]["Value"] for tag in ("00280101", "00280102", "00280103")] == [[12], [11], [signed]]
    frame = (tmp_path / "tree" / METADATA.replace("metadata", "frames/1")).read_bytes()
    assert np.array_equal(openjpeg_decode(frame, j2k_format=0), samples)


def test_a_sign_that_only_the_codestream_has_is_the_one_that_is_told(tmp_path: Path) -> None:
    samples = PIXELS.astype("i2") - 2048
    parts = [part for part in image_module(PIXELS) if part[:4] != b"\x28\0\x03\x01"]
    value = head(0x7FE00010, "OB", UNDEFINED) + encapsulated_value([j2k(samples, 12)])
    (tmp_path / "1.dcm").write_bytes(meta_header(jpeg(90)) + b"".join([*identity(), *parts, value]))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert document(tmp_path / "tree", METADATA)[0]["00280103"] == {"vr": "US", "Value": [1]}
    assert "Pixel Representation (0028,0103) is missing; taken to be 1" in report.noted[0].notes


@pytest.mark.parametrize("tag", [0x00281101, 0x00420011, 0x00091001])
@pytest.mark.parametrize("vr", ["UV", "SV", "OB", "UC", "UT"])
def test_fragments_without_bytes_are_no_value(tmp_path: Path, tag: int, vr: str) -> None:
    """What has no value has neither Value nor InlineBinary (PS3.18 F.2.5)."""
    metadata, _ = build_with(tmp_path, tag, head(tag, vr, UNDEFINED) + encapsulated_value([b""]))
    assert metadata[f"{tag:08X}"] == {"vr": vr}


def test_nothing_is_taken_to_be_of_frames_that_nobody_reads(tmp_path: Path) -> None:
    attributes = image_attributes(PIXELS, SamplesPerPixel=None, BitsStored=None, HighBit=None)
    path = write_dicom(tmp_path / "1.dcm", jpeg(53), attributes, encapsulated_value([b"abcd"]), vr="OB")
    report = build_tree(tmp_path / "tree", path)
    metadata = document(tmp_path / "tree", METADATA)[0]
    assert not {"00280002", "00280101", "00280102"} & metadata.keys()
    assert not [note for item in report.noted for note in item.notes if "taken to be" in note]
