"""Numbers that displays compute with: what PS3.3 allows stays, what no display can use is left out."""

from __future__ import annotations

from typing import Any

import pytest

from stillframe.dicom.display_values import LeftOut, leave_out_unusable

SPACINGS = ["00280030", "00181164", "00182010"]
CENTRE, WIDTH, EXPLANATION, FUNCTION = "00281050", "00281051", "00281055", "00281056"


def attribute(tag: str, *values: Any, vr: str = "DS") -> dict[str, Any]:
    return {tag: {"vr": vr, "Value": list(values)}}


@pytest.mark.parametrize("tag", SPACINGS)
@pytest.mark.parametrize(
    ("values", "rows", "columns"),
    [
        ((0.5, 0.5), 10, 10),
        ((1e-9, 1e9), 10, 10),
        (("0.48828125000000001234", 0.5), 10, 10),  # text, since no double has this value
        ((0.5, 0.5, 0.5), 10, 10),
        # PS3.3 10.7.1.3: 0 where there is a single row or column.
        ((0, 0.5), 1, 10),
        ((0.5, 0), 10, 1),
        ((0, 0), 1, 1),
        ((0, 0), None, None),
    ],
)
def test_a_spacing_that_can_be_stays(tag: str, values: tuple[Any, ...], rows: Any, columns: Any) -> None:
    assert leave_out_unusable(attribute(tag, *values), rows, columns) == ({}, [])


@pytest.mark.parametrize("tag", SPACINGS)
@pytest.mark.parametrize(
    ("values", "rows", "columns"),
    [
        ((0, 0), 10, 10),
        ((0, 0.5), 10, 1),
        ((0.5, 0), 1, 10),
        ((0, 0), 1, 2),
        ((0.0, "0"), 10, 10),
        ((-0.5, -0.5), 10, 10),
        ((-0.5, 0.5), 1, 10),
        ((0.5,), 10, 10),
        ((0.5, None), 10, 10),
        ((None, 0.5), 10, 10),
        (("abc", "def"), 10, 10),
        (("NaN", "NaN"), None, None),
        ((0.5, "1e999"), 10, 10),
        ((-1, -1), None, None),
    ],
)
def test_a_spacing_that_cannot_be_is_left_out(tag: str, values: tuple[Any, ...], rows: Any, columns: Any) -> None:
    changes, left_out = leave_out_unusable(attribute(tag, *values), rows, columns)
    assert changes == {tag: None}
    assert [f"Pixel Spacing ({tag[:4]},{tag[4:]})" in value.name for value in left_out] == [True]


def test_what_is_left_out_is_told() -> None:
    _, left_out = leave_out_unusable(attribute("00280030", 0, None), 10, 10)
    reason = "along a side of more than one pixel it is more than 0 (PS3.3 10.7.1.3)"
    assert left_out == [LeftOut("Pixel Spacing (0028,0030)", "0\\", reason)]


def test_what_is_told_is_one_short_line() -> None:
    _, (told,) = leave_out_unusable(attribute("00280030", "a\nb\x1b", "x" * 100), 10, 10)
    assert told.value == "a?b?\\" + "x" * 55 + "…"


def test_other_spacings_and_empty_attributes_are_none_of_this() -> None:
    dataset = attribute("00180088", 0) | attribute("00180050", 0) | {"00280030": {"vr": "DS"}}
    assert leave_out_unusable(dataset, 10, 10) == ({}, [])


@pytest.mark.parametrize(
    ("values", "stays"),
    [
        ((1, 0, 0, 0, 1, 0), True),
        ((0.5, 0, 0, 0, 0, -3), True),
        ((1, 0, 0, 0.999, 0.04, 0), True),
        ((0, 0, 0, 0, 0, 0), False),
        ((1, 0, 0, 0, 0, 0), False),
        ((1, 0, 0, -2, 0, 0), False),
        ((1, 0, 0), False),
        (("a", 0, 0, 0, 1, 0), False),
        ((1e308, 0, 0, 0, 1e308, 0), False),
    ],
)
def test_an_orientation_is_two_directions(values: tuple[Any, ...], stays: bool) -> None:
    changes, left_out = leave_out_unusable(attribute("00200037", *values), 10, 10)
    assert (changes == {}, left_out == []) == (stays, stays)


@pytest.mark.parametrize(
    ("values", "stays"), [((0, 0, 0), True), ((1.5, "-2", 3), True), ((1, 2), False), ((1, 2, "c"), False)]
)
def test_a_position_is_three_numbers(values: tuple[Any, ...], stays: bool) -> None:
    changes, _ = leave_out_unusable(attribute("00200032", *values), 10, 10)
    assert (changes == {}) == stays


@pytest.mark.parametrize(
    ("slope", "intercept", "gone"),
    [
        (1, 0, set()),
        (-1, 4095, set()),
        (1e-30, -1024, set()),
        (0, -1024, {"00281053"}),
        ("abc", 0, {"00281053"}),
        (1, "x", {"00281052"}),
    ],
)
def test_a_slope_is_a_number_other_than_0(slope: Any, intercept: Any, gone: set[str]) -> None:
    changes, left_out = leave_out_unusable(attribute("00281053", slope) | attribute("00281052", intercept), 10, 10)
    assert changes == dict.fromkeys(gone)
    assert len(left_out) == len(gone)


def window(centres: Any, widths: Any, function: str = "", **others: Any) -> dict[str, Any]:
    dataset = attribute(CENTRE, *centres) | attribute(WIDTH, *widths) | others
    return dataset | (attribute(FUNCTION, function, vr="CS") if function else {})


@pytest.mark.parametrize(
    ("dataset", "stays"),
    [
        # PS3.3 C.11.2.1.2.1: a linear window is at least 1 wide; C.11.2.1.3: exact ones and sigmoids more than 0.
        (window([40], [1]), True),
        (window([40], [0.999]), False),
        (window([40], [0]), False),
        (window([40], [-400]), False),
        (window([40], [0.5], "LINEAR"), False),
        (window([0.5], [0.5], "LINEAR_EXACT"), True),
        (window([0.5], [0.5], "SIGMOID"), True),
        (window([0.5], [0], "SIGMOID"), False),
        (window(["abc"], [400]), False),
        (window([40], ["NaN"]), False),
        (window([40, 50], [400]), True),  # the first of each is one
        (window([40, 50], [0]), False),
        (attribute(CENTRE, 40), True),
        (attribute(WIDTH, 0), True),  # without a centre, it is no window
    ],
)
def test_a_window_has_the_width_that_its_function_allows(dataset: dict[str, Any], stays: bool) -> None:
    changes, left_out = leave_out_unusable(dataset, 10, 10)
    assert changes == ({} if stays else {CENTRE: None, WIDTH: None})
    assert [value.name for value in left_out] == ([] if stays else ["Window Center (0028,1050), Width (0028,1051)"])


def test_of_several_windows_those_that_can_be_stay_with_their_explanations() -> None:
    dataset = window([40, 50, 60], [0, 500, 600]) | attribute(EXPLANATION, "a", "b", "c", vr="LO")
    changes, _ = leave_out_unusable(dataset, 10, 10)
    assert changes == window([50, 60], [500, 600]) | attribute(EXPLANATION, "b", "c", vr="LO")


def test_without_a_window_there_is_nothing_to_explain() -> None:
    dataset = window([40], [0]) | attribute(EXPLANATION, "a", vr="LO")
    assert leave_out_unusable(dataset, 10, 10)[0] == {CENTRE: None, WIDTH: None, EXPLANATION: None}
