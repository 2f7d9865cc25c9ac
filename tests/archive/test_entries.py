"""Documents as lines: what is taken apart and put together is the same as what a parser makes of it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive.entries import (
    Entries,
    encode_list,
    join_lines,
    keep_entries,
    line_of,
    merge_entries,
    parse_entries,
    rebase_line,
    split_lines,
    summary_of,
)
from stillframe.archive.qido import instance_list, merge_instances, series_list, study_record
from stillframe.archive.record import Record, record_of, with_record
from stillframe.archive.representative import asked_for, study_candidates
from stillframe.dicom.json_model import JSONDataset, dumps, rebase_bulk

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['},\n{"', '{"a":[},{]', "a\n,\nb", '"BulkDataURI":"x', "\\", '\\"', "\u2028\u0000"]),
)
VALUES = st.one_of(TEXTS, st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.none())
ITEMS = st.dictionaries(
    st.sampled_from(["00400009", "00401001", "00081190"]),
    st.one_of(
        st.builds(lambda values: {"vr": "SH", "Value": values}, st.lists(VALUES, max_size=2)),
        st.builds(lambda uri: {"vr": "OB", "BulkDataURI": uri}, st.sampled_from(["bulkdata/1", "../2"])),
    ),
    max_size=3,
)


def element(values: Any, vr: str = "LO") -> dict[str, Any]:
    return {"vr": vr, "Value": values}


@st.composite
def instances(draw: st.DrawFn) -> JSONDataset:
    """Metadata of an instance of study 1, with values of which some look like JSON."""
    series, number = draw(st.sampled_from(["1.1", "1.2", "1.10"])), draw(st.integers(1, 9))
    dataset = {
        "00080016": element(["1.2.840.10008.5.1.4.1.1.2"], "UI"),
        "00080018": element([f"{series}.{number}"], "UI"),
        "00080060": element([draw(TEXTS)], "CS"),
        "0008103E": element([draw(VALUES)]),
        "00083002": element(["1.2.840.10008.1.2.4.202"], "UI"),
        "0020000D": element(["1"], "UI"),
        "0020000E": element([series], "UI"),
        "00200011": element([draw(st.integers(0, 3))], "IS"),
        "00200013": element([draw(st.integers(0, 5))], "IS"),
        "00400275": element(draw(st.lists(ITEMS, max_size=2)), "SQ"),
        "00431000": element([draw(VALUES)]),
    }
    if draw(st.booleans()):
        dataset["00431001"] = {"vr": "OB", "BulkDataURI": f"bulkdata/{draw(st.integers(0, 9))}"}
    options = "format=4;reduced=2;lossy=any;part10=auto;rendered=documents;thumbnails=series"
    return with_record(
        dict(sorted(dataset.items())), Record(f"sha256:{draw(st.integers(0, 99)):064x}", options), ["told"]
    )


DOCUMENTS = st.lists(instances(), max_size=6)


def entries_of(datasets: list[JSONDataset]) -> Entries:
    entries = parse_entries(encode_list(datasets))
    assert entries is not None
    return entries


@given(DOCUMENTS)
def test_a_document_is_the_same_to_a_parser_and_comes_apart_at_its_lines(datasets: list[JSONDataset]) -> None:
    document = encode_list(datasets)
    assert json.loads(document) == datasets
    assert document.count(b"\n") == max(0, len(datasets) - 1)
    entries = entries_of(datasets)
    assert [json.loads(bytes(line)) for line in entries.lines] == datasets
    assert list(entries.summaries) == [summary_of(dataset) for dataset in datasets]
    assert join_lines(entries.lines) == document


@pytest.mark.slow
@given(DOCUMENTS, st.sampled_from(["compact", "spaced", "escaped", "indented"]))
def test_documents_of_other_forms_become_lines(datasets: list[JSONDataset], form: str) -> None:
    data = {
        "compact": dumps(datasets),  # what versions before wrote
        "spaced": b" " + json.dumps(datasets, ensure_ascii=False).encode() + b"\n",
        "escaped": json.dumps(datasets).encode(),
        "indented": json.dumps(datasets, indent=1).encode(),
    }[form]
    entries = parse_entries(data)
    assert entries is not None
    assert list(entries.summaries) == [summary_of(dataset) for dataset in datasets]
    if len(datasets) != 1:  # one alone is a line, whatever its form
        assert join_lines(entries.lines) == encode_list(datasets)


def test_a_long_document_of_before_is_read_piece_by_piece() -> None:
    """Characters of several bytes, and entries, lie across the ends of pieces."""
    rng = random.Random(1)
    datasets = [{"00100010": element(["\u00e4\u4e2d\U0001f600" * rng.randrange(1, 90_000)])} for _ in range(12)]
    assert parse_entries(dumps(datasets)) == entries_of(datasets)


@given(DOCUMENTS, DOCUMENTS)
def test_lines_are_merged_as_data_sets_are(existing: list[JSONDataset], new: list[JSONDataset]) -> None:
    lines = {dumps(summary_of(dataset)): dumps(dataset) for dataset in new}
    added = {line: json.loads(summary) for summary, line in lines.items()}
    made = merge_entries(entries_of(existing), added.values(), lambda item: lines[dumps(item)])
    expected = merge_instances(existing, [json.loads(line) for line in added])
    assert made.data == encode_list(expected)
    assert made.summaries == [summary_of(dataset) for dataset in expected]


@given(DOCUMENTS)
def test_summaries_say_of_instances_what_lists_ask_for(datasets: list[JSONDataset]) -> None:
    summaries = entries_of(datasets).summaries
    assert study_record(summaries) == study_record(datasets)
    assert series_list(summaries) == series_list(datasets)
    assert instance_list(summaries) == instance_list(datasets)
    assert list(map(record_of, summaries)) == list(map(record_of, datasets))
    for choose in (asked_for, study_candidates):
        assert choose(summaries) == [summary_of(dataset) for dataset in choose(datasets)]


@given(instances(), st.sampled_from(["instances/1.2/", "series/1.1/"]))
def test_a_line_moves_to_another_document_as_its_data_set_does(dataset: JSONDataset, prefix: str) -> None:
    moved = rebase_bulk(dataset, prefix)
    assert line_of(dumps([dataset]), prefix) == dumps(moved)
    spaced = json.dumps(dataset).encode()
    assert json.loads(bytes(rebase_line(spaced, prefix))) == moved


def test_equal_elements_of_neighbours_are_one() -> None:
    first, second = entries_of([
        {"00080060": element(["CT"], "CS"), "00080018": element(["1.1"], "UI")},
        {"00080060": element(["CT"], "CS"), "00080018": element(["1.2"], "UI")},
    ]).summaries  # fmt: skip
    assert second["00080060"] is first["00080060"]
    assert second["00080018"] == element(["1.2"], "UI")


def test_some_entries_are_kept() -> None:
    datasets = [{"00080018": element([f"1.{number}"], "UI")} for number in range(4)]
    kept = keep_entries(entries_of(datasets), lambda item: item["00080018"]["Value"] != ["1.2"])
    assert join_lines(kept.lines) == encode_list([datasets[0], datasets[1], datasets[3]])
    assert list(kept.summaries) == [datasets[0], datasets[1], datasets[3]]


GOOD = dumps({"00080018": element(["1.2"], "UI")})


@pytest.mark.parametrize(
    "data",
    [
        b"]", b" ]\n", b"", b"[", b"[{", b"{}", b"null", b"[null]", b"[1,2]", b"[]]", b"[" + GOOD, b"[" + GOOD + b",]",
        b"[" + GOOD + b",\n]", b"[,\n" + GOOD + b"]", b"[" + GOOD + b",\n\n" + GOOD[:-1] + b"]",
        b"[" + GOOD + b"\n" + GOOD + b"]", b"[" + GOOD + b",\n" + GOOD + b",\n5]", b"[" + GOOD + b",\n[]]",
        b"[" + GOOD + b",\n" + GOOD + b"]x", b"[" + GOOD + b',\n{"00080018":"1"}]',
        b"[" + GOOD + b',\n{"00080018":{"vr":"UI","Value":"1"}}]', b"[" + GOOD + b',\n{"00080018":{"Value":["1"]}}]',
        b"[" + GOOD + b',\n{"00080018":{"vr":"FD","Value":[NaN]}}]', b'[{"00080018":{"vr":"FD","Value":[1e999]}}]',
        b"[" + GOOD.replace(b"1.2", b"\xff") + b"]",
        b"[" + b'{"00080018":{"vr":"SQ","Value":[' * 100_000 + b"]",
        b"[" + GOOD + b",\n" + GOOD[:-4] + b"\n" + GOOD[-4:] + b",",
    ],
)  # fmt: skip
def test_what_is_no_list_of_data_sets_has_no_entries(data: bytes) -> None:
    assert parse_entries(data) is None


def test_an_empty_list_has_no_lines() -> None:
    assert join_lines([]) == b"[]"
    assert split_lines(b"[]") == []
    for data in (b"[]", b"[ ]\n"):
        assert parse_entries(data) == Entries([], [])
