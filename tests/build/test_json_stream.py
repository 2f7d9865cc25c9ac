from __future__ import annotations

import json
from itertools import batched
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.build.json_stream import JSONPath, iter_values
from stillframe.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


def flat(value: Any, path: JSONPath, depth: int) -> list[tuple[JSONPath, Any]]:
    """What a walk through the parsed value comes to."""
    if len(path) < depth and isinstance(value, dict):
        return [pair for name, member in value.items() for pair in flat(member, (*path, name), depth)]
    if len(path) < depth and isinstance(value, list):
        return [pair for index, item in enumerate(value) for pair in flat(item, (*path, index), depth)]
    return [(path, value)]


@given(VALUES, st.integers(0, 4), st.integers(1, 7), st.sampled_from([None, 2]))
def test_a_text_in_pieces_comes_to_its_values(value: Any, depth: int, size: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    chunks = ["".join(piece) for piece in batched(text, size)]
    assert list(iter_values(chunks, lambda path: len(path) < depth)) == flat(value, (), depth)


@pytest.mark.parametrize(
    "text", ["", "  ", "[1, 2", '{"a": 1', '{"a" 1}', "[1 2]", "[1,]", '{"a": tru', "[] []", "{1: 2}", "nul"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    for chunks in ([text], list(text)):
        with pytest.raises(InputError):
            list(iter_values(chunks, lambda _: True))


def test_values_lie_only_so_deep() -> None:
    with pytest.raises(InputError, match="too deep"):
        list(iter_values(["[" * 200_000], lambda _: False))


def test_a_long_array_is_read_as_it_is_asked_for() -> None:
    taken: list[int] = []

    def chunks() -> Any:
        yield '{"many": ['
        for number in range(10_000_000):
            taken.append(number)
            yield f'{{"path": "{number}"}},\n'

    values = iter_values(chunks(), lambda path: len(path) < 2)
    assert [next(values) for _ in range(3)][2] == (("many", 2), {"path": "2"})
    assert len(taken) <= 8
