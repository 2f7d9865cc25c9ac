"""Where the elements of a data set are, in whatever order, and where they end."""

from __future__ import annotations

import base64
import io
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.dicom.json_convert import convert
from stillframe.dicom.read import Instance, read_instance, read_scan
from stillframe.errors import InputError
from tests.support.dicom_files import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, STUDY, encapsulated_value, jpeg, noise
from tests.support.elements import (
    NATIVE,
    PADDING_TAG,
    PIXEL_DATA,
    REPORT_CLASS,
    UNDEFINED,
    element,
    head,
    identity,
    image_module,
    meta_header,
    native_pixels,
    sequence,
)
from tests.support.examples import examples
from tests.support.frame_encoders import deflated, lossless_jpeg

PIXELS = noise(1, (16, 12))
WINDOW = (0x00281050, "DS", "600")


def read(data: bytes) -> Instance:
    instance = read_instance(io.BytesIO(data))
    instance.file.close()
    return instance


def file_of(syntax: str, parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return meta_header(syntax) + (deflated(body) if syntax in DEFLATED else body)


def encapsulated_pixels(end: bytes | None = None) -> bytes:
    value = encapsulated_value([lossless_jpeg(PIXELS, 12)], delimited=end is None)
    return head(PIXEL_DATA, "OB", UNDEFINED) + value + (end or b"")


def image(syntax: str, *behind: bytes) -> list[bytes]:
    written = syntax if syntax in NATIVE else EXPLICIT
    pixels = encapsulated_pixels() if syntax == jpeg(70) else native_pixels(PIXELS, written)
    return [*identity(written), *image_module(PIXELS, written), pixels, *behind]


def report(syntax: str, *behind: bytes) -> list[bytes]:
    return [*identity(syntax, sop_class=REPORT_CLASS), element(0x0040A040, "CS", "CONTAINER", syntax), *behind]


@settings(max_examples=examples(60))
@given(st.sampled_from([*NATIVE, DEFLATED[0], jpeg(70)]), st.randoms(use_true_random=False))
def test_elements_count_in_whatever_order_they_are(syntax: str, chance: random.Random) -> None:
    """The order says nothing (PS3.5 7.1), before the pixel data or behind them."""
    written = syntax if syntax in NATIVE else EXPLICIT
    parts = image(syntax, element(*WINDOW, written), element(0x00091010, "LO", "own", written))
    ordered = read(file_of(syntax, parts))
    first, *others = parts
    chance.shuffle(others)
    shuffled = read(file_of(syntax, [first, *others]))
    assert convert(shuffled.dataset).dataset == convert(ordered.dataset).dataset
    assert shuffled.uids == ordered.uids
    assert shuffled.pixels is not None
    assert ordered.pixels is not None
    assert shuffled.pixels.length == ordered.pixels.length
    assert convert(shuffled.dataset).dataset["00281050"]["Value"] == [600]
    scanned = read_scan(io.BytesIO(file_of(syntax, [first, *others])))
    assert scanned["StudyInstanceUID"].value == STUDY


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("length", [70_000, 700_000, 5_000_000])
def test_long_values_are_read_whole(syntax: str, length: int) -> None:
    """However far the pieces reach that a file is read in."""
    value = random.Random(1).randbytes(length)
    parts = identity(syntax)
    parts[3:3] = [element(0x00091010, "OB", value, syntax), element(0x00091011, "OB", value[::-1], syntax)]
    dataset = read(file_of(syntax, [*parts, *image_module(PIXELS, syntax), native_pixels(PIXELS, syntax)])).dataset
    assert dataset.get_item(0x00091010).value == value
    assert dataset.get_item(0x00091011).value == value[::-1]
    assert dataset["PatientID"].value == "P1"


def test_elements_around_an_odd_one_are_read() -> None:
    """One of unknown VR, and a UN of undefined length, which holds items in implicit VR (PS3.5 6.2.2)."""
    unknown = struct.pack("<HH2sH", 0x0009, 0x1001, b"ZZ", 4) + b"odd!"
    items = sequence(0x00091002, [element(0x00080050, "SH", "inner", IMPLICIT)], IMPLICIT)[8:]
    parts = identity()
    parts[3:3] = [unknown, head(0x00091002, "UN", UNDEFINED) + items]
    dataset = read(file_of(EXPLICIT, [*parts, *image_module(PIXELS), native_pixels(PIXELS)])).dataset
    assert dataset["PatientID"].value == "P1"
    assert dataset.get_item(0x00091001).value == b"odd!"
    (item,) = convert(dataset).dataset["00091002"]["Value"]
    assert item["00080050"]["Value"] == ["inner"]


def tails(syntax: str) -> dict[str, bytes]:
    """What is behind the elements of some files, and pads them."""
    return {
        "a zero": b"\0",
        "seven zeros": bytes(7),
        "eight zeros": bytes(8),
        "many zeros": bytes(3_000_001),
        "padding": element(PADDING_TAG, "OB", bytes(20), syntax),
        "padding that is not empty": element(PADDING_TAG, "OB", b"pad" * 9, syntax),
        "padding cut short": element(PADDING_TAG, "OB", bytes(20), syntax)[:-9],
        "padding and zeros": element(PADDING_TAG, "OB", bytes(20), syntax) + bytes(9),
        "the tag of padding again and again": struct.pack(("<" if syntax != BIG_ENDIAN else ">") + "HH", 0xFFFC, 0xFFFC)
        * 9,
    }


def rubbish(syntax: str) -> dict[str, bytes]:
    """What can be no element."""
    return {
        "ten bytes FF": b"\xff" * 10,
        "a byte": b"\1",
        "a sequence delimiter": head(0xFFFEE0DD, "", 0, syntax),
        "an item delimiter": head(0xFFFEE00D, "", 0, syntax),
        "two delimiters and zeros": 2 * head(0xFFFEE0DD, "", 0, syntax) + bytes(8),
        "an item": head(0xFFFEE000, "", 4, syntax) + b"item",
        "text": b"written by somebody's tool\r\n",
        "zeros and text": bytes(16) + b"written by somebody's tool\r\n",
        "a cut element": element(0x00321060, "LO", "Knee, two views", syntax)[:-3],
        "a sequence without its end": sequence(0x00400275, [element(0x00080050, "SH", "1", syntax)], syntax, end=b""),
        "zeros for a delimiter": sequence(0x00400275, [element(0x00080050, "SH", "1", syntax)], syntax, end=bytes(8)),
    }


@pytest.mark.parametrize("syntax", [*NATIVE, jpeg(70)])
@pytest.mark.parametrize("name", tails(EXPLICIT))
def test_padding_behind_the_pixel_data_is_passed_over(syntax: str, name: str) -> None:
    written = syntax if syntax in NATIVE else EXPLICIT
    instance = read(file_of(syntax, image(syntax, tails(written)[name])))
    assert instance.notes == ()
    assert convert(instance.dataset).dataset == convert(read(file_of(syntax, image(syntax))).dataset).dataset


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("name", tails(EXPLICIT))
def test_padding_behind_a_report_is_passed_over(syntax: str, name: str) -> None:
    instance = read(file_of(syntax, report(syntax, tails(syntax)[name])))
    assert instance.notes == ()
    assert convert(instance.dataset).dataset == convert(read(file_of(syntax, report(syntax))).dataset).dataset


@pytest.mark.parametrize("syntax", [*NATIVE, jpeg(70)])
@pytest.mark.parametrize("name", rubbish(EXPLICIT))
def test_what_is_no_element_behind_whole_pixel_data_is_told_and_left_out(syntax: str, name: str) -> None:
    written = syntax if syntax in NATIVE else EXPLICIT
    late = element(*WINDOW, written)
    whole = file_of(syntax, image(syntax, late))
    instance = read(whole + rubbish(written)[name])
    (note,) = instance.notes
    assert "behind" in note
    assert str(len(whole)) in note.replace(f"offset {len(whole) + 16}", f"offset {len(whole)}")
    assert convert(instance.dataset).dataset == convert(read(whole).dataset).dataset


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("group", [0x0000, 0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF])
def test_groups_that_no_data_set_has_are_no_elements_behind_the_pixel_data(syntax: str, group: int) -> None:
    """PS3.5 7.8.1 keeps private elements out of them, and there are no others."""
    tail = element(group << 16 | 2, "LO", "text", syntax)
    instance = read(file_of(syntax, image(syntax, tail)))
    (note,) = instance.notes
    assert note.startswith(f"{len(tail)} bytes behind the pixel data, from offset ")
    assert f"{group:04X}0002" not in convert(instance.dataset).dataset


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("name", rubbish(EXPLICIT))
def test_what_is_no_element_in_a_report_means_that_it_is_damaged(syntax: str, name: str) -> None:
    whole = file_of(syntax, report(syntax))
    with pytest.raises(InputError, match=r"offset \d+") as caught:
        read(whole + rubbish(syntax)[name])
    assert f"offset {len(whole)}" in str(caught.value).replace(f"{len(whole) + 16}", f"{len(whole)}")


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("name", rubbish(EXPLICIT))
def test_what_is_no_element_before_the_pixel_data_means_that_the_file_is_damaged(syntax: str, name: str) -> None:
    parts = [*identity(syntax), rubbish(syntax)[name], *image_module(PIXELS, syntax), native_pixels(PIXELS, syntax)]
    with pytest.raises(InputError):
        read(file_of(syntax, parts))


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_file_that_ends_before_its_uids_says_so(syntax: str) -> None:
    parts = identity(syntax)
    start = len(file_of(syntax, parts[:5]))
    for length in range(2, len(parts[5])):  # one byte may be a zero, which is padding
        with pytest.raises(InputError, match=rf"truncated: ends inside .*offset {start}"):
            read_scan(io.BytesIO(file_of(syntax, [*parts[:5], parts[5][:length]])))


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_file_that_ends_before_the_uids_behind_its_pixels_says_so(syntax: str) -> None:
    *others, study, series, number = identity(syntax)
    parts = [*others, *image_module(PIXELS, syntax), native_pixels(PIXELS, syntax), series, number, study[:-5]]
    with pytest.raises(InputError, match=r"truncated: ends inside \(0020,000D\)"):
        read_scan(io.BytesIO(file_of(syntax, parts)))


@pytest.mark.parametrize(
    ("end", "note"),
    [
        (b"", "the pixel data end without a sequence delimiter"),
        (bytes(3), "the pixel data end with zeros instead of a sequence delimiter"),
        (bytes(8), "the pixel data end with zeros instead of a sequence delimiter"),
        (bytes(500), "the pixel data end with zeros instead of a sequence delimiter"),
        (element(PADDING_TAG, "OB", bytes(6)), "the pixel data end with padding instead of a sequence delimiter"),
        (b"\xfe\xff\xdd\xe0\0", "the file ends inside the sequence delimiter of the pixel data"),
        (b"\xfe\xff", "the file ends inside the sequence delimiter of the pixel data"),
    ],
)
def test_what_ends_fragments_instead_of_a_delimiter_is_told(end: bytes, note: str) -> None:
    parts = [*identity(), *image_module(PIXELS), encapsulated_pixels(end)]
    instance = read(file_of(jpeg(70), parts))
    assert instance.notes == (note,)
    assert instance.fragments is not None
    assert len(instance.fragments.items) == 1
    if len(end) == 8:
        late = read(file_of(jpeg(70), [*parts, element(*WINDOW)]))
        assert late.dataset["WindowCenter"].value == 600


@pytest.mark.parametrize("end", [b"\1", b"\xfe\xff\x00", b"\xff" * 8, element(*WINDOW), head(0xFFFEE00D, "", 0)])
def test_what_ends_no_fragments_is_refused(end: bytes) -> None:
    with pytest.raises(InputError, match=r"fragment|where an item must be"):
        read(file_of(jpeg(70), [*identity(), *image_module(PIXELS), encapsulated_pixels(end)]))


def test_zeros_among_other_bytes_end_no_fragments() -> None:
    """A fragment whose length is wrong leads anywhere, and its frame would be cut there."""
    for rest in (b"rest of a fragment", b"\1"):
        with pytest.raises(InputError, match="the pixel data have no sequence delimiter, and what follows"):
            read(file_of(jpeg(70), [*identity(), *image_module(PIXELS), encapsulated_pixels(bytes(8) + rest)]))


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009])
@pytest.mark.parametrize("syntax", NATIVE)
def test_elements_behind_floating_point_pixels_count(syntax: str, tag: int) -> None:
    pixels = element(tag, "OF" if tag == 0x7FE00008 else "OD", bytes(16), syntax)
    instance = read(file_of(syntax, [*identity(syntax), pixels, element(*WINDOW, syntax)]))
    assert instance.pixels is not None
    assert (instance.pixels.length, instance.notes) == (16, ())
    assert instance.dataset["WindowCenter"].value == 600


@pytest.mark.parametrize("second", [PIXEL_DATA, 0x7FE00008, 0x7FE00009])
def test_pixel_data_twice_are_refused(second: int) -> None:
    data = file_of(EXPLICIT, image(EXPLICIT, element(second, "OW", b"1234")))
    with pytest.raises(InputError, match=r"holds pixel data twice: \w+ \(7FE0,00"):
        read(data)


def test_of_an_element_that_is_there_twice_the_last_counts() -> None:
    parts = image(EXPLICIT, element(0x00080060, "CS", "CT"), element(0x00100020, "LO", "P1"))
    instance = read(file_of(EXPLICIT, parts))
    assert instance.dataset.Modality == "CT"
    assert instance.notes == ("(0008,0060) is there more than once, with different values; the last one counts",)


@pytest.mark.parametrize("syntax", NATIVE)
def test_of_an_element_that_is_twice_in_an_item_the_last_counts(syntax: str) -> None:
    item = element(0x00080050, "SH", "first", syntax) + element(0x00080050, "SH", "last", syntax)
    parts = report(syntax, sequence(0x00400275, [item, element(0x00080050, "SH", "1", syntax)], syntax))
    converted = convert(read(file_of(syntax, parts)).dataset)
    first, second = converted.dataset["00400275"]["Value"]
    assert first["00080050"]["Value"] == ["last"]
    assert second["00080050"]["Value"] == ["1"]
    assert converted.notes == (
        "00400275/1/00080050: is there more than once, with different values; the last one counts",
    )


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (element(0x00280010, "US", 17), "Rows (0028,0010)"),
        (element(0x00280004, "CS", "MONOCHROME1"), "PhotometricInterpretation (0028,0004)"),
        (element(0x0020000D, "UI", "1.2.3"), "StudyInstanceUID (0020,000D)"),
        (element(0x00100020, "LO", "P2"), "PatientID (0010,0020)"),
    ],
)
@pytest.mark.parametrize("place", [0, 17])
def test_two_values_of_what_decides_are_refused(other: bytes, name: str, place: int) -> None:
    parts = image(EXPLICIT)
    parts.insert(place or 1, other)
    with pytest.raises(InputError) as caught:
        read(file_of(EXPLICIT, parts))
    assert str(caught.value) == f"{name} is there twice, with different values"


def test_two_transfer_syntaxes_are_refused() -> None:
    one = element(0x00020010, "UI", EXPLICIT)
    data = file_of(EXPLICIT, image(EXPLICIT)).replace(one, one + element(0x00020010, "UI", IMPLICIT))
    with pytest.raises(InputError, match=r"Transfer Syntax UID \(0002,0010\) is there twice, with different values"):
        read(data)


def test_the_class_is_taken_from_the_meta_header_where_the_data_set_has_none() -> None:
    _, *parts = image(EXPLICIT)
    for own in ([], [element(0x00080016, "UI")]):
        instance = read(file_of(EXPLICIT, [*own, *parts]))
        assert instance.dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert instance.notes == ("SOPClassUID (0008,0016) is missing; it is that of the meta header (0002,0002)",)


@pytest.mark.parametrize("written", NATIVE)
@pytest.mark.parametrize("named", [*NATIVE, None])
def test_elements_are_read_as_they_are_written_whatever_the_name(written: str, named: str | None) -> None:
    instance = read(meta_header(named) + b"".join(image(written)))
    assert instance.transfer_syntax == written
    assert instance.uids.study == STUDY
    assert bool(instance.notes) == (named not in (written, None))
    scanned = read_scan(io.BytesIO(meta_header(named) + b"".join(image(written))))
    assert scanned["StudyInstanceUID"].value == STUDY


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    "wrong",
    ["zeros for a delimiter", "no delimiter", "an item that is too long", "no item", "too few bytes for an element"],
)
def test_a_damaged_sequence_within_a_whole_one_is_told(syntax: str, wrong: str) -> None:
    """The lengths around it are right, so that the rest of the data set is as it was."""
    inner = element(0x00080050, "SH", "1", syntax)
    damaged = {
        "zeros for a delimiter": sequence(0x00400275, [inner], syntax, end=bytes(8)),
        "no delimiter": sequence(0x00400275, [inner], syntax, end=b"") + inner,
        "an item that is too long": element(
            0x00400275, "SQ", head(0xFFFEE000, "", len(inner) + 2, syntax) + inner, syntax
        ),
        "no item": element(0x00400275, "SQ", inner, syntax),
        "too few bytes for an element": sequence(0x00400275, [inner + b"2501"], syntax),
    }[wrong]
    item = head(0xFFFEE000, "", len(damaged), syntax) + damaged
    for tag in (0x0040A730, 0x00091010):
        parts = report(syntax, element(0x00090010, "LO", "OWN", syntax), element(tag, "SQ", item, syntax))
        converted = convert(read(file_of(syntax, parts)).dataset)
        if syntax == IMPLICIT and tag == 0x00091010:
            continue  # nothing says that it is a sequence
        assert len(converted.notes) == 1
        assert converted.notes[0].startswith(f"{tag:08X}")
        assert converted.damaged == (converted.notes if tag == 0x0040A730 else ())


def test_bytes_behind_the_last_element_of_an_item_are_not_lost() -> None:
    """Behind an element of no VR, whose length has four bytes then: the sequence is published as its bytes."""
    odd = b"\x08\0\0\x01" + bytes(4)
    items = b"".join(head(0xFFFEE000, "", len(item)) + item for item in (odd + b"2501", b""))
    converted = convert(read(file_of(EXPLICIT, report(EXPLICIT, element(0x00400275, "SQ", items)))).dataset)
    assert converted.dataset["00400275"] == {"vr": "UN", "InlineBinary": base64.b64encode(items).decode()}
    assert converted.notes == (
        "00400275: as a sequence, it has 4 bytes behind the last element of an item; its bytes are published as UN",
    )
    padded = element(0x00400275, "SQ", items.replace(b"2501", bytes(4)))
    assert convert(read(file_of(EXPLICIT, report(EXPLICIT, padded))).dataset).notes == ()


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_element_of_an_item_whose_end_nothing_tells_is_not_lost(syntax: str) -> None:
    """Its VR is none, or is not written, and its length is undefined."""
    value = b"1.2.3 and more"
    item = element(0x00080050, "SH", "1", syntax) + head(0x00081155, "", 0xFFFFFFFF, syntax) + value
    items = head(0xFFFEE000, "", len(item), syntax) + item
    parts = report(syntax, element(0x00400275, "SQ", items, syntax))
    converted = convert(read(file_of(syntax, parts)).dataset)
    assert converted.dataset["00400275"] == {"vr": "UN", "InlineBinary": base64.b64encode(items).decode()}
    (note,) = converted.notes
    assert note.startswith("00400275: as a sequence, it has ")
    assert note.endswith("behind the last element of an item; its bytes are published as UN")


def test_values_that_differ_in_their_padding_are_one_value() -> None:
    elements = [element(0x00100020, "LO", text) for text in ("P1", "P1  ")]
    assert read(meta_header(EXPLICIT) + b"".join([*identity(EXPLICIT), *elements])).notes == ()


@pytest.mark.parametrize("syntax", NATIVE)
def test_numbers_that_differ_in_zeros_and_spaces_are_two_values(syntax: str) -> None:
    """32 is a space, and 0 is no byte but zeros: values of numbers have no padding (PS3.5 6.2)."""
    code = ">H" if syntax == BIG_ENDIAN else "<H"
    for numbers in ((32, 0), (0, 32), (8194, 2)):
        elements = [element(0x00280106, "US", struct.pack(code, number), syntax) for number in numbers]
        notes = read(meta_header(syntax) + b"".join([*identity(syntax), *elements])).notes
        assert [note for note in notes if "more than once" in note] == [
            "(0028,0106) is there more than once, with different values; the last one counts"
        ]


def nested(syntax: str, descriptor: int, written: str, *, sign: int) -> bytes:
    """A data set with Real World Value Mapping Sequence, whose item has implicit VR: it is UN, or says SQ."""
    first = element(0x00409216, "", struct.pack("<h", descriptor), IMPLICIT)
    item = head(0xFFFEE000, "", len(first), IMPLICIT) + first
    pixels = element(0x00280103, "US", struct.pack("<H", sign), syntax)
    return file_of(syntax, report(syntax, pixels, element(0x00409096, written, item, syntax)))


@pytest.mark.parametrize("written", ["UN", "SQ"])
def test_what_is_around_decides_values_within_a_short_sequence(written: str) -> None:
    """Real World Value First Value Mapped is US or SS, as Pixel Representation says (PS3.3 C.7.6.16.2.11)."""
    for sign, vr, value in ((1, "SS", -1024), (0, "US", 0xFC00), (1, "SS", -1024)):
        converted = convert(read(nested(EXPLICIT, -1024, written, sign=sign)).dataset)
        assert converted.dataset["00409096"]["Value"] == [{"00409216": {"vr": vr, "Value": [value]}}]


def test_rubbish_behind_the_pixel_data_is_noted_whatever_uid_is_missing() -> None:
    """With --assign-uids a SOP Instance UID may be: the reading does not decide that."""
    data = file_of(EXPLICIT, image(EXPLICIT)).replace(b"\x08\0\x18\0UI", b"\x08\0\x17\0UI", 1)
    assert any("are no elements; not published" in note for note in read(data + b"rubbish, and more of it").notes)
