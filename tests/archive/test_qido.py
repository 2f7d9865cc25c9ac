from __future__ import annotations

import random
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive.qido import (
    instance_list,
    merge_instances,
    readable_study,
    series_list,
    sort_instances,
    study_record,
)
from stillframe.dicom.json_model import JSONDataset, text_value
from stillframe.layout import instances_key, study_series_key


def published(instance: str, series: str = "1.1", study: str = "1", **values: Any) -> JSONDataset:
    """Metadata of an instance; `values` are keyed by `tag_VR`, the tag after a letter."""
    metadata: JSONDataset = {
        "00080018": {"vr": "UI", "Value": [instance]},
        "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [series]},
    }
    for name, value in values.items():
        tag, vr = name[1:].split("_")
        metadata[tag] = {"vr": vr} if value is None else {"vr": vr, "Value": value}
    return metadata


def uids(instances: list[JSONDataset], tag: str = "00080018") -> list[str]:
    return [text_value(instance, tag) for instance in instances]


def test_sort_instances() -> None:
    expected = [
        published("9", "1.9", t00200011_IS=[1], t00200013_IS=[2]),
        published("1", "1.9", t00200011_IS=[1], t00200013_IS=[10]),
        published("1.2", "1.9", t00200011_IS=[1]),
        published("1.10", "1.9", t00200011_IS=[1], t00200013_IS=["none"]),
        published("5", "1.2", t00200011_IS=[2], t00200013_IS=["9007199254740993"]),
        published("4", "1.10", t00200011_IS=[2]),
        published("3", "1.1", t00200013_IS=[1]),
        published("2", "1.1", t00200011_IS=None, t00200013_IS=[2]),
    ]
    for seed in range(20):
        shuffled = random.Random(seed).sample(expected, len(expected))
        assert uids(sort_instances(shuffled)) == uids(expected)


def test_a_series_stays_together_when_its_instances_disagree_about_its_number() -> None:
    instances = [
        published("1", "1.1", t00200011_IS=[5], t00200013_IS=[1]),
        published("2", "1.2", t00200011_IS=[3]),
        published("3", "1.1", t00200011_IS=[1], t00200013_IS=[2]),
    ]
    assert uids(sort_instances(instances)) == ["1", "3", "2"]


INSTANCES = st.builds(
    lambda instance, number, series, name: published(
        f"1.{instance}",
        f"2.{series}",
        t00200011_IS=None if series == 3 else [series % 2],
        t00200013_IS=number,
        t00100010_PN=[{"Alphabetic": name}],
    ),
    st.integers(0, 12),
    st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=1, max_size=1)),
    st.integers(0, 3),
    st.sampled_from("ab"),
)
LISTS = st.lists(INSTANCES, max_size=8)


def place(instance: JSONDataset) -> tuple[str, str]:
    return text_value(instance, "0020000E"), text_value(instance, "00080018")


@given(LISTS, LISTS, LISTS)
def test_merging_is_associative(a: list[JSONDataset], b: list[JSONDataset], c: list[JSONDataset]) -> None:
    assert merge_instances(merge_instances(a, b), c) == merge_instances(a, merge_instances(b, c))


@given(LISTS, LISTS)
def test_merging_is_idempotent_and_keeps_every_instance_once(a: list[JSONDataset], b: list[JSONDataset]) -> None:
    once = merge_instances(a, b)
    assert merge_instances(once, b) == once
    assert sorted(map(place, once)) == sorted({*map(place, a), *map(place, b)})
    newest = {place(instance): instance for instance in b}
    assert all(newest.get(place(instance), instance) == instance for instance in once)


@given(LISTS, st.randoms())
def test_lists_do_not_depend_on_the_order_of_building(a: list[JSONDataset], rng: random.Random) -> None:
    distinct = merge_instances(a, [])
    shuffled = rng.sample(distinct, len(distinct))
    assert study_record(shuffled) == study_record(distinct)
    assert series_list(shuffled) == series_list(distinct)
    assert instance_list(shuffled) == instance_list(distinct)


STUDY = [
    published(
        "1.1",
        "1.1",
        t00080016_UI=["1.2.840.10008.5.1.4.1.1.2"],
        t00080020_DA=None,
        t00080060_CS=["SEG"],
        t00100010_PN=[{"Alphabetic": "Doe"}],
        t00200011_IS=[1],
        t00280010_US=[512],
    ),
    published(
        "1.2",
        "1.2",
        t00080020_DA=["20240229"],
        t00080060_CS=["CT"],
        t00080201_SH=["+0100"],
        t0008103E_LO=["Axial"],
        t00100010_PN=[{"Alphabetic": "Roe"}],
        t00200011_IS=[2],
        t00400275_SQ=[
            {
                "00400007": {"vr": "LO", "Value": ["Scan"]},
                "00400009": {"vr": "SH", "Value": ["S1"]},
                "00401001": {"vr": "SH", "Value": ["R1"]},
            }
        ],
    ),
    published("1.3", "1.2", t00080060_CS=["CT"], t00200011_IS=[2], t00080201_SH=["+0100"]),
]


def record_of_study(metadata: list[JSONDataset], base_url: str = "") -> JSONDataset:
    record = study_record(metadata, base_url)
    assert record is not None
    return record


def test_a_study_without_instances_has_no_record() -> None:
    assert study_record([]) is None


def test_study_record() -> None:
    assert study_record(STUDY) == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20240229"]},  # empty in the first instance
        "00080030": {"vr": "TM"},
        "00080050": {"vr": "SH"},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SEG"]},
        "00080090": {"vr": "PN"},
        "00080201": {"vr": "SH", "Value": ["+0100"]},
        "00081190": {"vr": "UR", "Value": ["studies/1"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe"}]},
        "00100020": {"vr": "LO"},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS"},
        "0020000D": {"vr": "UI", "Value": ["1"]},
        "00200010": {"vr": "SH"},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [3]},
    }


def test_series_record() -> None:
    assert series_list(STUDY)[1] == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00080201": {"vr": "SH", "Value": ["+0100"]},
        "0008103E": {"vr": "LO", "Value": ["Axial"]},
        "00081190": {"vr": "UR", "Value": ["series/1.2"]},
        "0020000D": {"vr": "UI", "Value": ["1"]},
        "0020000E": {"vr": "UI", "Value": ["1.2"]},
        "00200011": {"vr": "IS", "Value": [2]},
        "00201209": {"vr": "IS", "Value": [2]},
        "00400275": {
            "vr": "SQ",
            "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH", "Value": ["R1"]}}],
        },
    }


def test_instance_record() -> None:
    assert instance_list(STUDY[:1], of_series=True)[0] == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": ["1.1"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080060": {"vr": "CS", "Value": ["SEG"]},
        "00081190": {"vr": "UR", "Value": ["instances/1.1"]},
        "0020000D": {"vr": "UI", "Value": ["1"]},
        "0020000E": {"vr": "UI", "Value": ["1.1"]},
        "00200013": {"vr": "IS"},
        "00280010": {"vr": "US", "Value": [512]},
    }


@pytest.mark.parametrize("metadata", [STUDY[:1], STUDY[1:], STUDY])
def test_tags_of_every_record_ascend(metadata: list[JSONDataset]) -> None:
    for record in [record_of_study(metadata), *series_list(metadata), *instance_list(metadata)]:
        assert list(record) == sorted(record)


def test_a_value_that_is_bulk_data_is_left_out_of_lists() -> None:
    metadata = published("1.1") | {"00081030": {"vr": "LO", "BulkDataURI": "bulkdata/00081030"}}
    assert "00081030" not in record_of_study([metadata])


def nulls(value: Any) -> int:
    """How many nulls a JSON value holds, at any depth."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return int(value is None) + sum(map(nulls, parts))


UNREADABLE: dict[str, Any] = {
    "t00080008_CS": [None, "PRIMARY"],
    "t00080016_UI": ["?"],
    "t00080060_CS": [None, "MR"],
    "t00080090_PN": ["Roe"],
    "t00081030_SQ": [{}],
    "t00100010_PN": [None, {"Alphabetic": "Second^Value"}],
    "t00100020_LO": [None],
    "t00200011_IS": [None, "7"],
    "t00200013_IS": ["none"],
    "t00280010_US": [-1],
    "t00400275_SQ": [None, 5, {"00400009": {"vr": "SH", "Value": [None, "S1"]}, "00401001": {"vr": "SH"}}, {}],
}


def test_lists_hold_what_clients_can_read() -> None:
    metadata = [published("1.1", "1.1", **UNREADABLE)]
    (series,), (instance,) = series_list(metadata), instance_list(metadata)
    study = record_of_study(metadata)
    assert nulls([study, series, instance]) == 0
    assert study["00080061"]["Value"] == ["MR"]
    assert study["00080090"] == {"vr": "PN"}
    assert "00081030" not in study
    assert study["00100010"]["Value"] == [{"Alphabetic": "Second^Value"}]
    assert study["00100020"] == {"vr": "LO"}
    assert series["00200011"]["Value"] == [7]
    assert series["00400275"]["Value"] == [{"00400009": {"vr": "SH", "Value": ["S1"]}}]
    assert instance["00080016"] == {"vr": "UI"}
    assert instance["00080060"]["Value"] == ["MR"]
    assert instance["00200013"] == {"vr": "IS"}
    assert "00080008" not in instance
    assert "00280010" not in instance


def test_series_are_sorted_by_the_number_that_their_list_shows() -> None:
    late, early = published("1", "1.1", t00200011_IS=[None, 5]), published("2", "1.2", t00200011_IS=["3"])
    assert uids(sort_instances([late, early])) == ["2", "1"]
    assert uids(series_list([late, early]), "0020000E") == ["1.2", "1.1"]


def test_a_record_of_ours_is_readable_as_it_is() -> None:
    for metadata in (STUDY, STUDY[:1], [published("1.1", **UNREADABLE)]):
        record = record_of_study(metadata, "https://cdn.example/dicomweb")
        assert readable_study(record) == record


def test_of_a_record_of_others_what_cannot_be_read_is_left_out() -> None:
    record = record_of_study(STUDY) | {
        "00100010": {"vr": "PN", "Value": ["Doe"]},
        "00100020": {"vr": "LO", "Value": [None]},
        "00080201": {"vr": "SH", "Value": [None]},
        "00201206": {"vr": "IS", "Value": ["2"]},
        "00081048": {"vr": "PN", "Value": [None]},
    }
    expected = record_of_study(STUDY) | {"00100010": {"vr": "PN"}, "00100020": {"vr": "LO"}}
    del expected["00080201"]
    assert readable_study(record) == expected


def retrieve_urls(records: list[JSONDataset]) -> list[str]:
    return [text_value(record, "00081190") for record in records]


def test_retrieve_urls_are_relative_to_their_documents() -> None:
    assert retrieve_urls([record_of_study(STUDY)]) == ["studies/1"]
    assert retrieve_urls(series_list(STUDY)) == ["series/1.1", "series/1.2"]
    assert retrieve_urls(instance_list(STUDY)) == [
        "series/1.1/instances/1.1",
        "series/1.2/instances/1.2",
        "series/1.2/instances/1.3",
    ]
    assert retrieve_urls(instance_list(STUDY[1:], of_series=True)) == ["instances/1.2", "instances/1.3"]


@pytest.mark.parametrize("base_url", ["", "https://cdn.example/dicomweb", "https://cdn.example/dicomweb/"])
def test_every_reference_resolves_to_its_resource(base_url: str) -> None:
    root = "https://cdn.example/dicomweb/"
    instance = "studies/1/series/1.2/instances/1.2"
    references = {
        ("studies", "studies/1"): record_of_study(STUDY, base_url),
        (study_series_key("1"), "studies/1/series/1.2"): series_list(STUDY, base_url)[1],
        (instances_key("1"), instance): instance_list(STUDY, base_url)[1],
        (instances_key("1", "1.2"), instance): instance_list(STUDY[1:], base_url, of_series=True)[0],
    }
    for (document, resource), record in references.items():
        assert urljoin(root + document, text_value(record, "00081190")) == root + resource
