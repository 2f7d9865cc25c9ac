from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.errors import UsageError
from stillframe.source.overlap import overlap


@pytest.mark.parametrize(
    ("source", "destination", "same"),
    [
        ("s3://b/in/", "s3://b/tree", False),
        ("s3://b/in", "s3://b/input", False),
        ("s3://b/tree/studies/", "s3://b/tree", True),
        ("s3://b/", "s3://b/tree", True),
        ("s3://b/x", "s3://b", True),
        ("s3://b/x", "s3://c/x", False),
        ("in", "s3://in", False),
        ("s3://in", "in", False),
        ("in/a", "in/b", False),
        ("in/a/../b", "in/b/c", True),
        ("in", "in", True),
    ],
)
def test_two_locations_overlap_where_one_holds_the_other(source: str, destination: str, same: bool) -> None:
    assert overlap(source, destination) is same


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    assert overlap(str(tmp_path / "link" / "x"), str(tmp_path / "tree"))


def test_what_is_no_location_is_refused() -> None:
    with pytest.raises(UsageError, match="expected s3://bucket/prefix"):
        overlap("s3://", "s3://b/tree")
