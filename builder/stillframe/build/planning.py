"""Plans one study after the other, from the catalogue of the inputs and from what is published."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache

from stillframe.archive.lists import published_patient
from stillframe.archive.roots import Roots
from stillframe.build.catalogue import Catalogue
from stillframe.build.plan import Named, SeriesPlan, StudyPatient, choose_patient, group_instances, name_one_patient
from stillframe.build.report import Report
from stillframe.dicom.uids import InstanceUIDs
from stillframe.parallel import map_ahead
from stillframe.source.inputs import Header, Rejected


@dataclass(frozen=True, slots=True)
class _Study:
    """A study of the job, whom its inputs name, and the instances that the job replaces as a whole, if it does."""

    uid: str
    named: dict[Named, int]
    replaced: frozenset[InstanceUIDs]


def iter_series(catalogue: Catalogue, roots: Roots, report: Report, *, replace: bool) -> Generator[SeriesPlan]:
    """The series of a job, those of a study one after the other, in order of the UIDs.

    Instances that name another patient than their study are left out, and the report is told of them. What is
    published of a study is read ahead of its turn. With `replace` a study that is published may get another patient, if
    all of it is replaced by inputs that agree.

    Raises:
        StoreError: if the store fails.
    """

    def choose(study: _Study) -> tuple[str, StudyPatient]:
        published = published_patient(roots.of(study.uid), study.uid, study.replaced)
        return study.uid, choose_patient(study.named, published)

    studies = _iter_studies(catalogue, replace=replace)
    with closing(map_ahead(choose, studies, roots.store.parallel, apart=lambda _: roots.store.parallel > 1)) as chosen:
        for study, patient in chosen:
            series = catalogue.series_of(study)
            kept = {uid for uid, named in series.items() if any(map(patient.is_named, named))}
            for uid in series:
                members = group_instances(_members(catalogue.headers_of(study, uid), patient, report))
                if uid in kept:
                    yield SeriesPlan(study, uid, members, len(kept))


def _iter_studies(catalogue: Catalogue, *, replace: bool) -> Iterator[_Study]:
    for uid in catalogue.iter_studies():
        named = catalogue.named_in(uid)
        replaced = catalogue.instances_of(uid) if replace and name_one_patient(named) else frozenset[InstanceUIDs]()
        yield _Study(uid, named, replaced)


def _members(headers: Iterator[Header], patient: StudyPatient, report: Report) -> Iterator[Header]:
    """The headers that name the study's patient; the report is told of the others."""
    is_named = cache(patient.is_named)  # nearly all name the same
    for header in headers:
        if is_named((header.patient_id, header.patient_name)):
            yield header
        else:
            report.add(Rejected.of(header.source, patient.reason, header.uids))
