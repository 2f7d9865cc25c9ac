from __future__ import annotations

import pytest

from stillframe.build.remarks import Remarks


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([0], " (frame 1)"),
        ([0, 1], " (frames 1 to 2)"),
        ([0, 2], " (frames 1, 3)"),
        ([1, 2, 3, 7, 9, 10], " (frames 2 to 4, 8, 10 to 11)"),
        (list(range(100)), ""),
        (list(range(0, 60, 2)), f" (frames {', '.join(map(str, range(1, 40, 2)))} and 10 more runs)"),
    ],
)
def test_a_note_names_the_frames_that_it_is_about_unless_it_is_about_all(indices: list[int], said: str) -> None:
    remarks = Remarks()
    for index in indices:
        remarks.add(index, "something", "")
    assert remarks.notes(100) == ["something" + said]


def test_every_remark_is_a_note() -> None:
    remarks = Remarks()
    remarks.add(0, "one", "another")
    remarks.add(1, "one")
    assert remarks.notes(2) == ["one", "another (frame 1)"]
    assert Remarks().notes(2) == []
