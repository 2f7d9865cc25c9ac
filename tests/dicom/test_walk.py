"""Walking through data sets: what was written is found, in every encoding; what is damaged is told as such."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.dicom import data_set, json_output, sequences, walk
from stillframe.dicom.read import read_instance
from stillframe.dicom.walk import (
    LONG_VRS,
    MAX_PARTS,
    SEQUENCE_DEPTH,
    UNDEFINED_LENGTH,
    Encoding,
    Odd,
    Short,
    Walker,
)
from stillframe.errors import InputError
from tests.support.dicom_files import image, noise, to_bytes
from tests.support.examples import examples
from tests.support.trees import build_tree

type Tree = list[tuple[int, Any]]  # tags with bytes, or with the items of a sequence

ENCODINGS = [Encoding(False, True), Encoding(True, True), Encoding(False, False)]
TAGS = st.integers(0x00080000, 0x7FDFFFFF)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.lists(st.tuples(TAGS, st.binary(max_size=12)), max_size=4),
    lambda items: st.lists(
        st.tuples(TAGS, st.one_of(st.binary(max_size=12), st.lists(items, max_size=3))), min_size=1, max_size=4
    ),
    max_leaves=12,
)


def head(tag: int, vr: bytes, length: int, encoding: Encoding) -> bytes:
    order = "<" if encoding.little else ">"
    start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return start + struct.pack(order + "L", length)
    if vr in LONG_VRS:
        return start + vr + b"\0\0" + struct.pack(order + "L", length)
    return start + vr + struct.pack(order + "H", length)


def encode(tree: Tree, encoding: Encoding, undefined: bool) -> bytes:
    out = b""
    for tag, value in tree:
        if isinstance(value, bytes):
            out += head(tag, b"UN" if tag & 1 else b"LO", len(value), encoding) + value
            continue
        items = b""
        for item in value:
            content = encode(item, encoding, undefined)
            items += head(0xFFFEE000, b"", UNDEFINED_LENGTH if undefined else len(content), encoding) + content
            items += head(0xFFFEE00D, b"", 0, encoding) if undefined else b""
        items += head(0xFFFEE0DD, b"", 0, encoding) if undefined else b""
        out += head(tag, b"SQ", UNDEFINED_LENGTH if undefined else len(items), encoding) + items
    return out


def decode(walker: Walker, start: int, end: int, like: Tree) -> Tree:
    """The tree again; `like` says what is a sequence where the encoding does not."""
    found: Tree = []
    for (_, tag, _, begin, length), (_, value) in zip(walker.elements(start, end), like, strict=True):
        stop = begin + length
        if isinstance(value, bytes):
            found.append((tag, walker.data[begin:stop]))
            continue
        places = list(walker.items(begin, stop, 1))
        assert len(places) == len(value)
        found.append((tag, [decode(walker, *place, item) for place, item in zip(places, value, strict=True)]))
    return found


@given(TREES, st.sampled_from(ENCODINGS), st.booleans())
def test_what_was_written_is_found(tree: Tree, encoding: Encoding, undefined: bool) -> None:
    data = encode(tree, encoding, undefined)
    try:
        assert decode(Walker(data, encoding), 0, len(data), tree) == tree
    except Odd:
        assert encoding.implicit  # a length that spells a VR


@pytest.mark.slow
@given(TREES, st.sampled_from(ENCODINGS), st.booleans(), st.data())
def test_what_is_cut_is_short(tree: Tree, encoding: Encoding, undefined: bool, data: st.DataObject) -> None:
    whole = encode(tree, encoding, undefined)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    walker = Walker(cut, encoding)
    reached = 0
    try:
        for _, _, _, begin, length in walker.elements(0, len(cut)):
            reached = begin + length
    except Odd:
        return
    assert reached == len(cut)


@given(st.binary(max_size=300), st.sampled_from(ENCODINGS))
def test_any_bytes_are_elements_or_odd(data: bytes, encoding: Encoding) -> None:
    try:
        for start, _, _, begin, _ in Walker(data, encoding).elements(0, len(data)):
            assert 0 <= start < begin <= len(data)
    except Odd:
        pass


def sequence(value: bytes, undefined: bool) -> bytes:
    return b"\x08\0\x40\x11SQ\0\0" + struct.pack("<L", UNDEFINED_LENGTH if undefined else len(value)) + value


ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\0\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
OPEN = b"\xff\xff\xff\xff"
EMPTY = ITEM + bytes(4)
TINY = b"\x08\0\x50\x11UI\0\0"
COUNTING = (walk, data_set, sequences, json_output)


def deep(levels: int, core: bytes) -> bytes:
    for _ in range(levels):
        core = sequence(ITEM + OPEN + core + ITEM_END + SEQUENCE_END, undefined=True)
    return core


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "empty items": lambda count: sequence(EMPTY * count, undefined=False),
    "open empty items": lambda count: sequence((ITEM + OPEN + ITEM_END) * count + SEQUENCE_END, undefined=True),
    "items of one element": lambda count: sequence((ITEM + b"\x08\0\0\0" + TINY) * (count // 2 + 1), undefined=False),
    "empty items in an item": lambda count: deep(1, sequence(EMPTY * count + SEQUENCE_END, undefined=True)),
    "empty items far inside": lambda count: deep(50, sequence(EMPTY * count + SEQUENCE_END, undefined=True)),
    "empty items beside a wrong VR": lambda count: (
        b"\x08\0\x38\x11ZZ\0\0" + sequence(EMPTY * count + SEQUENCE_END, undefined=True)
    ),
    "elements of one item": lambda count: sequence(
        ITEM + OPEN + TINY * count + ITEM_END + SEQUENCE_END, undefined=True
    ),
    "one element again and again": lambda count: TINY * count,
    "many short sequences": lambda count: b"".join(
        struct.pack("<HH2s2xI", 0x001F, 0x1000 + index, b"SQ", 8 * 120) + EMPTY * 120
        for index in range(count // 121 + 1)
    ),
    "a UN of items": lambda count: b"\x09\0\x10\x11UN\0\0" + OPEN + EMPTY * count + SEQUENCE_END,
    "elements of no VR": lambda count: b"\x09\0\x10\x11ZZ\0\0" * count,
    "deeper than any": lambda count: deep(5000, b""),
}
# These go to pydicom, which a bound of its own keeps from reading all the parts.
READ_BY_PYDICOM = {"empty items beside a wrong VR", "a UN of items", "elements of no VR"}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_many_parts_is_refused_soon(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the limit alone counts it is a part of it here: what takes more time than its share shows all the same."""
    limit = 20_000 if name in READ_BY_PYDICOM else 50_000
    for module in COUNTING:
        monkeypatch.setattr(module, "MAX_PARTS", limit)
    data = to_bytes(image(1, noise(1, (8, 8))))
    place = data.index(b"\x20\0\x0d\0UI")
    (tmp_path / "1.dcm").write_bytes(data[:place] + HOSTILE[name](limit + 1) + data[place:])
    begun = time.process_time()
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    taken = time.process_time() - begun
    assert [item.path for item in report.rejected] == [f"{tmp_path}/1.dcm"]
    wanted = "nest more than 64 levels" if "deeper" in name else "elements and items"
    assert wanted in report.rejected[0].reason
    assert taken < 5


@pytest.mark.slow
def test_many_parts_behind_the_pixel_data_are_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in COUNTING:
        monkeypatch.setattr(module, "MAX_PARTS", 200_000)
    tail = sequence((ITEM + bytes(4)) * 200_001 + SEQUENCE_END, undefined=True)
    signatures = b"\xfa\xff\xfa\xff" + tail[4:]
    (tmp_path / "1.dcm").write_bytes(to_bytes(image(1, noise(1, (8, 8)))) + signatures)
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert "elements and items" in report.rejected[0].reason
    (tmp_path / "2.dcm").write_bytes(to_bytes(image(2, noise(1, (8, 8)))) + bytes(20_000_000))
    begun = time.process_time()
    report = build_tree(tmp_path / "tree", tmp_path / "2.dcm")
    taken = time.process_time() - begun
    assert report.outcomes.total() == 1
    assert taken < 10


@pytest.mark.slow
def test_as_many_parts_as_slides_have_are_published(tmp_path: Path) -> None:
    assert MAX_PARTS > 3_000_000
    data = to_bytes(image(1, noise(1, (8, 8))))
    place = data.index(b"\x20\0\x0d\0UI")
    items = sequence((ITEM + bytes(4)) * 1_000_000, undefined=False)
    (tmp_path / "1.dcm").write_bytes(data[:place] + items + data[place:])
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.outcomes.total() == 1


def test_depth() -> None:
    fits, too_deep = deep(SEQUENCE_DEPTH, b""), deep(SEQUENCE_DEPTH + 1, b"")
    assert len(list(Walker(fits, ENCODINGS[0]).elements(0, len(fits)))) == 1
    with pytest.raises(InputError, match="nest more than"):
        list(Walker(too_deep, ENCODINGS[0]).elements(0, len(too_deep)))


def test_lengths_beyond_the_end() -> None:
    data = b"\x09\0\x10\x10UN\0\0" + struct.pack("<L", 0xFFFFFFFE) + b"abc"
    with pytest.raises(Short):
        list(Walker(data, ENCODINGS[0]).elements(0, len(data)))


WHOLE = to_bytes(image(1, noise(1, (16, 16))))
# What libraries say: no words for whoever sent the file.
FOREIGN = re.compile(r"unpack|buffer|Error|No tag to read|file position|No such|reached|invalid|codec|struct")


@settings(max_examples=examples(200))
@given(st.data())
def test_a_damaged_file_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(132, len(damaged) - 520))
        damaged[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(damaged)
    reason = ""
    with path.open("rb") as file:
        try:
            instance = read_instance(file)
            if instance.file is not file:
                instance.file.close()
        except InputError as error:
            reason = str(error)
    assert not FOREIGN.search(reason)
