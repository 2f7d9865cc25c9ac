from __future__ import annotations

import base64
import importlib
import json
import logging
import math
import struct
import warnings
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset

from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import JSONDataset, dumps, first_value, rebase_bulk, text_value
from stillframe.errors import InputError
from tests.support.examples import examples
from tests.support.same_json import assert_same

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
FOLDERS = [Path(pydicom.__file__).parent / "data", Path(importlib.import_module("data_store").__path__[0]) / "data"]
FILES = sorted(
    path
    for folder in FOLDERS
    for path in folder.rglob("*")
    if path.is_file() and path.read_bytes()[128:132] == b"DICM" and path.name != "DICOMDIR"
)
CHARSETS = FOLDERS[0] / "charset_files"


def read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=True)


def element(tag: int, vr: str, value: bytes, *, little: bool = True, implicit: bool = False) -> bytes:
    """One element as it stands in a file."""
    order = "<" if little else ">"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack(order + "I", len(value)) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(order + "I", len(value)) + value
    return head + vr.encode() + struct.pack(order + "H", len(value)) + value


def sequence(tag: int, *items: bytes, implicit: bool = False) -> bytes:
    value = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)
    return element(tag, "SQ", value, implicit=implicit)


def dataset(*elements: bytes, little: bool = True, implicit: bool = False) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_dataset(BytesIO(b"".join(elements)), implicit, little)


def converted(*elements: bytes, implicit: bool = False) -> JSONDataset:
    result = convert(dataset(*elements, implicit=implicit))
    assert result.notes == ()
    return result.dataset


def value_of(tag: int, vr: str, value: bytes, charset: bytes = b"") -> Any:
    elements = [element(0x00080005, "CS", charset)] if charset else []
    return converted(*elements, element(tag, vr, value))[f"{tag:08X}"].get("Value")


# --- pydicom as the oracle -------------------------------------------------------------------------------------------


# Elements that pydicom suppresses, because it cannot write their values although it read them.
SUPPRESSED = {
    "bad_sequence.dcm": ["00080018", "0020000D", "0020000E", "00200010"],
    "badVR.dcm": ["00280008", "300C0002"],
} | {path.name: ["300C0002"] for path in FILES if path.name.startswith("rtdose")}

# Their last sequence is longer than the file, or than itself.
DAMAGED = ("DICOMDIR-nooffset", "rtplan_truncated.dcm")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_agrees_with_pydicom(path: Path) -> None:
    source = read(path)
    ours = convert(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            theirs = read(path).to_json_dict(suppress_invalid_tags=True)
        finally:
            logging.disable(logging.NOTSET)
    kept = ours.dataset
    for key in SUPPRESSED.get(path.name, []):
        if key not in theirs:
            kept = {other: value for other, value in kept.items() if other != key}
    little = source.original_encoding[1] is not False
    assert_same(kept, theirs, {bulk.path: bulk.data for bulk in ours.bulk}, little=little)
    assert bool(ours.notes) == (path.name in DAMAGED)


def test_there_are_files_to_compare() -> None:
    assert len(FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_elements_someone_has_looked_at_convert_alike(path: Path) -> None:
    untouched, touched = read(path), read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in list(touched.keys()):
            touched.get(tag)
    assert convert(touched).dataset == convert(untouched).dataset


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pydicom_reads_back_what_was_written(path: Path) -> None:
    before = convert(read(path))
    if before.bulk or path.name == "badVR.dcm":  # an IS of "1A", which pydicom refuses in JSON
        assert json.loads(dumps(before.dataset)) == before.dataset
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = Dataset.from_json(dumps(before.dataset).decode())
    assert convert(back).dataset == before.dataset


def test_conversion_leaves_the_data_set_unconverted() -> None:
    source = read(FOLDERS[0] / "test_files" / "CT_small.dcm")
    raw = {tag for tag, item in source.items() if isinstance(item, RawDataElement)}
    convert(source)
    assert len(raw) > 50
    assert {tag for tag, item in source.items() if isinstance(item, RawDataElement)} == raw


# --- character sets --------------------------------------------------------------------------------------------------

NAMES = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrJapMulti.dcm": "やまだ^たろう",
    "chrJapMultiExplicitIR6.dcm": "やまだ^たろう",
    "chrKoreanMulti.dcm": "김희중",
    "chrRuss.dcm": "Люкceмбypг",
    "chrX1.dcm": "Wang^XiaoDong=王^小東",
    "chrX2.dcm": "Wang^XiaoDong=王^小东",
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_names_of_the_character_set_files(name: str, expected: str) -> None:
    found = convert(read(CHARSETS / name)).dataset
    assert text_value(found, "00100010") == expected
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


def test_items_have_their_own_character_set_or_their_parents() -> None:
    own = convert(read(CHARSETS / "chrSQEncoding.dcm")).dataset["00321064"]["Value"][0]
    assert own["00100010"]["Value"] == [
        {"Alphabetic": "ﾔﾏﾀﾞ^ﾀﾛｳ", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert own["00080005"]["Value"] == ["ISO_IR 192"]
    inherited = convert(read(CHARSETS / "chrSQEncoding1.dcm")).dataset["00321064"]["Value"][0]
    assert inherited["00100010"] == own["00100010"]
    assert "00080005" not in inherited


def test_an_item_does_not_lend_its_character_set_to_what_follows() -> None:
    found = converted(
        element(0x00080005, "CS", b"ISO_IR 100"),
        sequence(0x00081110, element(0x00080005, "CS", b"ISO_IR 144") + element(0x00081030, "LO", b"\xd0")),
        element(0x00100010, "PN", b"\xe9"),
    )
    assert text_value(found["00081110"]["Value"][0], "00081030") == "а"
    assert text_value(found, "00100010") == "é"


@pytest.mark.parametrize(
    ("charset", "encoded", "expected"),
    [
        (b"GB18030", b"\x81\x5c\\a", ["乗", "a"]),
        (b"GBK", b"\x81\x5c\\a", ["乗", "a"]),
        (b"ISO_IR 13", b"\x83\x5c\xb1\\a", ["ソｱ", "a"]),  # Shift JIS, often declared so
        (b"\\ISO 2022 IR 87", b"\x1b$B\x3b\x33\x21\x5c\x1b(B\\a", ["山＋", "a"]),  # 0x5C as half of a character
        (b"\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B\\a", ["丂", "a"]),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\\\x1b$)C\xc8\xf1", ["김", "희"]),
        (b"\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5\\a", ["王", "a"]),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xd0\\\xe9", ["а", "é"]),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xd0\x1b-A\xe9", ["аé"]),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\x1b$B;3\x1b(J\xcf", ["ﾔ山ﾏ"]),
        (b"ISO_IR 203", b"\xa4", ["€"]),
        (b"ISO-IR 100 ", b"\xe9", ["é"]),
        (b"ISO_IR 166", b"\xa1", ["ก"]),
    ],
)
def test_text_by_character_set(charset: bytes, encoded: bytes, expected: list[str]) -> None:
    assert value_of(0x00081048, "LO", encoded, charset) == expected


def test_delimiters_of_names_end_escape_sequences() -> None:
    encoded = b"\x1b-L\xd0^\xe9=\x1b-L\xd0=\xe9"
    name = value_of(0x00100010, "PN", encoded, b"ISO 2022 IR 100\\ISO 2022 IR 144")
    assert name == [{"Alphabetic": "а^é", "Ideographic": "а", "Phonetic": "é"}]


def test_line_ends_but_not_backslashes_end_escape_sequences_in_long_text() -> None:
    text = value_of(0x00204000, "LT", b"\x1b-L\xd0\\\xd0\r\n\xe9", b"ISO 2022 IR 100\\ISO 2022 IR 144")
    assert text == ["а\\а\r\né"]


@pytest.mark.parametrize(
    ("charset", "encoded", "expected"),
    [
        (b"", b"J\xe9r\xf4me", "J\ufffdr\ufffdme"),  # nothing declared
        (b"", "Jérôme".encode(), "Jérôme"),  # nothing declared, but UTF-8 beyond doubt
        (b"ISO_IR 192", b"J\xe9r", "J\ufffdr"),
        (b"ISO_IR 126", b"a\xffb", "a\ufffdb"),  # no such letter in ISO 8859-7
        (b"KLINGON", b"J\xe9r", "J\ufffdr"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;\x1b(B", "\ufffd"),  # half a character
        (b"ISO 2022 IR 100", b"a\x1b%Xb", "a\ufffdb"),  # an unknown escape sequence
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\\\xc8\xf1", "김"),  # designated once instead of in each value
    ],
)
def test_doubtful_text_is_told(charset: bytes, encoded: bytes, expected: str) -> None:
    result = convert(dataset(element(0x00080005, "CS", charset), element(0x00081030, "LO", encoded)))
    assert first_value(result.dataset, "00081030") == expected
    assert any(note.startswith("00081030: ") for note in result.notes)
    assert not any(expected in note for note in result.notes)


def test_unknown_character_set_is_told() -> None:
    result = convert(dataset(element(0x00080005, "CS", b"KLINGON"), element(0x00081030, "LO", b"plain")))
    assert first_value(result.dataset, "00081030") == "plain"
    assert [note.partition(":")[0] for note in result.notes] == ["00080005"]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" \\\0"), min_size=1, max_size=20)


@pytest.mark.parametrize(("charset", "codec"), [(b"ISO_IR 192", "utf-8"), (b"GB18030", "gb18030")])
@given(values=st.lists(TEXT, min_size=1, max_size=4))
def test_text_round_trip(charset: bytes, codec: str, values: list[str]) -> None:
    encoded = "\\".join(values).encode(codec)
    assert value_of(0x00081048, "LO", encoded, charset) == values


@given(values=st.lists(st.text(st.sampled_from("abc山田太郎ソ表十能"), min_size=1, max_size=8), min_size=1, max_size=4))
def test_japanese_round_trip(values: list[str]) -> None:
    encoded = b"\\".join(value.encode("iso2022_jp") for value in values)
    assert value_of(0x00081048, "LO", encoded, b"\\ISO 2022 IR 87") == values


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vr", "encoded", "expected"),
    [
        ("AE", b" STORE  ", ["STORE"]),
        ("AS", b"042Y", ["042Y"]),
        ("AT", b"\x10\x00\x20\x00\xe0\x7f\x10\x00", ["00100020", "7FE00010"]),
        ("CS", b"ORIGINAL\\PRIMARY\\ AXIAL", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        ("CS", b"A\\\\B ", ["A", None, "B"]),
        ("CS", b"\\ ", [None, None]),
        ("CS", b"  ", None),
        ("DA", b"20240229", ["20240229"]),
        ("DS", b" 1.5\\-2e3 \\.5\\ ", [1.5, -2000.0, 0.5, None]),
        ("DS", b"1,5", ["1,5"]),
        ("DS", b"1_5\\nan\\inf ", ["1_5", "nan", "inf"]),
        ("DS", b"0.1234567890123456789", ["0.1234567890123456789"]),
        ("DS", b"1e999", ["1e999"]),
        ("DS", b"1e-999", ["1e-999"]),
        ("FD", struct.pack("<4d", 0.1, math.nan, math.inf, -math.inf), [0.1, "NaN", "Infinity", "-Infinity"]),
        ("FL", struct.pack("<f", 0.5), [0.5]),
        ("IS", b"+7\\-12 \\9007199254740993", [7, -12, "9007199254740993"]),
        ("LO", b" a b \\c ", ["a b", "c"]),
        ("LT", b"  a\\b  \0", ["  a\\b"]),
        ("PN", b"A^B=", [{"Alphabetic": "A^B"}]),
        ("PN", b"=x=y", [{"Ideographic": "x", "Phonetic": "y"}]),
        ("PN", b"A\\\\B", [{"Alphabetic": "A"}, None, {"Alphabetic": "B"}]),
        ("PN", b"==", None),
        ("SH", b"a\0", ["a"]),
        ("SL", struct.pack("<2i", -1, 2), [-1, 2]),
        ("SS", struct.pack("<h", -1), [-1]),
        ("SV", struct.pack("<q", -(2**60)), [-(2**60)]),
        ("ST", b" a\r\nb ", [" a\r\nb"]),
        ("TM", b"1200\\1300", ["1200", "1300"]),
        ("UC", b" a\\b ", [" a", "b"]),
        ("UI", b"1.2\\3.4\0", ["1.2", "3.4"]),
        ("UL", struct.pack("<3I", 1, 2, 2**32 - 1), [1, 2, 2**32 - 1]),
        ("UR", b"https://a.b/c?d  ", ["https://a.b/c?d"]),
        ("US", struct.pack("<2H", 1, 65535), [1, 65535]),
        ("UT", b"a\\b", ["a\\b"]),
        ("UV", struct.pack("<Q", 2**63), [2**63]),
    ],
)
def test_value(vr: str, encoded: bytes, expected: list[Any] | None) -> None:
    assert value_of(0x00091001, vr, encoded) == expected


@pytest.mark.parametrize("vr", ["CS", "DS", "FD", "LT", "OB", "PN", "SQ", "UI", "UN", "US"])
def test_an_empty_element_has_only_its_vr(vr: str) -> None:
    assert converted(element(0x00091001, vr, b""))["00091001"] == {"vr": vr}


def test_empty_items_are_empty_objects() -> None:
    assert converted(sequence(0x00081110, b"", b""))["00081110"] == {"vr": "SQ", "Value": [{}, {}]}


@given(st.from_regex(r"[+-]?[0-9]{0,20}(\.[0-9]{0,12})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
def test_decimal_strings_keep_their_value(text: str) -> None:
    values = value_of(0x00091001, "DS", text.encode())
    if not text:
        assert values is None
    elif isinstance(values[0], str):
        assert values == [text]
        try:
            survives = Decimal(repr(float(text))) == Decimal(text)
        except (ArithmeticError, ValueError):
            survives = False
        assert not survives
    else:
        assert Decimal(dumps(values[0]).decode()) == Decimal(text)


NUMBERS = {
    "FD": st.floats(allow_nan=False),
    "FL": st.floats(width=32, allow_nan=False),
    "SL": st.integers(-(2**31), 2**31 - 1),
    "SS": st.integers(-(2**15), 2**15 - 1),
    "SV": st.integers(-(2**63), 2**63 - 1),
    "UL": st.integers(0, 2**32 - 1),
    "US": st.integers(0, 2**16 - 1),
    "UV": st.integers(0, 2**64 - 1),
}
CODES = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}


@given(st.data())
def test_numbers_survive_json_in_either_byte_order(data: st.DataObject) -> None:
    vr = data.draw(st.sampled_from(sorted(NUMBERS)))
    numbers = data.draw(st.lists(NUMBERS[vr], min_size=1, max_size=5))
    for little in (True, False):
        packed = struct.pack(f"{'<' if little else '>'}{len(numbers)}{CODES[vr]}", *numbers)
        found = convert(dataset(element(0x00091001, vr, packed, little=little), little=little)).dataset
        back = json.loads(dumps(found))["00091001"]["Value"]
        assert [float(n) if isinstance(n, str) else n for n in back] == numbers


WORDS = {"AT": 2, "FD": 8, "FL": 4, "OB": 1, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2}
WORDS |= {"SL": 4, "SS": 2, "SV": 8, "UL": 4, "UN": 1, "US": 2, "UV": 8}


@pytest.mark.parametrize(("vr", "size"), WORDS.items())
@pytest.mark.parametrize("length", [16, 2048, 65536 + 16])
def test_big_endian_twins_are_equal(vr: str, size: int, length: int) -> None:
    if length > 0xFFFF and vr not in LONG:
        length = 0xFFF0
    value = bytes(range(16)) * (length // 16)
    twin = b"".join(value[at : at + size][::-1] for at in range(0, length, size))
    little = convert(dataset(element(0x00091001, vr, value)))
    big = convert(dataset(element(0x00091001, vr, twin, little=False), little=False))
    assert big == little
    if little.bulk:
        assert little.bulk[0].data == value


@pytest.mark.parametrize("name", ["liver_1frame.dcm", "rtdose_1frame.dcm"])
def test_big_endian_twin_files_are_equal(name: str) -> None:
    folder = FOLDERS[0] / "test_files"
    little = convert(read(folder / name)).dataset
    big = convert(read(folder / name.replace("_1frame", "_expb_1frame"))).dataset
    assert len(big) > 20
    assert big == little


def test_left_out() -> None:
    found = converted(
        element(0x00080000, "UL", struct.pack("<I", 10)),
        element(0x00080020, "DA", b"20240229"),
        element(0x7FE00001, "OV", bytes(8)),
        element(0x7FE00002, "OV", bytes(8)),
        element(0x7FE00010, "OW", bytes(8)),
        element(0xFFFCFFFC, "OB", bytes(8)),
    )
    assert list(found) == ["00080005", "00080020"]


def test_tags_ascend_whatever_the_file_does() -> None:
    found = converted(element(0x00100020, "LO", b"1"), element(0x00080020, "DA", b"20240229"))
    assert list(found) == ["00080005", "00080020", "00100020"]


def test_the_pixels_of_an_icon_stay() -> None:
    icon = converted(sequence(0x00880200, element(0x7FE00010, "OB", b"\1\2")))["00880200"]["Value"][0]
    assert icon == {"7FE00010": {"vr": "OB", "InlineBinary": "AQI="}}


# --- value representations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signed", "vr", "expected"), [(0, "US", 65535), (1, "SS", -1)])
def test_us_or_ss_follows_the_nearest_pixel_representation(signed: int, vr: str, expected: int) -> None:
    other = struct.pack("<H", 1 - signed)
    mine = element(0x00280103, "", struct.pack("<H", signed), implicit=True)
    padding = element(0x00280120, "", b"\xff\xff", implicit=True)
    outer = element(0x00280103, "", other, implicit=True)
    found = converted(sequence(0x00081140, mine + padding, padding, implicit=True), outer, implicit=True)
    own, inherited = found["00081140"]["Value"]
    assert own["00280120"] == {"vr": vr, "Value": [expected]}
    assert inherited["00280120"]["vr"] == ("SS" if vr == "US" else "US")


@pytest.mark.parametrize(("entries", "vr"), [(1, "US"), (256, "OW")])
def test_lut_data_follows_its_descriptor(entries: int, vr: str) -> None:
    found = converted(
        element(0x00283002, "", struct.pack("<3H", entries, 0, 16), implicit=True),
        element(0x00283006, "", b"\1\0", implicit=True),
        implicit=True,
    )
    assert found["00283006"]["vr"] == vr


def test_the_first_value_of_a_lut_descriptor_is_unsigned() -> None:
    assert value_of(0x00281101, "SS", struct.pack("<3h", -25536, -5, 16)) == [40000, -5, 16]


def test_implicit_waveform_data_are_words() -> None:
    assert converted(element(0x54001010, "", b"\1\2", implicit=True), implicit=True)["54001010"]["vr"] == "OW"


def test_private_elements_of_known_creators() -> None:
    found = converted(
        element(0x00190010, "", b"GEMS_ACQU_01", implicit=True),
        element(0x00191002, "", struct.pack("<i", 888), implicit=True),
        element(0x00191101, "", b"\1\2", implicit=True),
        implicit=True,
    )
    assert found["00190010"] == {"vr": "LO", "Value": ["GEMS_ACQU_01"]}
    assert found["00191002"] == {"vr": "SL", "Value": [888]}
    assert found["00191101"] == {"vr": "UN", "InlineBinary": "AQI="}  # no creator for this block


CREATORS = st.one_of(
    st.binary(max_size=70),
    st.sampled_from([b"GEMS_ACQU_01", b"GEMS_ACQU_01\\\\X", b" GEMS_ACQU_01\0", b"STILLFRAME", b"\xff" * 64]),
)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.sampled_from(["LO", "SQ", "OB", "UN", ""]), CREATORS), max_size=9))
def test_private_creators_of_any_kind_and_number(elements: list[tuple[int, str, bytes]]) -> None:
    implicit = any(not vr for _, vr, _ in elements)
    encoded = [element(0x00190000 | number, vr or "LO", value, implicit=implicit) for number, vr, value in elements]
    result = convert(dataset(*encoded, element(0x00100020, "LO", b"1", implicit=implicit), implicit=implicit))
    assert json.loads(dumps(result.dataset)) == result.dataset
    assert text_value(result.dataset, "00100020") == "1"
    kept = {f"{0x00190000 | number:08X}" for number, _, _ in elements if number}
    assert kept <= {*result.dataset}


def test_un_of_known_attributes() -> None:
    assert converted(element(0x00100020, "UN", b"4711"))["00100020"] == {"vr": "LO", "Value": ["4711"]}


def test_un_stays_where_its_vr_does_not_fit() -> None:
    found = converted(element(0x00280010, "UN", b"abc"), element(0x00100020, "UN", b"\xe9"))
    assert found["00280010"] == {"vr": "UN", "InlineBinary": base64.b64encode(b"abc").decode()}
    assert found["00100020"] == {"vr": "UN", "InlineBinary": base64.b64encode(b"\xe9").decode()}


def test_nested_private_sequences() -> None:
    inner = element(0x00410010, "LO", b"ACME") + element(0x00411001, "FD", struct.pack("<2d", 1.5, 2))
    found = converted(element(0x00410010, "LO", b"ACME"), sequence(0x00411002, sequence(0x00411002, inner)))
    nested = found["00411002"]["Value"][0]["00411002"]["Value"][0]
    assert nested == {"00410010": {"vr": "LO", "Value": ["ACME"]}, "00411001": {"vr": "FD", "Value": [1.5, 2.0]}}


# --- bulk data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("vr", "limit"), [("OB", 1024), ("OW", 1024), ("UN", 1024), ("UT", 65536), ("FD", 65536)])
def test_bulk_data_begin_past_the_limit(vr: str, limit: int) -> None:
    def convert_length(length: int) -> Any:
        # Implicit VR lets every VR be as long as it likes.
        raw = RawDataElement(pydicom.tag.Tag(0x00091001), vr, length, b"1" * length, 0, True, True)
        return convert(Dataset({raw.tag: raw}))

    short, long = convert_length(limit), convert_length(limit + 8)
    assert short.bulk == ()
    assert long.dataset["00091001"] == {"vr": vr, "BulkDataURI": "bulkdata/00091001"}
    assert [(bulk.path, bulk.data) for bulk in long.bulk] == [("00091001", b"1" * (limit + 8))]


def test_bulk_data_in_items() -> None:
    one, two = element(0x54001010, "OW", bytes(2000)), element(0x54001010, "OW", bytes(2002))
    result = convert(dataset(sequence(0x54000100, one, two)))
    assert [bulk.path for bulk in result.bulk] == ["54000100/1/54001010", "54000100/2/54001010"]
    second = result.dataset["54000100"]["Value"][1]["54001010"]
    assert second == {"vr": "OW", "BulkDataURI": "bulkdata/54000100/2/54001010"}


def test_equal_values_are_stored_once_whatever_their_vr() -> None:
    data = bytes(range(256)) * 8
    result = convert(
        dataset(
            sequence(0x54000100, element(0x54001010, "OW", data)),
            element(0x00091001, "OB", data),
            element(0x00091002, "UN", data + b"12"),
            sequence(0x00400555, b"", element(0x00091003, "UN", data)),
        )
    )
    assert [(bulk.path, bulk.data) for bulk in result.bulk] == [("00091001", data), ("00091002", data + b"12")]
    assert result.dataset["00091001"] == {"vr": "OB", "BulkDataURI": "bulkdata/00091001"}
    nested = result.dataset["00400555"]["Value"][1]["00091003"]
    assert nested == {"vr": "UN", "BulkDataURI": "bulkdata/00091001"}
    wave = result.dataset["54000100"]["Value"][0]["54001010"]
    assert wave == {"vr": "OW", "BulkDataURI": "bulkdata/00091001"}


def test_a_value_taken_back_is_not_stored() -> None:
    """A UN whose text turns out to be doubtful is published as its bytes, and only as these."""
    text = b"\xe9" * 70000
    item = element(0x0040A160, "UN", text[:60000])
    broken = sequence(0x00081110, element(0x00091001, "OB", text)) + b"\0\0\0\0\0\0\0\0"
    result = convert(dataset(element(0x00081110, "SQ", broken[12:]), item))
    assert [bulk.path for bulk in result.bulk] == ["00081110", "0040A160"]
    assert result.bulk[0].data == broken[12:]
    assert result.dataset["00081110"] == {"vr": "UN", "BulkDataURI": "bulkdata/00081110"}


def test_long_text_is_published_as_utf8() -> None:
    result = convert(
        dataset(element(0x00080005, "CS", b"ISO_IR 100"), element(0x0040A160, "UT", b"\xe9" * 70000 + b"  "))
    )
    assert result.bulk[0].data == ("é" * 70000).encode()


def test_a_long_sequence_is_never_bulk() -> None:
    item = element(0x00081030, "LO", b"x" * 60)
    result = convert(dataset(sequence(0x00081110, *[item] * 2000)))
    assert len(result.dataset["00081110"]["Value"]) == 2000
    assert result.bulk == ()


def test_rebase_bulk() -> None:
    wave = element(0x54001010, "OW", bytes(2000))
    result = convert(dataset(sequence(0x54000100, wave), element(0x7FE10010, "OB", bytes(2002))))
    before = dumps(result.dataset)
    moved = rebase_bulk(result.dataset, "instances/1.2/")
    assert moved["54000100"]["Value"][0]["54001010"]["BulkDataURI"] == "instances/1.2/bulkdata/54000100/1/54001010"
    assert moved["7FE10010"]["BulkDataURI"] == "instances/1.2/bulkdata/7FE10010"
    assert list(moved) == list(result.dataset)
    assert dumps(result.dataset) == before
    plain = convert(dataset(sequence(0x54000100, element(0x00081030, "LO", b"x")))).dataset
    assert rebase_bulk(plain, "x/") is plain


# --- hostile input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vr", "value"), [("US", b"abc"), ("FD", b"1234"), ("AT", b"ab"), ("SQ", b"no items"), ("UL", b"x")]
)
def test_a_misfit_keeps_its_bytes_and_is_told(vr: str, value: bytes) -> None:
    result = convert(dataset(element(0x00091001, vr, value), element(0x00100020, "LO", b"1")))
    assert result.dataset["00091001"] == {"vr": "UN", "InlineBinary": base64.b64encode(value).decode()}
    assert [note.partition(":")[0] for note in result.notes] == ["00091001"]
    assert text_value(result.dataset, "00100020") == "1"


@pytest.mark.parametrize("implicit", [False, True])
def test_an_element_longer_than_its_item_takes_nothing_from_the_next(implicit: bool) -> None:
    overlong = element(0x00081030, "LO", b"abcd" + bytes(20), implicit=implicit)[: 8 + 4]
    following = element(0x00081030, "LO", b"next", implicit=implicit)
    result = convert(dataset(sequence(0x00081110, overlong, following, implicit=implicit), implicit=implicit))
    first, second = result.dataset["00081110"]["Value"]
    assert (text_value(first, "00081030"), text_value(second, "00081030")) == ("abcd", "next")
    assert result.notes == ("00081110/1/00081030: its item ends after 4 of the value's 24 bytes",)


@pytest.mark.parametrize("tag", [0x00091001, 0x2E322E38], ids=["private", "of no attribute"])
def test_an_unknown_element_longer_than_its_item_is_told(tag: int) -> None:
    """Without letters where the VR stands, the four bytes there are a length."""
    overlong = element(tag, "UN", b"abcd" + bytes(20), implicit=True)[: 8 + 4]
    result = convert(dataset(sequence(0x00081110, overlong, element(0x00081030, "LO", b"next"))))
    first, second = result.dataset["00081110"]["Value"]
    assert first == {f"{tag:08X}": {"vr": "UN", "InlineBinary": base64.b64encode(b"abcd").decode()}}
    assert text_value(second, "00081030") == "next"
    assert result.notes == (f"00081110/1/{tag:08X}: its item ends after 4 of the value's 24 bytes",)


def test_a_sequence_cut_short_is_told() -> None:
    whole = sequence(0x00081110, element(0x00100020, "LO", b"1"), element(0x00081030, "LO", b"abcd"))
    result = convert(dataset(whole[:-2]))
    first, second = result.dataset["00081110"]["Value"]
    assert (text_value(first, "00100020"), text_value(second, "00081030")) == ("1", "ab")
    assert {note.partition(":")[0] for note in result.notes} == {"00081110", "00081110/2/00081030"}


def test_items_of_undefined_length() -> None:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + element(0x00081030, "LO", b"abcd") + b"\xfe\xff\x0d\xe0\0\0\0\0"
    found = converted(element(0x00081110, "SQ", item + item), element(0x00100020, "LO", b"1"))
    assert [text_value(item, "00081030") for item in found["00081110"]["Value"]] == ["abcd", "abcd"]
    assert text_value(found, "00100020") == "1"


def test_a_misfit_in_an_item_is_told_with_its_path() -> None:
    result = convert(dataset(sequence(0x00081110, b"", element(0x00280010, "US", b"abc"))))
    assert [note.partition(":")[0] for note in result.notes] == ["00081110/2/00280010"]


@pytest.mark.parametrize(("tag", "vr"), [(0x00100020, "LO"), (0x00091001, "UN")])
def test_letters_that_are_no_vr(tag: int, vr: str) -> None:
    result = convert(dataset(element(tag, "ZZ", b"4711")))
    assert result.dataset[f"{tag:08X}"]["vr"] == vr
    assert len(result.notes) == 1


def test_a_value_cut_short_is_told() -> None:
    result = convert(dataset(element(0x00081030, "LO", b"abcdef")[:-2]))
    assert first_value(result.dataset, "00081030") == "abcd"
    assert len(result.notes) == 1


def nest(levels: int) -> bytes:
    nested = element(0x00081030, "LO", b"deep")
    for _ in range(levels):
        nested = sequence(0x00081110, nested)
    return nested


def test_depth_of_sequences() -> None:
    found = convert(dataset(nest(63))).dataset
    for _ in range(63):
        found = found["00081110"]["Value"][0]
    assert text_value(found, "00081030") == "deep"
    with pytest.raises(InputError, match="64"):
        convert(dataset(nest(64)))
    with pytest.raises(InputError, match="nest"):
        convert(dataset(nest(2000)))


def test_notes_are_bounded() -> None:
    result = convert(dataset(*[element(0x00091000 + n, "US", b"x") for n in range(250)]))
    assert len(result.notes) == 101
    assert "150 more" in result.notes[-1]


SAMPLE = (FOLDERS[0] / "test_files" / "reportsi.dcm").read_bytes()[132:4000]


@settings(max_examples=examples(150))
@given(
    cuts=st.lists(st.tuples(st.integers(300, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=30),
    little=st.booleans(),
    implicit=st.booleans(),
)
def test_damaged_data_sets_never_crash(cuts: list[tuple[int, int]], little: bool, implicit: bool) -> None:
    damaged = bytearray(SAMPLE)
    for at, byte in cuts:
        damaged[at] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = read_dataset(BytesIO(bytes(damaged)), implicit, little)
        except Exception:  # what cannot be read at all is not ours
            return
    try:
        result = convert(source)
    except InputError:
        return
    assert json.loads(dumps(result.dataset)) == result.dataset


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_dumps_is_compact_utf8() -> None:
    assert dumps([{"a": "é", "b": [1, None]}]) == '[{"a":"é","b":[1,null]}]'.encode()
    with pytest.raises(ValueError):
        dumps(math.nan)


def test_text_value() -> None:
    found: JSONDataset = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": "C"}]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00100020": {"vr": "LO"},
    }
    assert [text_value(found, tag) for tag in ("00100010", "00200013", "00100020", "00100030")] == ["A==C", "7", "", ""]
