from __future__ import annotations

from typing import Any

import pytest

from stillframe.archive.readable_values import readable_element

NAME = {"Alphabetic": "Doe^Jane"}


@pytest.mark.parametrize(
    ("vr", "values", "expected"),
    [
        ("PN", [None, NAME], NAME),
        ("PN", [{}, NAME], NAME),
        ("PN", ["Doe^Jane"], None),
        ("PN", [5], None),
        ("PN", [{"Alphabetic": None, "Ideographic": "\u5c71\u7530"}], {"Ideographic": "\u5c71\u7530"}),
        ("PN", [{"Alphabetic": ["Doe"]}], None),
        ("PN", [{"Alphabetic": "x" * 2000, "Phonetic": "y"}], {"Phonetic": "y"}),
        ("LO", [None, "", " ", "text"], "text"),
        ("LO", [{"00080060": {"vr": "CS"}}], None),
        ("LO", [["text"]], None),
        ("LO", [7], None),
        ("LO", ["x" * 1025], None),
        ("LO", ["x" * 1024], "x" * 1024),
        ("UI", ["1.2.x", "1.2.3"], "1.2.3"),
        ("UI", ["1" * 65], None),
        ("IS", [None, 3], 3),
        ("IS", ["3"], 3),
        ("IS", [" +3 "], 3),
        ("IS", ["9007199254740993"], "9007199254740993"),  # 2**53 + 1, which no double holds
        ("IS", [9007199254740993], None),
        ("IS", ["3.5", "1A", 2.5, True, None], None),
        ("IS", [10**500], None),
        ("US", [70000, -1, "5", 5], 5),
        ("US", [True], None),
    ],
)
def test_the_first_value_that_clients_can_read(vr: str, values: list[Any], expected: Any) -> None:
    element = readable_element({"vr": vr, "Value": values}, vr)
    assert element == (None if expected is None else {"vr": vr, "Value": [expected]})


@pytest.mark.parametrize("element", [{}, {"vr": "LO"}, {"vr": "LO", "Value": []}, {"vr": "LO", "BulkDataURI": "x"}])
def test_an_element_without_values_in_line_is_left_out(element: dict[str, Any]) -> None:
    assert readable_element(element, "LO") is None


def test_an_element_of_another_vr_is_left_out() -> None:
    assert readable_element({"vr": "LO", "Value": ["Doe"]}, "PN") is None
    assert readable_element({"vr": "SQ", "Value": [{}]}, "LO") is None


def test_several_values_stand_where_they_stood_or_not_at_all() -> None:
    """Value 1 of Image Type is ORIGINAL or DERIVED (PS3.3 C.7.6.1.1.2): another one must not take its place."""
    kind = {"vr": "CS", "Value": ["DERIVED", "PRIMARY"]}
    assert readable_element(kind, "CS", several=True) == kind
    assert readable_element({"vr": "CS", "Value": [None, "PRIMARY"]}, "CS", several=True) is None
