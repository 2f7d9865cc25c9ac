"""docs/conformance.md holds the table that the browser tests check.

    STILLFRAME_WRITE_DOCS=1 python -m pytest tests/e2e/test_table.py

writes it anew.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from tests.e2e.kinds import KINDS
from tests.e2e.limits import LIMITS, VIEWERS
from tests.e2e.table import expected_table, limits_table, seen_table, surprises
from tests.support.places import REPOSITORY

_DOCUMENT = REPOSITORY / "docs" / "conformance.md"
_MARKED = re.compile(r"(<!-- begin: table (?P<name>[^>]+) -->\n\n)(?:.*?)(\n\n<!-- end -->)", re.DOTALL)


def test_the_document_holds_the_tables() -> None:
    tables = {"viewers": expected_table(), "limits of viewers": limits_table()}
    before = _DOCUMENT.read_text(encoding="utf-8")
    assert [match["name"] for match in _MARKED.finditer(before)] == list(tables)
    after = _MARKED.sub(lambda match: match[1] + tables[match["name"]] + match[3], before)
    if os.environ.get("STILLFRAME_WRITE_DOCS"):
        _DOCUMENT.write_text(after, encoding="utf-8")
    assert _DOCUMENT.read_text(encoding="utf-8") == after


def test_kinds_have_keys_of_their_own() -> None:
    assert len({kind.key for kind in KINDS}) == len(KINDS)


def test_limits_name_kinds_and_viewers_that_are_there_and_say_what_to_do() -> None:
    names = {kind.name for kind in KINDS}
    for limit in LIMITS:
        assert names.issuperset(limit.kinds), limit.name
        assert set(VIEWERS).issuperset(limit.viewers), limit.name
        assert limit.cause.endswith("."), limit.name
        assert limit.remedy.endswith("."), limit.name


def test_a_kind_has_one_limit_in_a_viewer() -> None:
    pairs = [(kind, viewer) for limit in LIMITS for kind in limit.kinds for viewer in limit.viewers]
    assert len(set(pairs)) == len(pairs)


def _result(**others: Any) -> dict[str, Any]:
    key = next(kind.key for kind in KINDS if kind.name == "MR")
    result = {"host": "serve", "viewer": "ohif-3.13.2", "key": key, "view": 1, "seconds": 2.4, "complaints": []}
    return result | {"known": False, "right": True, "seen": "what is seen"} | others


@pytest.mark.parametrize(
    ("known", "right", "told"),
    [
        (False, True, None),
        (True, False, None),
        (False, False, "what is seen; 404 of a frame"),
        (True, True, "right, though limits.py names a limit"),
    ],
)
def test_what_is_not_expected_is_told(known: bool, right: bool, told: str | None) -> None:
    result = _result(known=known, right=right, complaints=[] if right else ["404 of a frame"])
    assert surprises([result]) == ([] if told is None else [f"serve, ohif-3.13.2, mr: {told}"])
    assert ("(!)" in seen_table([result])) == (told is not None)


def test_a_kind_is_right_if_all_of_its_views_are() -> None:
    assert seen_table([_result(), _result(view=2)]).split("\n")[1].split() == ["MR", "right", "5", "s"]
    assert "NOT RIGHT (!)" in seen_table([_result(), _result(view=2, right=False)])
