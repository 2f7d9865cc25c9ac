from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.field_cases import case_names, problems_of


@pytest.mark.slow
@pytest.mark.parametrize("name", case_names())
def test_what_people_met_comes_out_right(tmp_path: Path, name: str) -> None:
    assert problems_of(name, tmp_path) == []
