"""Deleting a study, a series or an instance: out of every list first, the objects last.

The commit record of each instance is taken back first (`claims.retract`), so that whoever builds it from then on builds
it anew, and lists are made without it. Then its objects go, under a claim, and at the end documents that say nothing
any more. A deletion that ends early is completed by the next; one that meets a build waits for it, and one that comes
after a build found an instance taken back leaves what that build made.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from stillframe import __version__
from stillframe.archive.claims import ClaimHeld, CommitState, Lease, Watch, retract, settled_state
from stillframe.archive.documents import read_document, read_summaries
from stillframe.archive.drawing import Draw, draw_here
from stillframe.archive.frame_index import indexed_instances
from stillframe.archive.holdings import drafted_instances, held_in_series, held_objects, with_thumbnail
from stillframe.archive.list_thumbnails import update_series_thumbnails, update_study_thumbnail
from stillframe.archive.lists import publish_series, publish_studies, publish_study, withdraw_instances
from stillframe.archive.qido import base_url_of
from stillframe.archive.record import record_of
from stillframe.archive.reindex import index_series, settle_study
from stillframe.archive.roots import Roots
from stillframe.archive.study_list import listed_studies
from stillframe.dicom.json_model import named_uids
from stillframe.dicom.uids import InstanceUIDs, is_uid
from stillframe.errors import ClaimLost, StoreError
from stillframe.layout import (
    PENDING,
    STUDIES,
    frame_index_key,
    instance_key,
    is_fixed,
    metadata_key,
    parse_key,
    study_series_key,
)
from stillframe.parallel import side_by_side
from stillframe.progress import Progress
from stillframe.store.base import KeptVersions, Store

# Times that other jobs may take an instance over before it is given up.
_ATTEMPTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be deleted: a study, one of its series, or one instance of that. UIDs are checked by `check_uid`."""

    study: str
    series: str = ""
    instance: str = ""

    @property
    def prefix(self) -> str:
        """The key that stands before everything that goes."""
        if self.instance:
            return instance_key(InstanceUIDs(self.study, self.series, self.instance))
        return f"{study_series_key(self.study)}/{self.series}" if self.series else f"{STUDIES}/{self.study}"

    def holds(self, uids: InstanceUIDs) -> bool:
        """Whether an instance goes."""
        return uids.study == self.study and self.series in ("", uids.series) and self.instance in ("", uids.instance)

    def __str__(self) -> str:
        levels = {"instance": self.instance, "series": self.series, "study": self.study}
        return " of ".join(f"{level} {uid}" for level, uid in levels.items() if uid)


@dataclass(slots=True, kw_only=True)
class DeletionReport:
    """What is gone. `changed` are keys, within the study's root, that caches may hold; `seconds` is elapsed time.

    `found` says whether there was anything, `kept` are instances that other jobs built anew meanwhile, `versions` are
    older versions of what was deleted, if the store keeps any.
    """

    scope: Scope
    found: bool = False
    root: str = ""
    instances: int = 0
    series: int = 0
    studies: int = 0
    objects: int = 0
    bytes: int = 0
    kept: list[InstanceUIDs] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    versions: KeptVersions | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to a file; `docs/reference/report.md` describes it."""
        return {
            "version": 1,
            "stillframe": __version__,
            "command": "delete",
            **asdict(self.scope),
            **({"root": self.root} if self.root else {}),
            "summary": {
                "studies": self.studies,
                "series": self.series,
                "instances": self.instances,
                "kept": len(self.kept),
                "objects": self.objects,
                "bytes": self.bytes,
                "seconds": round(self.seconds, 3),
            },
            "kept": sorted(instance_key(uids) for uids in self.kept),
            "changed": sorted(self.changed),
            "keptVersions": asdict(self.versions) if self.versions else None,
        }


def delete(roots: Roots, scope: Scope, base_url: str, progress: Progress, draw: Draw = draw_here) -> DeletionReport:
    """Remove a study, a series or an instance from an archive.

    Args:
        roots: where the study is.
        scope: what goes.
        base_url: URL of the service root, for the lists that are written anew; those of before if empty.
        progress: is told of every step.
        draw: draws thumbnails that belong to lists.

    Raises:
        StoreError: if the store fails. Deleting again goes on from there.
    """
    started = time.monotonic()
    report = DeletionReport(scope=scope, root=roots.name(scope.study))
    store = roots.of(scope.study)
    if _is_anything(store, scope.study):
        known = base_url_of(read_document(store, study_series_key(scope.study)) or ())
        url = roots.base_url(scope.study, base_url) or known
        _Deletion(store=store, scope=scope, base_url=url, draw=draw, progress=progress, report=report).run()
        if report.root:
            _drop_root(store, url)
    roots.store.sync()
    report.seconds = time.monotonic() - started
    return report


def _is_anything(store: Store, study: str) -> bool:
    if any(True for _ in store.list(f"{STUDIES}/{study}")) or drafted_instances(store, f"{STUDIES}/{study}"):
        return True
    studies = store.get(STUDIES)
    return studies is not None and study in listed_studies(studies.data)


@dataclass(slots=True, kw_only=True)
class _Deletion:
    """One deletion under way, within the root of its study."""

    store: Store
    scope: Scope
    base_url: str
    draw: Draw
    progress: Progress
    report: DeletionReport

    def run(self) -> None:
        store, study, report = self.store, self.scope.study, self.report
        instances, series = self._find()
        report.found = bool(instances or series or not self.scope.series)
        self.progress.stage("withdrawing", len(instances))
        held_up = dict(filter(None, side_by_side(store.parallel, self._try_to_retract, instances)))
        side_by_side(store.parallel, lambda uids: self._retract(uids, held_up[uids]), held_up)
        by_series: dict[str, list[str]] = {uid: [] for uid in sorted(series)}
        for uids in instances:
            by_series[uids.series].append(uids.instance)
        self._delist(by_series)
        self.progress.stage("deleting", len(instances))
        removed = side_by_side(store.parallel, self._remove, instances)
        report.instances, report.objects = sum(map(bool, removed)), sum(map(len, removed))
        report.bytes = sum(sum(sizes.values()) for sizes in removed)
        if report.objects:
            report.versions = store.kept_versions(next(key for sizes in removed for key in sizes))
        report.changed = [key for sizes in removed for key in sizes if is_fixed(key)]
        # A job that had published one of them before may have listed it since: it sees that, or this does.
        self._delist({uid: names for uid, names in by_series.items() if self._names_any(uid, names)})
        for uid in sorted({*by_series, self.scope.series} - {""}):
            if not read_summaries(store, metadata_key(study, uid)):
                emptied = not index_series(store, study, uid, self.base_url, self.draw).published
                report.series += emptied and uid in by_series
        if not read_summaries(store, metadata_key(study)):
            report.studies += not settle_study(store, study, self.base_url, self.draw)
            publish_studies(store, [study], self.base_url)

    def _find(self) -> tuple[list[InstanceUIDs], set[str]]:
        """The instances that go, those that lists alone name among them, and the series that they may leave empty."""
        instances, series = set[InstanceUIDs](), set[str]()
        for key in (parse_key(key) for key, _ in self.store.list(self.scope.prefix)):
            series.add(key.series)
            if key.instance:
                instances.add(InstanceUIDs(key.study, key.series, key.instance))
        instances |= {*self._named(), *drafted_instances(self.store, self.scope.prefix)}
        series = series - {""} | {uids.series for uids in instances}
        for uid in series | {self.scope.series} - {""}:
            instances |= self._named(uid)
        return sorted(instances, key=str), series | {uids.series for uids in instances}

    def _named(self, series: str = "") -> set[InstanceUIDs]:
        """The instances that go of those that the metadata of the study name, or the documents of a series."""
        study = self.scope.study
        summaries = read_summaries(self.store, metadata_key(study, series))
        named = {InstanceUIDs(*named_uids(summary)) for summary in summaries}
        if series:
            index = read_document(self.store, frame_index_key(study, series))
            named |= {InstanceUIDs(study, series, uid) for uid in indexed_instances(index)}
        return {uids for uids in named if self.scope.holds(uids) and is_uid(uids.series) and is_uid(uids.instance)}

    def _settled(
        self, uids: InstanceUIDs, watch: Watch | None = None, *, patient: bool = True
    ) -> Iterator[CommitState]:
        """The state of an instance that nobody is writing, anew each time another job takes it over."""
        for _ in range(_ATTEMPTS):
            yield settled_state(self.store, uids, watch=watch, patient=patient)
        raise StoreError(f"{instance_key(uids)} was taken over by other jobs {_ATTEMPTS} times")

    def _try_to_retract(self, uids: InstanceUIDs) -> tuple[InstanceUIDs, Watch] | None:
        """As `_retract`, unless somebody is just building the instance; who that is, to wait for."""
        try:
            self._retract(uids, patient=False)
        except ClaimHeld as held:
            return uids, held.watch
        return None

    def _retract(self, uids: InstanceUIDs, watch: Watch | None = None, *, patient: bool = True) -> None:
        """See that an instance is not published; whoever is just building it may end first."""
        for state in self._settled(uids, watch, patient=patient):
            if state.etag is None or (state.metadata is not None and record_of(state.metadata) is None):
                break
            with suppress(ClaimLost):
                retract(self.store, uids, state)
                break
        self.progress.step()

    def _delist(self, by_series: dict[str, list[str]]) -> None:
        if not by_series:
            return
        store, study = self.store, self.scope.study
        self.progress.stage("lists", len(by_series))
        for series, instances in by_series.items():
            shown = withdraw_instances(store, study, series, instances)
            shown |= publish_series(store, study, series, None, self.base_url)
            if read_summaries(store, metadata_key(study, series)):
                # A deletion before this one may have ended before it came to them.
                shown |= with_thumbnail(held_in_series(store, study, series))
            update_series_thumbnails(store, study, series, shown, self.draw)
            self.progress.step()
        publish_study(store, study, by_series, self.base_url)
        update_study_thumbnail(store, study, self.draw)
        publish_studies(store, [study], self.base_url)

    def _names_any(self, series: str, instances: Iterable[str]) -> bool:
        """Whether the documents of a series name one of the instances that were deleted."""
        gone = {InstanceUIDs(self.scope.study, series, uid) for uid in instances} - {*self.report.kept}
        return not gone.isdisjoint(self._named(series))

    def _remove(self, uids: InstanceUIDs) -> dict[str, int]:
        """Remove all objects of an instance, its commit record last, unless it was published anew; what they were."""
        removed: dict[str, int] = {}
        for state in self._settled(uids):
            if state.metadata is not None and record_of(state.metadata) is not None:
                self.report.kept.append(uids)
                break
            with suppress(ClaimLost):
                removed = self._remove_claimed(uids, state)
                break
        self.progress.step()
        return removed

    def _remove_claimed(self, uids: InstanceUIDs, state: CommitState) -> dict[str, int]:
        own = metadata_key(uids.study, uids.series, uids.instance)
        if state.etag is None and not held_objects(self.store, uids):
            return {own: 0} if self._remove_draft(uids, state) else {}
        with Lease(self.store, uids, state) as lease:
            sizes = held_objects(self.store, uids)
            self.store.delete_many(list(sizes))
            lease.remove()
        return sizes | {own: 0}

    def _remove_draft(self, uids: InstanceUIDs, state: CommitState) -> bool:
        """Remove what a job left that ended before the instance got its place; whether there was anything."""
        resource = instance_key(uids)
        if not any(True for _ in self.store.drafts(resource)):
            return False
        draft = self.store.draft(resource, state.drafted)
        if draft is None:  # another job was here
            raise ClaimLost(f"{resource} was taken over by another job")
        draft.close()
        self.store.delete(metadata_key(uids.study, uids.series, uids.instance))  # and folders that are empty now
        return True


def _drop_root(store: Store, base_url: str) -> None:
    """Remove a root of its own that holds no study any more."""
    if any(key != STUDIES and not key.startswith(f"{PENDING}/") for key, _ in store.list("")):
        return
    store.delete_many([key for key, _ in store.list("")])
    left = sorted({key.split("/")[1] for key, _ in store.list("") if key.startswith(f"{STUDIES}/")})
    if left:  # a job began to build here: it finds the list that it created
        publish_studies(store, left, base_url)
