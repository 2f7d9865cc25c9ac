"""From headers to a plan: which inputs make up which series, in what order, and which contradict each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stillframe.source.inputs import Header


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPlan:
    """One series: for each SOP Instance UID the inputs that hold it, in the order of the sources.

    `in_study` is how many series of its study the job has.
    """

    study: str
    series: str
    instances: Mapping[str, tuple[Header, ...]]
    in_study: int = 1


type Named = tuple[str, str]
"""Patient ID and Patient's Name as an input has them, either of them perhaps empty."""


@dataclass(frozen=True, slots=True)
class StudyPatient:
    """Whom the instances of a study have to name: by Patient ID, or by name where nobody gives an ID.

    `whose` says in a reason who that is.
    """

    identity: str
    by_id: bool
    whose: str

    def is_named(self, named: Named) -> bool:
        """Whether an input belongs to the patient. Who gives neither ID nor name goes with the study."""
        return _identity(named, self.by_id) in ("", self.identity)

    @property
    def reason(self) -> str:
        """Why others are rejected. It carries no names or IDs: reasons end up in logs."""
        return f"its Patient {'ID' if self.by_id else 'Name'} is not {self.whose}"


def choose_patient(named: Mapping[Named, int], published: Named | None) -> StudyPatient:
    """A study has one patient (PS3.3 A.1.2): the one it is published under, else the one most of its inputs name.

    Args:
        named: how many inputs of the study name whom, in the order in which they come first.
        published: whom the study names where it is published already.
    """
    ours = published or ("", "")
    by_id = any(patient_id for patient_id, _ in (*named, ours))
    if own := _identity(ours, by_id):
        whose = "the one its study is published under (the whole study again, with --replace, corrects that)"
        return StudyPatient(own, by_id, whose)
    counted: Counter[str] = Counter()
    for patient, count in named.items():
        counted[_identity(patient, by_id)] += count
    del counted[""]
    most = max(counted, key=lambda identity: counted[identity], default="")
    return StudyPatient(most, by_id, "that of most of its study")


def name_one_patient(named: Iterable[Named]) -> bool:
    """Whether inputs agree on who the patient is."""
    known = list(named)
    by_id = any(patient_id for patient_id, _ in known)
    return len({_identity(patient, by_id) for patient in known} - {""}) <= 1


def _identity(patient: Named, by_id: bool) -> str:
    """What tells patients apart, in a form that reading, publishing and reading again do not change."""
    if by_id:
        return _spaced(patient[0])
    return _spaced(patient[1].replace("^", " ").replace("=", " ")).casefold()


def _spaced(text: str) -> str:
    """Values without white space around them, or more than a space within; trailing empty values dropped."""
    return "\\".join(" ".join(value.split()) for value in text.split("\\")).rstrip("\\")


def group_instances(headers: Iterable[Header]) -> dict[str, tuple[Header, ...]]:
    """The headers of a series by SOP Instance UID, in the order of the sources."""
    grouped: dict[str, list[Header]] = {}
    for header in headers:
        grouped.setdefault(header.uids.instance, []).append(header)
    return {uid: tuple(found) for uid, found in grouped.items()}
