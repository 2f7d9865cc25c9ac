"""Segmented palettes, against PS3.3 C.7.9.2 worked out by hand and against pydicom."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from stillframe.dicom.palettes import expand_palette, expand_segments

RED, SEGMENTED_RED = "00281201", "00281221"
# One entry, then 255 in a line; four entries, then 252 alike.
_LINE = [0, 1, 0, 1, 255, 65280]
_STEPS = [0, 4, 65535, 0, 1, 2, 1, 252, 2]


def test_segments_are_expanded_as_the_standard_says() -> None:
    # PS3.3 C.7.9.2.1 to C.7.9.2.3: three entries, five on a line to 100, then both again from the start.
    words = [0, 3, 10, 20, 50, 1, 5, 100, 2, 2, 0, 0]
    expected = [10, 20, 50, 60, 70, 80, 90, 100]
    assert expand_segments(words, False, 100) == [*expected, *expected]
    assert expand_segments(words, False, 10) == [*expected, 10, 20]
    assert expand_segments([0, 1, 7, 1, 2, 9, 2, 1, 0, 0, 0, 0], True, 9) == [7, 8, 9, 7]


@pytest.mark.parametrize("words", [[1, 2, 3], [7, 1, 1], [0, 1, 5, 2, 3, 3, 0], [0, 1, 5, 2, 1, 0, 0, 9]])
def test_malformed_segments_are_told(words: list[int]) -> None:
    with pytest.raises(ValueError, match="palette segment"):
        expand_segments(words, False, 64)


@pytest.mark.parametrize(
    "words",
    [
        [0, 0] * 65535 + [2, 65535, 0, 0] * 2000,
        [0, 1, 5, 1, 0, 9],
        [0, 1, 5, 2, 0, 0, 0],
        [2, 65535, 65535, 65535] * 300,  # from behind the end
    ],
)
def test_segments_that_make_nothing_cost_nothing(words: list[int]) -> None:
    begin = time.process_time()
    with contextlib.suppress(ValueError):
        assert len(expand_segments(words, False, 65536)) < 2
    assert time.process_time() - begin < 1


def test_segments_make_no_more_entries_than_there_are() -> None:
    tracemalloc.start()
    assert len(expand_segments([0, 1, 5, *[1, 65535, 9] * 5000], False, 100)) == 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_byte_that_pads_segments_is_none() -> None:
    assert expand_segments(bytes([0, 3, 7, 8, 9, 0]), True, 4) == [7, 8, 9]


@given(st.lists(st.integers(0, 65535), max_size=24), st.booleans())
def test_any_segments_end(words: list[int], eight_bit: bool) -> None:
    with contextlib.suppress(ValueError):
        assert len(expand_segments(words, eight_bit, 256)) <= 256


def palette(descriptor: list[int], *segmented: bytes) -> dict[str, Any]:
    """A data set in the JSON model with tables from red on."""
    dataset: dict[str, Any] = {}
    for number, data in enumerate(segmented, 1):
        dataset[f"0028110{number}"] = {"vr": "US", "Value": descriptor}
        dataset[f"0028122{number}"] = {"vr": "OW", "InlineBinary": b64encode(data).decode()}
    return dataset


def words(values: list[int], kind: str = "<u2") -> bytes:
    return np.array(values, kind).tobytes()


def test_a_line_from_0_has_the_entries_that_arithmetic_gives() -> None:
    tables, notes = expand_palette(palette([256, 0, 16], words(_LINE)), {})
    assert tables == {RED: words([256 * index for index in range(256)])}
    assert notes == []


def test_entries_of_8_bits_are_two_in_a_word() -> None:
    tables, notes = expand_palette(palette([5, 0, 8], bytes([0, 1, 10, 1, 4, 50])), {})
    assert tables == {RED: bytes([10, 20, 30, 40, 50, 0])}
    assert notes == []


def test_0_entries_are_65536() -> None:
    tables, _ = expand_palette(palette([0, 0, 16], words([0, 1, 0, 1, 65535, 65535])), {})
    assert tables == {RED: words(list(range(65536)))}


@pytest.mark.parametrize(("eight_bit", "kind"), [(False, "<u2"), (True, "u1")])
def test_tables_are_those_of_pydicom(eight_bit: bool, kind: str) -> None:
    """Discrete and linear segments; pydicom counts the offsets of indirect ones of 16 bits otherwise than in bytes."""
    scale = 1 if eight_bit else 257
    segments = [
        [0, 1, 0, 1, 255, 255 * scale],
        [0, 3, 255 * scale, 0, 7 * scale, 1, 100, 9 * scale, 1, 153, 250 * scale],
        [0, 2, 1, 2, 1, 127, 200 * scale, 1, 127, 3],
    ]
    if eight_bit:  # the first two segments three times more
        segments[2:] = [[0, 2, 5, 90, 1, 62, 0, 2, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0]]
    dataset = Dataset()
    bits = 8 if eight_bit else 16
    for keyword, data in zip(("Red", "Green", "Blue"), segments, strict=True):
        setattr(dataset, f"{keyword}PaletteColorLookupTableDescriptor", [256, 0, bits])
        setattr(dataset, f"Segmented{keyword}PaletteColorLookupTableData", words(data, kind))
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    colours = apply_color_lut(np.arange(256, dtype="u1"), dataset)
    tables, notes = expand_palette(palette([256, 0, bits], *(words(data, kind) for data in segments)), {})
    assert notes == []
    for index, tag in enumerate(("00281201", "00281202", "00281203")):
        assert np.array_equal(np.frombuffer(tables[tag], kind), colours[:, index])


def test_all_four_channels_are_expanded() -> None:
    tables, _ = expand_palette(palette([256, 0, 16], *[words(_STEPS)] * 4), {})
    assert tables == {f"0028120{number}": words([65535, 0, 1, *[2] * 253]) for number in (1, 2, 3, 4)}


def test_a_table_that_ends_early_repeats_its_last_entry() -> None:
    tables, notes = expand_palette(palette([6, 0, 16], words([0, 2, 8, 9])), {})
    assert tables == {RED: words([8, 9, 9, 9, 9, 9])}
    assert notes == [
        "Segmented Red Palette Color Lookup Table Data (0028,1221) has 2 entries, 6 are promised;"
        " the last one is repeated in (0028,1201)"
    ]


@pytest.mark.parametrize(
    ("descriptor", "data", "reason"),
    [
        ([256, 0, 16], words([1, 2, 3]), "a palette segment of type 1 at 0"),
        ([256, 0, 16], words([9, 9, 9]), "a palette segment of type 9 at 0"),
        ([256, 0], words(_LINE), "it has no descriptor of three numbers"),
        ([256, 0, 32], words(_LINE), "its descriptor promises 256 entries of 32 bits"),
        ([256, 0, 16], b"\0", "it has no segments"),
    ],
)
def test_a_table_that_cannot_be_expanded_leaves_all_as_they_are(
    descriptor: list[int], data: bytes, reason: str
) -> None:
    dataset = palette(descriptor, data, words(_LINE))
    tables, notes = expand_palette(dataset, {})
    assert tables == {}
    assert notes == [
        "Segmented Red Palette Color Lookup Table Data (0028,1221) cannot be expanded, and is published as it is:"
        f" {reason}"
    ]


def test_a_table_that_is_there_counts() -> None:
    dataset = palette([256, 0, 16], words(_LINE)) | {RED: {"vr": "OW", "InlineBinary": "AAE="}}
    assert expand_palette(dataset, {}) == ({}, [])


def test_segments_elsewhere_are_read_from_where_they_are() -> None:
    dataset = palette([3, 0, 16], b"")
    dataset[SEGMENTED_RED] = {"vr": "OW", "BulkDataURI": f"bulkdata/{SEGMENTED_RED}"}
    tables, _ = expand_palette(dataset, {SEGMENTED_RED: words([0, 3, 7, 8, 9])})
    assert tables == {RED: words([7, 8, 9])}
    assert expand_palette(dataset, {}) == ({}, [])
    dataset[SEGMENTED_RED] = {"vr": "SS", "Value": [0, 3, 7, 8, -1]}
    assert expand_palette(dataset, {})[0] == {RED: words([7, 8, 65535])}
