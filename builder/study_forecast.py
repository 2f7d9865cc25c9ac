"""A study in a dry run: what would become of its inputs, which are made as samples, and what follows from these."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from builder.decide import LISTED, UNRECORDED, WRITTEN, Asked, Decision, decide, record_of
from builder.estimate import Measured, MeasureTask, Pool, Profile, Tally, add_tallies, choose_instances
from builder.forecast import Forecast, Sample
from builder.job import BuildRequest
from builder.jsonmodel import dumps
from builder.layout import InstanceUIDs, Kind, instances_key
from builder.list_sizes import Encode, ListCounter, Listed
from builder.model import Header, JSONDataset, Rejected
from builder.plan import SeriesPlan
from builder.provenance import Provenance, add_provenance
from builder.publish import listed_instances
from builder.published import Holding, full_record, held_in_series, options_record, read_published
from builder.requests import side_by_side
from builder.roots import Roots
from builder.source import source_digest

# What one study asks a store far away side by side.
_ASKED_AT_ONCE: Final = 8
# Decisions for which a build looks at the objects that are there.
_EXAMINED: Final = frozenset({Decision.REBUILD, Decision.REPLACE, Decision.RESUME, Decision.COMPARE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the studies of a dry run have in common.

    `measure` has tasks done and tells the index of each with its result, as they finish; `step` counts an input.
    """

    request: BuildRequest
    roots: Roots
    encode: Encode
    measure: Callable[[Sequence[MeasureTask]], Iterator[tuple[int, Measured | Rejected]]]
    step: Callable[[], None]

    def lists(self, study: str) -> ListCounter:
        """Counts the lists below the root of a study."""
        base_url = self.roots.base_url(study, self.request.options.base_url)
        return ListCounter(self.roots.of(study), base_url, self.encode)


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """What a dry run tells of one study; `records` are what the list of studies learns, by Study Instance UID."""

    forecast: Forecast
    rejected: Sequence[Rejected]
    samples: Sequence[Measured]
    records: Mapping[str, JSONDataset | None]


@dataclass(slots=True)
class _Series:
    """What the store has of a series."""

    listed: Mapping[str, Provenance | None]
    present: frozenset[str]
    held: Mapping[str, Holding]


@dataclass(slots=True)
class _Instance:
    """An instance under way: its inputs but those that are rejected, and what is known of the first of these."""

    uids: InstanceUIDs
    inputs: list[Header]
    series: _Series
    published: JSONDataset | None = None
    decision: Decision = Decision.PUBLISH
    digest: str = ""
    sampled: bool = False
    known: Measured | None = None

    def held(self) -> Holding:
        return self.series.held.get(self.uids.instance, Holding())


def forecast_study(job: Job, plans: Sequence[SeriesPlan], others: Pool | None) -> StudyForecast:
    """What would become of the series of a study. Some of its instances are made, or it is judged by those of others.

    Raises:
        StoreError: if the store, or that of the inputs, fails.
    """
    return _Study(job, plans, others).tell()


class _Study:
    """One study under way."""

    def __init__(self, job: Job, plans: Sequence[SeriesPlan], others: Pool | None) -> None:
        self.job = job
        self.options = job.request.options
        self.others = others
        self.study = plans[0].study
        self.store = job.roots.of(self.study)
        self.at_once = min(self.store.parallel, _ASKED_AT_ONCE)
        self.series = dict(
            zip((plan.series for plan in plans), side_by_side(self.at_once, self._open, plans), strict=True)
        )
        self.instances = [
            _Instance(InstanceUIDs(plan.study, plan.series, uid), list(inputs), self.series[plan.series])
            for plan in plans
            for uid, inputs in plan.instances.items()
        ]
        self.rejected: list[Rejected] = []
        self.inputs: Counter[Decision] = Counter()
        self.sample = Sample()

    def _open(self, plan: SeriesPlan) -> _Series:
        store, study, series = self.store, plan.study, plan.series
        present = frozenset(store.children(instances_key(study, series)))
        held = held_in_series(store, study, series) if present else {}
        return _Series(listed_instances(store, study, series), present, held)

    def tell(self) -> StudyForecast:
        """Measure every instance that would be listed, some of them with frames, until these tell of all others."""
        side_by_side(self.at_once, self._decide, self.instances)
        if self.others is None:
            self._choose_samples()
        waiting = self.instances
        while waiting:
            waiting = self._measure(waiting) or self._unknown()
        kept = [instance for instance in self.instances if instance.inputs]
        self._settle(kept)
        lists = self.job.lists(self.study)
        listed = self._listed(kept, lists)
        written = [item.known for item in kept if item.known is not None and item.decision in WRITTEN]
        record = lists.count_study(self.study, listed) if listed else None
        forecast = Forecast(
            inputs=self.inputs, objects=lists.objects, sample=self.sample,
            studies=bool(kept), series=len({instance.uids.series for instance in kept}),
            frames=sum(known.frames for known in written), bytes_read=sum(known.source.size for known in written),
            examined=sum(item.held().objects for item in kept if item.decision in _EXAMINED),
        )  # fmt: skip
        records = {self.study: record} if listed else {}
        return StudyForecast(forecast, self.rejected, self._samples(), records)

    def _decide(self, instance: _Instance) -> None:
        """What becomes of the first input of an instance."""
        uids, source = instance.uids, instance.inputs[0].source
        if uids.instance in instance.series.present:
            instance.published = read_published(self.store, uids)
        record = record_of(instance.published)
        needed = len(instance.inputs) > 1 or record not in (None, UNRECORDED)
        instance.digest = source_digest(source) if needed else ""
        asked = Asked(instance.digest, self.options, self.job.request.replace)
        instance.decision = decide(asked, record, instance.series.listed.get(uids.instance), instance.held)

    def _choose_samples(self) -> None:
        by_series: dict[str, list[_Instance]] = {}
        for instance in self.instances:
            if instance.decision in LISTED:
                by_series.setdefault(instance.uids.series, []).append(instance)
        for instances in by_series.values():
            for index in choose_instances(len(instances)):
                instances[index].sampled = True

    def _measure(self, instances: Sequence[_Instance]) -> list[_Instance]:
        """Measure the first inputs of those that would be listed; the instances that have another one if it fails."""
        measured = [instance for instance in instances if instance.decision in LISTED]
        tasks = [MeasureTask(item.inputs[0].source, item.uids, self.options, item.sampled) for item in measured]
        again = []
        for index, result in self.job.measure(tasks):
            instance = measured[index]
            instance.known = None
            if isinstance(result, Measured):
                instance.known = result
                self.sample += Sample(bool(result.made), result.made)
                continue
            self.sample += Sample(instance.sampled, 0, instance.sampled)
            self._reject(result)
            del instance.inputs[0]
            if instance.inputs:
                self._decide(instance)
                again.append(instance)
        return again

    def _reject(self, result: Rejected) -> None:
        self.rejected.append(result)
        self.job.step()

    def _samples(self) -> list[Measured]:
        return [instance.known for instance in self.instances if instance.known is not None and instance.known.made]

    def _pool(self) -> Pool:
        """The samples to judge instances by: of this study, or of others where it has none of its own."""
        pool = Pool(self.others)
        for sample in self._samples():
            pool.add(sample)
        return pool

    def _unknown(self) -> list[_Instance]:
        """An instance of every kind that no sample tells of, to become one."""
        pool = self._pool()
        found: dict[Profile, _Instance] = {}
        for instance in self.instances:
            known = instance.known
            if known is not None and known.frames and not known.made and pool.find(known) is None:
                instance.sampled = instance is found.setdefault(known.kind, instance)
        return list(found.values())

    def _settle(self, kept: Sequence[_Instance]) -> None:
        """Count what becomes of every input that is not rejected. Those to be compared are measured, too."""
        compared: list[MeasureTask] = []
        for instance in kept:
            for decision, header in zip(self._decisions(instance), instance.inputs, strict=True):
                if decision is Decision.COMPARE:
                    compared.append(MeasureTask(header.source, instance.uids, self.options))
                else:
                    self._count(decision)
        for _, result in self.job.measure(compared):
            if isinstance(result, Rejected):
                self._reject(result)
            else:
                self._count(Decision.COMPARE)

    def _count(self, decision: Decision) -> None:
        self.inputs[decision] += 1
        self.job.step()

    def _decisions(self, instance: _Instance) -> Iterator[Decision]:
        """What becomes of an instance's inputs: of the first, and of those that come once it is published."""
        yield instance.decision
        published = (instance.digest, "") if instance.decision in LISTED else record_of(instance.published)
        for header in instance.inputs[1:]:
            asked = Asked(source_digest(header.source), self.options, first=False)
            yield decide(asked, published, None, Holding)

    def _listed(self, kept: Sequence[_Instance], lists: ListCounter) -> dict[str, dict[str, Listed]]:
        """What the lists learn of every series that they name, or would; objects that would be written are counted."""
        pool = self._pool()
        listed: dict[str, dict[str, Listed]] = {uid: {} for uid, series in self.series.items() if series.listed}
        for instance in kept:
            if instance.known is None:
                continue
            known = pool.complete(instance.known)
            metadata = add_provenance(known.metadata, *self._record(instance, known), known.notes)
            thumbnail = known.of_image.get(Kind.THUMBNAIL, Tally())
            size = round(thumbnail.mean_size) if thumbnail.objects >= 0.5 else 0
            item = Listed(instance.decision, metadata, known.rows, size)
            listed.setdefault(instance.uids.series, {})[instance.uids.instance] = item
            if instance.decision in WRITTEN:
                own = Tally(1, len(self.job.encode(dumps([metadata]))))
                add_tallies(lists.objects, {**known.objects, Kind.METADATA: own})
        return listed

    def _record(self, instance: _Instance, known: Measured) -> Provenance:
        """What the metadata of an instance would record: the same as before, if only what is missing is written."""
        published, options = record_of(instance.published), options_record(self.options)
        if published is not None and instance.decision in (Decision.RESUME, Decision.REBUILD):
            if instance.decision is Decision.RESUME or published[1].startswith(f"{options};objects="):
                return published
        total = sum(known.objects.values(), Tally())
        stand_in = hashlib.sha256(instance.uids.instance.encode()).hexdigest()  # as long as the digest of the input
        return instance.digest or stand_in, full_record(self.options, round(total.objects), round(total.size))
