"""A study in a dry run: what would become of its inputs, which are made as samples, and what follows from these."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from stillframe.archive.holdings import HeldInstance, held_in_series, read_metadata
from stillframe.archive.lists import listed_instances
from stillframe.archive.record import UNKNOWN, Holding, Record, describe_options, with_record
from stillframe.build.decide import LISTED, UNRECORDED, WRITTEN, Asked, Decision, decide, published_record
from stillframe.build.dryrun.estimate import (
    Measured,
    MeasureTask,
    Objects,
    Pool,
    Profile,
    add_sample,
    choose_instances,
    complete_instance,
    find_sample,
)
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.dryrun.job import Job
from stillframe.build.dryrun.list_sizes import Listed
from stillframe.build.plan import SeriesPlan
from stillframe.dicom.json_model import JSONDataset, dumps
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import Kind, instances_key
from stillframe.parallel import side_by_side
from stillframe.source.inputs import Header, Rejected
from stillframe.source.open import source_digest

# What one study asks a store far away side by side.
_ASKED_AT_ONCE: Final = 8
# Decisions that follow from a look at more than records: a worker reads the input.
_MEASURED: Final = LISTED | {Decision.COMPARE, Decision.REVIEW}


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """What a dry run tells of one study; `records` are what the list of studies learns, by Study Instance UID."""

    forecast: Forecast
    rejected: Sequence[Rejected]
    samples: Sequence[Measured]
    records: Mapping[str, JSONDataset | None]


@dataclass(slots=True, kw_only=True)
class _Instance:
    """An instance under way: the inputs still to be looked at, and what is known of the one that would be published.

    `published` is what the store's metadata record, `listed` what its lists do. `decision` is that of the next input,
    `outcome` that of the first one that is not rejected, `digest` that of what is published when the next one comes.
    `metadata` are those in the store, if a review needs them.
    """

    uids: InstanceUIDs
    inputs: list[Header]
    held: Holding
    listed: Record | None
    present: bool
    metadata: JSONDataset | None = None
    published: Record | None = None
    decision: Decision = Decision.PUBLISH
    outcome: Decision | None = None
    digest: str = ""
    known: Measured | None = None


class StudyRun:
    """One study under way. Some of its instances are made, or it is judged by those of `others`."""

    def __init__(self, job: Job, plans: Sequence[SeriesPlan], others: Pool) -> None:
        """Find out what the store has of the study.

        Raises:
            StoreError: if the store fails.
        """
        self.job = job
        self.options = job.request.options
        self.others = others
        self.study = plans[0].study
        self.store = job.roots.of(self.study)
        self.listed: dict[str, dict[str, Listed]] = {}
        self.rejected: list[Rejected] = []
        self.inputs: Counter[Decision] = Counter()
        self.sample: Counter[str] = Counter()
        self.at_once = min(self.store.parallel, _ASKED_AT_ONCE)
        self.instances = [*chain.from_iterable(side_by_side(self.at_once, self._open, plans))]

    def _open(self, plan: SeriesPlan) -> list[_Instance]:
        """The instances of a series, with what the store has of them."""
        store, study, series = self.store, plan.study, plan.series
        listed = listed_instances(store, study, series)
        present = frozenset(store.children(instances_key(study, series)))
        held = held_in_series(store, study, series) if present else {}
        if listed:
            self.listed[series] = {}
        return [
            _Instance(
                uids=InstanceUIDs(study, series, uid),
                inputs=list(inputs),
                held=held.get(uid, HeldInstance()).holding,
                listed=listed.get(uid),
                present=uid in present,
            )
            for uid, inputs in plan.instances.items()
        ]

    def _decide(self, instance: _Instance) -> None:
        """What becomes of an instance's next input, after those before it."""
        if instance.present and instance.published is None:
            instance.published = published_record(read_metadata(self.store, instance.uids))
        first, published = instance.outcome is None, instance.published
        if instance.outcome in LISTED:
            published = Record(instance.digest or UNKNOWN)
        digest = ""
        if len(instance.inputs) > 1 or instance.listed or published not in (None, UNRECORDED):
            digest = source_digest(instance.inputs[0].source)
        if first:
            instance.digest = digest
        asked = Asked(digest, self.options, self.job.request.replace, first)
        instance.decision = decide(asked, published, instance.listed, lambda: instance.held)
        review = instance.decision is Decision.REVIEW
        instance.metadata = read_metadata(self.store, instance.uids) if review else None

    def run(self) -> StudyForecast:
        """Measure every instance that would be listed, some of them with frames, until these tell of all others.

        Raises:
            StoreError: if the store, or that of the inputs, fails.
        """
        waiting = self.instances
        while waiting:
            side_by_side(self.at_once, self._decide, waiting)
            self._advance(waiting)
            while chosen := self._choose():
                self._make(chosen)
            waiting = [instance for instance in waiting if instance.inputs]
        lists = self.job.lists(self.study)
        pool, kept = self._pool(), [instance for instance in self.instances if instance.outcome]
        objects = Objects()
        for instance in kept:
            if instance.known is not None:
                objects += self._list(instance, complete_instance(instance.known, pool))
        written = [instance.known for instance in kept if instance.known and instance.outcome in WRITTEN]
        records = {self.study: lists.count_study(self.study, self.listed)} if self.listed else {}
        forecast = Forecast(
            inputs=self.inputs,
            objects=objects + lists.objects,
            sample=self.sample,
            studies=bool(kept),
            series=len({instance.uids.series for instance in kept}),
            frames=sum(known.frames for known in written),
            bytes_read=sum(known.source.size for known in written),
            examined=sum(instance.held.objects for instance in kept if instance.outcome in _MEASURED),
        )
        return StudyForecast(forecast, self.rejected, self._samples(), records)

    def _advance(self, instances: Sequence[_Instance]) -> None:
        """Settle the next input of every instance."""
        for instance in instances:
            if instance.decision not in _MEASURED:
                self._settle(instance, None)
        measured = [instance for instance in instances if instance.decision in _MEASURED]
        for instance, result in self._measure(measured, frames=False):
            self._settle(instance, result)

    def _measure(
        self, instances: Sequence[_Instance], *, frames: bool
    ) -> Iterator[tuple[_Instance, Measured | Rejected]]:
        """Each instance with what its next input comes to, or with `frames` the input that is known already."""
        tasks = [
            MeasureTask(
                instance.known.source if frames and instance.known else instance.inputs[0].source,
                instance.uids,
                self.options,
                frames,
                instance.metadata,
            )
            for instance in instances
        ]
        for index, result in self.job.measure(tasks):
            if isinstance(result, Rejected):
                self.rejected.append(result)
            yield instances[index], result

    def _settle(self, instance: _Instance, result: Measured | Rejected | None) -> None:
        """Count what becomes of the next input of an instance."""
        del instance.inputs[0]
        self.job.step()
        if isinstance(result, Rejected):
            return
        if instance.decision is Decision.REVIEW and result is not None:
            instance.decision = Decision.UNCHANGED if result.same else Decision.REBUILD
        instance.metadata = None
        self.inputs[instance.decision] += 1
        if instance.outcome is None:
            instance.outcome = instance.decision
            instance.known = result if instance.decision in LISTED else None

    def _choose(self) -> list[_Instance]:
        """The instances to make next: some of every series and kind that no sample tells of."""
        pool = self._pool()
        unknown: defaultdict[Profile, list[_Instance]] = defaultdict(list)
        for instance in self.instances:
            known = instance.known
            if known and known.frames and find_sample(pool, known) is None:
                unknown[instance.uids.series, known.kind].append(instance)
        return [alike[index] for alike in unknown.values() for index in choose_instances(len(alike))]

    def _make(self, instances: Sequence[_Instance]) -> None:
        """Make instances with frames; one that is rejected leaves its place to the inputs after it."""
        for instance, result in self._measure(instances, frames=True):
            self.sample["instances"] += 1
            if isinstance(result, Measured):
                self.sample["frames"] += result.made.frames
                instance.known = result
            elif instance.outcome is not None:
                self.sample["rejected"] += 1
                self.inputs[instance.outcome] -= 1
                instance.known = instance.outcome = None

    def _samples(self) -> list[Measured]:
        return [instance.known for instance in self.instances if instance.known and instance.known.made.frames]

    def _pool(self) -> Pool:
        """The samples to judge instances by: of this study, and of others."""
        pool = dict(self.others)
        for sample in self._samples():
            add_sample(pool, sample)
        return pool

    def _list(self, instance: _Instance, known: Measured) -> Objects:
        """Have an instance in the lists; its objects, if they would be written."""
        metadata = with_record(known.metadata, self._record(instance, known), known.notes)
        objects = known.objects
        thumbnail = objects.size[Kind.THUMBNAIL] if objects.count[Kind.THUMBNAIL] else 0
        listed = Listed(instance.outcome or instance.decision, metadata, known.made.rows, thumbnail)
        self.listed.setdefault(instance.uids.series, {})[instance.uids.instance] = listed
        if instance.outcome not in WRITTEN:
            return Objects()
        objects.add(Kind.METADATA, len(self.job.encode(dumps([metadata]))))
        return objects

    def _record(self, instance: _Instance, known: Measured) -> Record:
        """What the metadata of an instance would record: the same as before, if the same is written again."""
        options = describe_options(self.options)
        for before in (instance.published, instance.listed):
            if before and (before.digest, before.options) == (instance.digest, options):
                return before
        objects = known.objects
        stand_in = hashlib.sha256(instance.uids.instance.encode()).hexdigest()  # as long as the digest of the input
        promised = Holding(objects.count.total(), objects.size.total())
        return Record(instance.digest or f"sha256:{stand_in}", options, promised)
