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
    Pool,
    Profile,
    Tally,
    add_tallies,
    choose_instances,
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
_MEASURED: Final = LISTED | {Decision.COMPARE}


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
    """

    uids: InstanceUIDs
    inputs: list[Header]
    held: Holding
    listed: Record | None
    present: bool
    published: Record | None = None
    sampled: bool = False
    decision: Decision = Decision.PUBLISH
    outcome: Decision | None = None
    digest: str = ""
    known: Measured | None = None


class StudyRun:
    """One study under way. Some of its instances are made, or it is judged by those of `others`."""

    def __init__(self, job: Job, plans: Sequence[SeriesPlan], others: Pool | None) -> None:
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
        at_once = min(self.store.parallel, _ASKED_AT_ONCE)
        self.instances = [*chain.from_iterable(side_by_side(at_once, self._open, plans))]
        side_by_side(at_once, self._decide, self.instances)
        if others is None:
            self._choose_samples()

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
                uids=InstanceUIDs(study, series, uid), inputs=list(inputs), held=held.get(uid, HeldInstance()).holding,
                listed=listed.get(uid), present=uid in present,
            )
            for uid, inputs in plan.instances.items()
        ]  # fmt: skip

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

    def _choose_samples(self) -> None:
        by_series: defaultdict[str, list[_Instance]] = defaultdict(list)
        for instance in self.instances:
            if instance.decision in LISTED:
                by_series[instance.uids.series].append(instance)
        for instances in by_series.values():
            for index in choose_instances(len(instances)):
                instances[index].sampled = True

    def run(self) -> StudyForecast:
        """Measure every instance that would be listed, some of them with frames, until these tell of all others.

        Raises:
            StoreError: if the store, or that of the inputs, fails.
        """
        waiting = self.instances
        while waiting:
            waiting = self._advance(waiting)
        while self._make_unknown():
            pass
        lists = self.job.lists(self.study)
        pool, kept = self._pool(), [instance for instance in self.instances if instance.outcome]
        for instance in kept:
            if instance.known is not None:
                self._list(instance, pool.complete(instance.known), lists.objects)
        written = [item.known for item in kept if item.known is not None and item.outcome in WRITTEN]
        records = {self.study: lists.count_study(self.study, self.listed)} if self.listed else {}
        forecast = Forecast(
            inputs=self.inputs, objects=lists.objects, sample=self.sample,
            studies=bool(kept), series=len({instance.uids.series for instance in kept}),
            frames=sum(known.frames for known in written), bytes_read=sum(known.source.size for known in written),
            examined=sum(instance.held.objects for instance in kept if instance.outcome in _MEASURED),
        )  # fmt: skip
        return StudyForecast(forecast, self.rejected, self._samples(), records)

    def _advance(self, instances: Sequence[_Instance]) -> list[_Instance]:
        """Settle the next input of every instance, and decide on the one after it; the instances that have one."""
        tasks: dict[int, MeasureTask] = {}
        for index, instance in enumerate(instances):
            if instance.decision in _MEASURED:
                frames = instance.sampled and instance.decision in LISTED
                tasks[index] = MeasureTask(instance.inputs[0].source, instance.uids, self.options, frames)
            else:
                self._settle(instance, None)
        for index, result in self._measure(tasks):
            self._settle(instances[index], result)
        left = [instance for instance in instances if instance.inputs]
        for instance in left:
            self._decide(instance)
        return left

    def _measure(self, tasks: Mapping[int, MeasureTask]) -> Iterator[tuple[int, Measured | Rejected]]:
        """Have tasks done; the key of each with its result."""
        keys = [*tasks]
        for index, result in self.job.measure([*tasks.values()]):
            frames = tasks[keys[index]].frames
            if isinstance(result, Rejected):
                self.rejected.append(result)
                self.sample.update(instances=frames, rejected=frames)
            elif result.made:
                self.sample.update(instances=1, frames=result.made)
            yield keys[index], result

    def _settle(self, instance: _Instance, result: Measured | Rejected | None) -> None:
        """Count what becomes of the next input of an instance."""
        del instance.inputs[0]
        self.job.step()
        if isinstance(result, Rejected):
            return
        self.inputs[instance.decision] += 1
        if instance.outcome is None:
            instance.outcome = instance.decision
            instance.known = result if instance.decision in LISTED else None

    def _samples(self) -> list[Measured]:
        return [instance.known for instance in self.instances if instance.known and instance.known.made]

    def _pool(self) -> Pool:
        """The samples to judge instances by: of this study, or of others where it has none of its own."""
        pool = Pool(self.others)
        for sample in self._samples():
            pool.add(sample)
        return pool

    def _make_unknown(self) -> bool:
        """Make an instance of every kind that no sample tells of; whether there were any."""
        pool = self._pool()
        unknown: dict[Profile, _Instance] = {}
        for instance in self.instances:
            known = instance.known
            if known and known.frames and not instance.sampled and pool.find(known) is None:
                unknown.setdefault(known.kind, instance)
        instances = [*unknown.values()]
        tasks = [
            MeasureTask(item.known.source, item.uids, self.options, frames=True) for item in instances if item.known
        ]
        for index, result in self._measure(dict(enumerate(tasks))):
            instance = instances[index]
            instance.sampled = True
            if isinstance(result, Measured):
                instance.known = result
            elif instance.outcome is not None:
                self.inputs[instance.outcome] -= 1
                instance.known = instance.outcome = None
        return bool(unknown)

    def _list(self, instance: _Instance, known: Measured, objects: dict[Kind, Tally]) -> None:
        """Have an instance in the lists; its objects are counted if they would be written."""
        metadata = with_record(known.metadata, self._record(instance, known), known.notes)
        thumbnail = known.of_image.get(Kind.THUMBNAIL, Tally())
        size = round(thumbnail.mean_size) if thumbnail.objects >= 0.5 else 0
        item = Listed(instance.outcome or instance.decision, metadata, known.rows, size)
        self.listed.setdefault(instance.uids.series, {})[instance.uids.instance] = item
        if instance.outcome in WRITTEN:
            own = Tally(1, len(self.job.encode(dumps([metadata]))))
            add_tallies(objects, {**known.objects, Kind.METADATA: own})

    def _record(self, instance: _Instance, known: Measured) -> Record:
        """What the metadata of an instance would record: the same as before, if the same is written again."""
        options = describe_options(self.options)
        for before in (instance.published, instance.listed):
            if before and (before.digest, before.options) == (instance.digest, options):
                return before
        total = sum(known.objects.values(), Tally())
        stand_in = hashlib.sha256(instance.uids.instance.encode()).hexdigest()  # as long as the digest of the input
        promised = Holding(round(total.objects), round(total.size))
        return Record(instance.digest or f"sha256:{stand_in}", options, promised)
