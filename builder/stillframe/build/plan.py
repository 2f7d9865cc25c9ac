"""From headers to a plan: which inputs make up which series, in what order, and which contradict each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stillframe.source.inputs import Header, Rejected


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPlan:
    """One series: for each SOP Instance UID the inputs that hold it, in the order of the sources.

    `in_study` is how many series of its study the job has.
    """

    study: str
    series: str
    instances: Mapping[str, tuple[Header, ...]]
    in_study: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Series grouped by study, studies in order of their UIDs."""

    series: tuple[SeriesPlan, ...]
    rejected: tuple[Rejected, ...]


type PublishedPatient = Callable[[str], tuple[str, str] | None]


def make_plan(headers: Iterable[Header], published_patient: PublishedPatient) -> Plan:
    """Group instances by study and series, and take out those that name another patient than their study.

    A study has one patient (PS3.3 A.1.2): the one it is published under, else the one most of its instances name.
    `published_patient` gives Patient ID and name of a study the store already holds, or None.
    """
    studies: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        studies[header.uids.study].append(header)
    series: list[SeriesPlan] = []
    rejected: list[Rejected] = []
    for study in sorted(studies):
        members, strangers = _one_patient(studies[study], published_patient(study))
        rejected.extend(strangers)
        series.extend(_series_of(study, members))
    return Plan(tuple(series), tuple(rejected))


def _one_patient(headers: Sequence[Header], published: tuple[str, str] | None) -> tuple[list[Header], list[Rejected]]:
    """Headers of the study's patient, and the others rejected. Reasons carry no names or IDs: they end up in logs.

    Patients are told apart by Patient ID; by name where nobody gives an ID. Who gives neither goes with the study.
    """
    known = [(header.patient_id, header.patient_name) for header in headers] + [published or ("", "")]
    by_id = any(patient_id for patient_id, _ in known)
    counted = Counter(filter(None, (_identity(patient, by_id) for patient in known[:-1])))
    patient = _identity(known[-1], by_id) or max(counted, key=lambda name: counted[name], default="")
    whose = "that of most of its study"
    if _identity(known[-1], by_id):
        whose = "the one its study is published under (the whole study again, with --replace, corrects that)"
    members, strangers = [], []
    for header in headers:
        if _identity((header.patient_id, header.patient_name), by_id) in ("", patient):
            members.append(header)
        else:
            reason = f"its Patient {'ID' if by_id else 'Name'} is not {whose}"
            strangers.append(Rejected.of(header.source, reason, header.uids))
    return members, strangers


def name_one_patient(headers: Iterable[Header]) -> bool:
    """Whether inputs agree on who the patient is."""
    known = [(header.patient_id, header.patient_name) for header in headers]
    by_id = any(patient_id for patient_id, _ in known)
    return len({_identity(patient, by_id) for patient in known} - {""}) <= 1


def _identity(patient: tuple[str, str], by_id: bool) -> str:
    """What tells patients apart, in a form that reading, publishing and reading again do not change."""
    if by_id:
        return _spaced(patient[0])
    return _spaced(patient[1].replace("^", " ").replace("=", " ")).casefold()


def _spaced(text: str) -> str:
    """Values without white space around them, or more than a space within; trailing empty values dropped."""
    return "\\".join(" ".join(value.split()) for value in text.split("\\")).rstrip("\\")


def _series_of(study: str, headers: Iterable[Header]) -> list[SeriesPlan]:
    grouped: dict[str, dict[str, list[Header]]] = defaultdict(lambda: defaultdict(list))
    for header in headers:
        grouped[header.uids.series][header.uids.instance].append(header)
    return [
        SeriesPlan(study, uid, {instance: tuple(found) for instance, found in grouped[uid].items()}, len(grouped))
        for uid in sorted(grouped)
    ]
