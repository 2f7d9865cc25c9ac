from __future__ import annotations

import json
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive import study_list
from stillframe.archive.lists import publish_studies
from stillframe.archive.study_list import merge_study_list
from stillframe.dicom.json_model import dumps
from stillframe.layout import STUDIES, instances_key, metadata_key, pending_key
from tests.support.memory_store import MemoryStore

UIDS = st.lists(st.integers(0, 30), min_size=1, max_size=3).map(lambda parts: ".".join(["1", *map(str, parts)]))


def record(study: str, text: str = "") -> dict[str, Any]:
    return {"00081030": {"vr": "LO", "Value": [text or 'a "0020000D":{"vr":"UI","Value":["1.9"]} b,\n']},
            "0020000D": {"vr": "UI", "Value": [study]}}  # fmt: skip


def line(study: str, text: str = "") -> bytes:
    return dumps(record(study, text))


def studies_of(data: bytes | None) -> list[str]:
    assert data is not None
    return [item["0020000D"]["Value"][0] for item in json.loads(data)]


@pytest.fixture(params=["parsed", "by lines"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by lines":
        monkeypatch.setattr(study_list, "_PARSED_BYTES", 0)


@pytest.mark.usefixtures("how")
def test_records_go_in_come_out_and_are_replaced() -> None:
    first = merge_study_list(None, {"1.10": line("1.10"), "1.9": line("1.9")})
    assert studies_of(first) == ["1.9", "1.10"]
    second = merge_study_list(first, {"1.2.3": line("1.2.3"), "1.9": None, "1.100": line("1.100"), "1.7": None})
    assert studies_of(second) == ["1.2.3", "1.10", "1.100"]
    third = merge_study_list(second, {"1.10": line("1.10", "new")})
    assert third is not None
    assert json.loads(third)[1]["00081030"]["Value"] == ["new"]
    assert merge_study_list(third, dict.fromkeys(("1.2.3", "1.10", "1.100"))) == b"[]"
    assert merge_study_list(b"[]", {}) == merge_study_list(None, {}) == b"[]"


@given(st.lists(st.dictionaries(UIDS, st.booleans(), max_size=6), max_size=5), st.booleans())
def test_merging_is_what_a_dictionary_does(steps: list[dict[str, bool]], by_lines: bool) -> None:
    kept = study_list._PARSED_BYTES
    study_list._PARSED_BYTES = 0 if by_lines else kept  # type: ignore[misc]  # put back below
    try:
        data: bytes | None = None
        expected: dict[str, bytes] = {}
        for number, step in enumerate(steps):
            changes = {study: line(study, str(number)) if there else None for study, there in step.items()}
            data = merge_study_list(data, changes)
            expected = {study: item for study, item in (expected | changes).items() if item is not None}
            assert data is not None
            assert {item["0020000D"]["Value"][0]: dumps(item) for item in json.loads(data)} == expected
            assert data == merge_study_list(None, expected)
            assert studies_of(data) == sorted(expected, key=lambda study: [int(part) for part in study.split(".")])
    finally:
        study_list._PARSED_BYTES = kept  # type: ignore[misc]  # as above


@pytest.mark.usefixtures("how")
def test_a_list_of_another_form_is_read_all_the_same() -> None:
    records = [record("1.9"), record("1.10"), record("1.2")]
    for data in (dumps(records), json.dumps(records, indent=2).encode()):
        merged = merge_study_list(data, {"1.3": line("1.3")})
        assert studies_of(merged) == ["1.2", "1.3", "1.9", "1.10"]


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize("data", [b"", b"[", b"{}", b"[1]", b'[{"00081030":{"vr":"LO"}}]', b"\x1f\x8b damaged", b"[{}"])
def test_a_damaged_list_is_made_anew(data: bytes) -> None:
    every = {"1.10": line("1.10"), "1.9": line("1.9"), "1.4": None}
    assert studies_of(merge_study_list(data, {"1.3": line("1.3")}, lambda: every)) == ["1.9", "1.10"]


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None, {"Alphabetic": "Doe"}], [{"Alphabetic": "Doe"}]),
        (["Doe"], None),
        ([{"Alphabetic": None}], None),
    ],
)
def test_what_clients_cannot_read_leaves_the_records_of_other_jobs(values: list[Any], expected: list[Any]) -> None:
    old = record("1.9") | {"00100010": {"vr": "PN", "Value": values}}
    data = b"[" + dumps(old) + b",\n" + dumps(record("1.10")) + b"]"
    first, *others = json.loads(merge_study_list(data, {"1.11": line("1.11")}))
    assert first["00100010"].get("Value") == expected
    assert others == [record("1.10"), record("1.11")]


def put_study(store: MemoryStore, study: str) -> None:
    metadata = record(study) | {"0020000E": {"vr": "UI", "Value": ["1"]}, "00080018": {"vr": "UI", "Value": ["2"]}}
    store.put(metadata_key(study), dumps([metadata]))
    store.put(instances_key(study), b"[]")


def test_many_jobs_at_once_lose_no_study() -> None:
    store = MemoryStore(parallel=4)
    names = [f"1.{number}" for number in range(60)]

    def job(study: str) -> None:
        put_study(store, study)
        publish_studies(store, [study])

    jobs = [threading.Thread(target=job, args=(study,)) for study in names]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    stored = store.get(STUDIES)
    assert stored is not None
    assert studies_of(stored.data) == names
    assert [key for key, _ in store.list("pending")] == []


def test_whoever_writes_next_takes_in_what_others_asked_for() -> None:
    """A job that was killed after it left word, and one that comes later."""
    store = MemoryStore(parallel=4)
    for study in ("1.1", "1.2"):
        put_study(store, study)
    store.put(pending_key("0" * 32), dumps(["1.1", "1.7", "../x", 5]))
    store.put(pending_key("1" * 32), b"damaged")
    publish_studies(store, ["1.2"])
    stored = store.get(STUDIES)
    assert stored is not None
    assert studies_of(stored.data) == ["1.1", "1.2"]
    assert [key for key, _ in store.list("pending")] == []


def test_a_study_that_is_gone_leaves_the_list() -> None:
    store = MemoryStore()
    for study in ("1.1", "1.2"):
        put_study(store, study)
    publish_studies(store, ["1.1", "1.2"])
    store.delete(metadata_key("1.1"))
    publish_studies(store, ["1.1"])
    assert studies_of(store.get(STUDIES).data) == ["1.2"]  # type: ignore[union-attr]  # it is always there


def test_a_damaged_list_is_made_anew_from_the_studies() -> None:
    store = MemoryStore()
    names = [f"1.{number}" for number in range(5)]
    random.Random(1).shuffle(names)
    for study in names:
        put_study(store, study)
    store.put(STUDIES, b"[{")
    publish_studies(store, [])
    assert studies_of(store.get(STUDIES).data) == sorted(names)  # type: ignore[union-attr]  # as above
