"""Items that are not well formed: every byte of them is in an element, or the owner of the data set is told."""

from __future__ import annotations

import base64
import io
import struct

import pytest

from stillframe.dicom.assign_uids import assign_uids
from stillframe.dicom.assigned_uids import assigned_uid
from stillframe.dicom.json_convert import Converted, convert
from stillframe.dicom.part10 import open_part10
from stillframe.dicom.read import Instance, read_instance
from stillframe.errors import InputError
from tests.support.dicom_files import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.support.elements import (
    NATIVE,
    PIXEL_DATA,
    REPORT_CLASS,
    UNDEFINED,
    element,
    head,
    identity,
    meta_header,
    sequence,
)

CODES = 0x00081032
UNKNOWN = 0x00091001
TWICE = "is there more than once, with different values; the last one counts"


def read(*parts: bytes, syntax: str = EXPLICIT, assign: bool = False) -> Instance:
    report = [*identity(syntax, sop_class=REPORT_CLASS), element(0x00090010, "LO", "OWN", syntax), *parts]
    instance = read_instance(io.BytesIO(meta_header(syntax, REPORT_CLASS) + b"".join(report)))
    if assign:
        assign_uids(instance, lambda: "sha256:" + "ab" * 32)
    return instance


def converted(*parts: bytes, syntax: str = EXPLICIT, assign: bool = False) -> Converted:
    return convert(read(*parts, syntax=syntax, assign=assign).dataset)


def code(value: str, syntax: str = EXPLICIT) -> bytes:
    return element(0x00080100, "SH", value, syntax)


def codes_of(result: Converted, tag: int = CODES) -> list[str]:
    return [item["00080100"]["Value"][0] for item in result.dataset[f"{tag:08X}"]["Value"]]


def item(content: bytes, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    return head(0xFFFEE000, "", len(content) if length is None else length, syntax) + content


def delimiter(syntax: str = EXPLICIT) -> bytes:
    return head(0xFFFEE0DD, "", 0, syntax)


def item_delimiter(syntax: str = EXPLICIT) -> bytes:
    return head(0xFFFEE00D, "", 0, syntax)


def fragments(syntax: str = EXPLICIT) -> bytes:
    """The value of encapsulated pixel data without its delimiter (PS3.5 A.4)."""
    return item(b"", syntax) + item(b"\xff\xd8\xff\xd9", syntax)


def assert_kept_as_bytes(items: bytes, syntax: str, reason: str) -> None:
    """The sequence is published as its bytes, as one that is damaged, with a note."""
    result = converted(element(CODES, "SQ", items, syntax), syntax=syntax)
    assert result.dataset["00081032"] == {"vr": "UN", "InlineBinary": base64.b64encode(items).decode()}
    assert result.notes == (f"00081032: as a sequence, it {reason}; its bytes are published as UN",)
    assert result.damaged == result.notes


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("length", [None, UNDEFINED], ids=["known length", "undefined length"])
@pytest.mark.parametrize("value", ["nothing", "zeros", "fragments", "text"])
def test_a_value_without_its_end_takes_no_element_along(syntax: str, length: int | None, value: str) -> None:
    values = {"nothing": b"", "zeros": bytes(40), "fragments": fragments(syntax), "text": b"some text!"}
    last = head(PIXEL_DATA, "OB", UNDEFINED, syntax) + values[value]
    assert_kept_as_bytes(
        item(code("C1", syntax) + last, syntax, length),
        syntax,
        f"has {len(last)} bytes behind the last element of an item",
    )


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("count", [2, 4, 6])
def test_half_a_head_at_the_end_of_an_item_is_not_lost(syntax: str, count: int) -> None:
    items = item(code("C1", syntax) + code("C2", syntax)[:count], syntax, UNDEFINED)
    assert_kept_as_bytes(items, syntax, f"has {count} bytes behind the last element of an item")


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_item_without_its_delimiter_ends_with_its_sequence(syntax: str) -> None:
    items = item(code("C1", syntax), syntax) + item(code("C2", syntax), syntax, UNDEFINED)
    result = converted(element(CODES, "SQ", items, syntax), syntax=syntax)
    assert codes_of(result) == ["C1", "C2"]
    assert result.notes == ()


@pytest.mark.parametrize("syntax", NATIVE)
def test_what_is_behind_fragments_in_an_item_is_read_or_told(syntax: str) -> None:
    pixels = head(PIXEL_DATA, "OB", UNDEFINED, syntax) + fragments(syntax) + delimiter(syntax)
    whole = converted(element(CODES, "SQ", item(pixels + code("C1", syntax), syntax), syntax), syntax=syntax)
    assert codes_of(whole) == ["C1"]
    assert whole.notes == ()
    (found,) = whole.dataset["00081032"]["Value"]
    assert base64.b64decode(found["7FE00010"]["InlineBinary"]) == fragments(syntax)
    rest = head(0x00204000, "LT", 500, syntax)[:6]
    assert_kept_as_bytes(
        item(pixels + rest, syntax), syntax, f"has {len(rest)} bytes behind the last element of an item"
    )


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("before", [b"", None], ids=["elements", "fragments"])
def test_elements_behind_the_delimiter_of_an_item_of_known_length_are_not_lost(
    syntax: str, before: bytes | None
) -> None:
    if before is None:
        before = head(PIXEL_DATA, "OB", UNDEFINED, syntax) + fragments(syntax) + delimiter(syntax)
    start = before + code("C1", syntax) + item_delimiter(syntax)
    behind = code("C2", syntax)
    assert_kept_as_bytes(
        item(start + behind, syntax), syntax, f"has {len(behind)} bytes behind the last element of an item"
    )
    padded = converted(element(CODES, "SQ", item(start + bytes(10), syntax), syntax), syntax=syntax)
    assert codes_of(padded) == ["C1"]
    assert padded.notes == ()


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("behind", ["item", "text", "element"])
def test_what_is_behind_the_delimiter_of_a_sequence_is_not_lost(syntax: str, behind: str) -> None:
    rest = {"item": item(code("C2", syntax), syntax), "text": b"some text!", "element": code("C2", syntax)}[behind]
    items = item(code("C1", syntax), syntax) + delimiter(syntax)
    reason = f"has {len(rest)} bytes behind its delimiter"
    assert_kept_as_bytes(items + rest, syntax, reason)
    outer = item(element(CODES, "SQ", items + rest, syntax), syntax)
    nested = converted(element(0x0040A730, "SQ", outer, syntax), syntax=syntax)
    assert nested.notes == (f"0040A730/1/00081032: as a sequence, it {reason}; its bytes are published as UN",)
    assert nested.damaged == nested.notes
    padded = converted(element(CODES, "SQ", items + bytes(14), syntax), syntax=syntax)
    assert codes_of(padded) == ["C1"]
    assert padded.notes == ()


def test_what_is_behind_the_delimiter_of_a_sequence_of_vr_un_is_not_lost() -> None:
    """PS3.5 6.2.2: its items have implicit VR, little endian."""
    items = item(code("C1", IMPLICIT)) + delimiter() + item(code("C2", IMPLICIT))
    result = converted(element(CODES, "UN", items))
    assert result.dataset["00081032"] == {"vr": "UN", "InlineBinary": base64.b64encode(items).decode()}
    assert len(result.damaged) == 1


def un_sequence(items: bytes, tag: int = CODES, syntax: str = EXPLICIT) -> bytes:
    """A sequence of VR UN and undefined length; its delimiter is little-endian, as its items are (PS3.5 6.2.2)."""
    return head(tag, "UN", UNDEFINED, syntax) + items + delimiter()


@pytest.mark.parametrize("large", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("nested", [False, True], ids=["at the top", "in an item"])
@pytest.mark.parametrize("inner", NATIVE)
def test_items_of_vr_un_in_a_big_endian_data_set(inner: str, nested: bool, large: bool) -> None:
    """They are little-endian with implicit VR (PS3.5 6.2.2); some writers go on as they began."""
    content = code("C1", inner) + element(0x00280010, "US", 258, inner)
    content += element(0x00204000, "LT", "y" * 60_000, inner) if large else b""
    unknown = head(UNKNOWN, "UN", UNDEFINED, BIG_ENDIAN) + item(content, inner) + delimiter(inner)
    parts = [sequence(0x0040A730, [element(0x00090010, "LO", "OWN", BIG_ENDIAN) + unknown], BIG_ENDIAN)]
    result = converted(*(parts if nested else [unknown]), code_behind(), syntax=BIG_ENDIAN)
    holder = result.dataset["0040A730"]["Value"][0] if nested else result.dataset
    (found,) = holder[f"{UNKNOWN:08X}"]["Value"]
    assert found["00080100"]["Value"] == ["C1"]
    assert found["00280010"] == {"vr": "US", "Value": [258]}
    assert ("00204000" in found) == large
    assert result.dataset["00420010"]["Value"] == ["behind"]
    assert result.notes == ()


def code_behind() -> bytes:
    """An element behind the others, in a big-endian data set."""
    return element(0x00420010, "ST", "behind", BIG_ENDIAN)


@pytest.mark.parametrize("tag", [CODES, UNKNOWN])
def test_an_element_twice_in_an_item_of_vr_un_is_told(tag: int) -> None:
    result = converted(un_sequence(item(code("C1", IMPLICIT) + code("C2", IMPLICIT)), tag))
    assert codes_of(result, tag) == ["C2"]
    assert result.notes == (f"{tag:08X}/1/00080100: {TWICE}",)


@pytest.mark.parametrize("vr", ["DS", "OB", "TM", "UN", "ZZ"])
@pytest.mark.parametrize("ends", [None, UNDEFINED], ids=["known length", "undefined length"])
@pytest.mark.parametrize("large", [False, True], ids=["alone", "before more"])
def test_a_length_that_looks_like_a_vr_is_one(vr: str, ends: int | None, large: bool) -> None:
    """PS3.5 6.2.2: the items of a sequence of VR UN have implicit VR, and b"DS" may begin a length of 21,316 bytes."""
    length = ord(vr[0]) + 256 * ord(vr[1])
    text = element(0x00080104, "LT", "x" * length, IMPLICIT)
    content = text + (element(0x00204000, "LT", "y" * 70_000, IMPLICIT) if large else b"")
    content += item_delimiter() if ends else b""
    for tag in (CODES, UNKNOWN):
        result = converted(un_sequence(item(content, length=ends) + item(code("C2", IMPLICIT)), tag))
        first, second = result.dataset[f"{tag:08X}"]["Value"]
        assert first["00080104"]["Value"] == ["x" * length]
        assert ("00204000" in first) == large
        assert second["00080100"]["Value"] == ["C2"]
        assert result.notes == ()


def test_letters_before_a_long_item_are_a_vr() -> None:
    """An empty value of VR DS, and 30,000 bytes of elements behind it."""
    elements = [element(0x00101030, "DS"), *(element(0x00110010 + n, "LO", "x" * 40) for n in range(600))]
    for length, end in ((None, b""), (UNDEFINED, item_delimiter())):
        result = converted(un_sequence(item(b"".join(elements) + end, length=length)))
        (found,) = result.dataset["00081032"]["Value"]
        assert len(found) == 601
        assert found["00101030"] == {"vr": "DS"}
        assert result.notes == ()


def test_items_that_may_be_read_in_two_ways_cost_no_more_when_they_nest() -> None:
    """60 levels of items that begin with what may be a length, and what is within them is nothing."""
    begin = element(0x00101030, "DS") + head(CODES, "SQ", UNDEFINED) + head(0xFFFEE000, "", UNDEFINED)
    with pytest.raises(InputError, match=r"\(0008,1032\)"):
        read(head(CODES, "UN", UNDEFINED) + head(0xFFFEE000, "", UNDEFINED) + begin * 60 + b"nothing." * 10_000)


@pytest.mark.parametrize("inner", [IMPLICIT, EXPLICIT])
def test_an_element_longer_than_its_item_of_vr_un_takes_no_item_along(inner: str) -> None:
    long = head(0x00080104, "LO", 2 + 8 + len(code("C2", inner)), inner) + b"X "
    result = converted(
        un_sequence(item(code("C1", inner) + long) + b"".join(item(code(c, inner)) for c in ("C2", "C3")))
    )
    assert codes_of(result) == ["C1", "C2", "C3"]
    assert result.dataset["00081032"]["Value"][0]["00080104"]["Value"] == ["X"]
    length = 2 + 8 + 8 + 2  # the text, the head of an item, that of its element, the code
    assert result.notes == (f"00081032/1/00080104: its item ends after 2 of the value's {length} bytes",)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_odd_item_within_others_is_told_with_its_path(syntax: str) -> None:
    odd = head(PIXEL_DATA, "OB", UNDEFINED, syntax) + fragments(syntax) + delimiter(syntax)
    inner = odd + code("C1", syntax) + code("C2", syntax)
    result = converted(sequence(0x0040A730, [sequence(CODES, [inner], syntax)], syntax), syntax=syntax)
    assert result.notes == (f"0040A730/1/00081032/1/00080100: {TWICE}",)


def test_a_group_length_that_is_none_is_not_left_out() -> None:
    """PS3.5 7.2: it has four bytes."""
    odd = head(PIXEL_DATA, "OB", UNDEFINED) + fragments() + delimiter()
    assert converted(element(CODES, "SQ", item(odd + element(0x00080000, "UL", bytes(4))))).notes == ()
    items = item(odd + element(0x00080000, "LO", "some text "))
    assert_kept_as_bytes(items, EXPLICIT, "has a group length (0008,0000) of 10 bytes")


@pytest.mark.parametrize("syntax", NATIVE)
def test_what_is_cut_at_the_end_of_the_file_is_no_element(syntax: str) -> None:
    whole = sequence(CODES, [fragments(syntax) + code("C1", syntax)], syntax)
    for cut in (1, 8, 20):
        with pytest.raises(InputError, match=r"\(0008,1032\)"):
            read(whole[:-cut], syntax=syntax)


def uid(value: str, vr: str = "UI") -> bytes:
    return element(0x00081155, vr, value)


@pytest.mark.parametrize(
    ("items", "note"),
    [
        (item(uid("no_uid") + code("C1"), length=5000), "00081032: it ends after 24 of the last item's 5000 bytes"),
        (item(uid("no_uid") + code("C1") + code("C2")), f"00081032/1/00080100: {TWICE}"),
        (
            item(uid("no_uid") + head(0x00080100, "SH", 20) + b"C1"),
            "00081032/1/00080100: its item ends after 2 of the value's 20 bytes",
        ),
        (
            item(head(0x00081155, "UI", 64) + b"no_uid"),
            "00081032/1/00081155: its item ends after 6 of the value's 64 bytes",
        ),
        (
            item(uid("no_uid") + element(0x00080100, "ZZ", "C1")),
            "00081032/1/00080100: its VR is none that DICOM defines",
        ),
        (item(uid("no_uid", "ZZ") + code("C1")), "00081032/1/00081155: its VR is none that DICOM defines"),
        (item(uid("first_one") + uid("no_uid")), f"00081032/1/00081155: {TWICE}"),
    ],
    ids=["cut", "twice", "too long", "too long itself", "no VR", "no VR itself", "twice itself"],
)
def test_what_is_wrong_with_items_is_told_with_other_uids_in_them(items: bytes, note: str) -> None:
    plain, other = (converted(element(CODES, "SQ", items), assign=assign) for assign in (False, True))
    assert plain.notes == other.notes == (note,)
    assert plain.damaged == other.damaged
    (found,) = other.dataset["00081032"]["Value"]
    assert found["00081155"]["Value"] == [assigned_uid("no_uid")]
    assert "04000561" in other.dataset


def whole_object(instance: Instance) -> bytes:
    return open_part10(instance.uids, instance, io.BytesIO()).read()


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_a_sequence_of_vr_un_is_written_as_it_was_read(syntax: str) -> None:
    """In whole objects with other UIDs, that have to be written anew."""
    before = un_sequence(b"".join(item(code(f"{n:04d}", IMPLICIT)) for n in range(10_000)), syntax=syntax)
    instance = read(before, element(0x00200052, "UI", "no_uid", syntax), syntax=syntax, assign=True)
    assert before in whole_object(instance)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("tag", [CODES, UNKNOWN])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_sequence_of_vr_un_with_other_uids_is_written(depth: int, tag: int, syntax: str) -> None:
    values = {
        "00080100": {"vr": "SH", "Value": ["C1"]},
        "00189074": {"vr": "DT", "Value": ["20260101"]},
        "00189087": {"vr": "FD", "Value": [1.5]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00280010": {"vr": "US", "Value": [258]},
        "00281201": {"vr": "OW", "InlineBinary": base64.b64encode(b"\1\2\3\4").decode()},
    }
    content = (
        code("C1", IMPLICIT),
        element(0x00081155, "UI", "no_uid", IMPLICIT),
        element(0x00189074, "DT", "20260101", IMPLICIT),
        element(0x00189087, "FD", struct.pack("<d", 1.5), IMPLICIT),
        element(0x00280009, "AT", struct.pack("<HH", 0x0018, 0x1063), IMPLICIT),
        element(0x00280010, "US", 258, IMPLICIT),
        element(0x00281201, "OW", b"\1\2\3\4", IMPLICIT),
    )
    items = item(b"".join(content))
    for _ in range(depth):
        items = item(element(0x00081115, "SQ", items, IMPLICIT) + code("C2", IMPLICIT))
    instance = read(un_sequence(items, tag, syntax), syntax=syntax, assign=True)
    again = read_instance(io.BytesIO(whole_object(instance)))
    for dataset in (instance.dataset, again.dataset):
        (found,) = convert(dataset).dataset[f"{tag:08X}"]["Value"]
        for _ in range(depth):
            (found,) = found["00081115"]["Value"]
        assert found == values | {"00081155": {"vr": "UI", "Value": [assigned_uid("no_uid")]}}


@pytest.mark.parametrize(
    "before", [item(b"") + delimiter(), item(b"", length=50), b"no items"], ids=["whole", "cut", "none"]
)
def test_the_record_of_other_uids_is_told_beside_an_odd_one(before: bytes) -> None:
    result = converted(element(0x00200052, "UI", "no_uid"), element(0x04000561, "SQ", before), assign=True)
    if before == b"no items":
        assert result.dataset["04000561"]["vr"] == "UN"
        assert result.damaged
        return
    _, own = result.dataset["04000561"]["Value"]
    assert own["04000563"]["Value"] == ["Stillframe"]
    assert len(result.notes) == (len(before) == 8)
