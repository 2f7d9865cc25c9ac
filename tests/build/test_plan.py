from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive.roots import Roots
from stillframe.build.catalogue import Catalogue
from stillframe.build.plan import SeriesPlan, choose_patient
from stillframe.build.planning import iter_series
from stillframe.build.report import Report
from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.inputs import Header, InputRef, Rejected
from tests.support.memory_store import MemoryStore

HEADERS = st.lists(
    st.tuples(
        st.sampled_from("12"),
        st.sampled_from("12"),
        st.sampled_from("123"),
        st.sampled_from(["", "A", "B"]),
        st.just("N"),
    ),
    max_size=20,
).map(
    lambda rows: [
        Header(InputRef(path=f"{number:03}"), InstanceUIDs(f"1.{s}", f"1.{s}.{r}", f"1.{s}.{r}.{i}"), patient, name)
        for number, (s, r, i, patient, name) in enumerate(rows)
    ]
)


@dataclass
class Plan:
    series: list[SeriesPlan]
    rejected: list[Rejected]


def make_plan(headers: list[Header]) -> Plan:
    """What is planned of headers for an empty archive."""
    catalogue, report = Catalogue(), Report()
    for header in headers:
        catalogue.add(header.source)
    for ordinal, header in enumerate(headers):
        catalogue.add_header(ordinal, header)
    catalogue.order()
    series = [*iter_series(catalogue, Roots(MemoryStore()), report, replace=False)]
    return Plan(series, [*report.rejected])


@given(HEADERS)
def test_every_input_is_planned_or_rejected_once(headers: list[Header]) -> None:
    plan = make_plan(headers)
    planned = [header for series in plan.series for inputs in series.instances.values() for header in inputs]
    assert sorted([str(header.source) for header in planned] + [item.path for item in plan.rejected]) == sorted(
        str(header.source) for header in headers
    )
    assert [(s.study, s.series) for s in plan.series] == sorted({(s.study, s.series) for s in plan.series})
    for series in plan.series:
        assert series.in_study == sum(other.study == series.study for other in plan.series)
        for uid, inputs in series.instances.items():
            assert {(h.uids.study, h.uids.series, h.uids.instance) for h in inputs} == {
                (series.study, series.series, uid)
            }
            assert [str(h.source) for h in inputs] == sorted(str(h.source) for h in inputs)


@given(HEADERS)
def test_a_planned_study_has_one_patient_the_most_named(headers: list[Header]) -> None:
    plan = make_plan(headers)
    for study in {series.study for series in plan.series}:
        named = [h.patient_id for h in headers if h.uids.study == study and h.patient_id]
        kept = {
            h.patient_id
            for series in plan.series
            if series.study == study
            for inputs in series.instances.values()
            for h in inputs
        } - {""}
        assert len(kept) <= 1
        assert all(named.count(patient) == max(map(named.count, named)) for patient in kept)


def test_the_published_patient_counts_before_the_majority() -> None:
    patient = choose_patient({("NEW", ""): 3}, ("OLD", ""))
    assert [patient.is_named((named, "")) for named in ("NEW", "OLD", "")] == [False, True, True]


def test_without_any_patient_id_names_tell_patients_apart() -> None:
    uids = InstanceUIDs("1", "1.1", "1.1.1")
    names = ["Doe^John", "DOE^JOHN ", "Roe^Jane"]
    headers = [Header(InputRef(path=name), uids, "", name) for name in names]
    plan = make_plan(headers)
    assert [(item.path, item.reason) for item in plan.rejected] == [
        ("Roe^Jane", "its Patient Name is not that of most of its study")
    ]
