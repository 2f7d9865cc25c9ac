"""A series in a dry run: what the store has of it, what would become of its inputs, what is known of its instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.estimate import Measured, Pool
from builder.job import BuildRequest
from builder.layout import InstanceUIDs, instances_key
from builder.model import Header
from builder.plan import SeriesPlan
from builder.prices import Requests
from builder.prospect import Judgement, Prospect, judge_input, source_digest
from builder.provenance import Provenance
from builder.publish import listed_instances
from builder.published import Holding, held_in_series, is_intact
from builder.rehearsal import Journal
from builder.roots import Roots


@dataclass(slots=True)
class SeriesState:
    """A series under way: what the store has of it, and what is known of its instances."""

    plan: SeriesPlan
    listed: Mapping[str, Provenance | None]
    held: Mapping[str, Holding]
    judged: dict[str, Judgement]
    digests: Mapping[str, tuple[str, ...]]
    sampled: bool
    waiting: int = 0
    surveyed: dict[str, Measured] = field(default_factory=dict)
    samples: dict[str, Measured] = field(default_factory=dict)

    def in_order(self, found: Mapping[str, Measured]) -> list[Measured]:
        """What was found in the order of the plan, whichever worker was first."""
        return [found[uid] for uid in self.plan.instances if uid in found]

    def pool(self) -> Pool:
        """The samples of the series."""
        pool = Pool()
        for sample in self.in_order(self.samples):
            pool.add(sample)
        return pool


class SeriesOpener:
    """Finds out what the store has of a series; several threads may ask at once."""

    def __init__(self, request: BuildRequest, roots: Roots, reads: Roots, journal: Journal) -> None:
        self.request = request
        self.roots = roots  # asking what a build asks: counted
        self.reads = reads  # looking at what is there: not what a build does
        self.journal = journal
        self.parallel = reads.store.parallel

    def open(self, plan: SeriesPlan, sampled: bool) -> SeriesState:
        """A series with what the store has of its instances; `sampled` says whether some of them are made.

        Raises:
            StoreError: if the store fails.
        """
        store, reads = self.roots.of(plan.study), self.reads.of(plan.study)
        listed = listed_instances(store, plan.study, plan.series)
        present = frozenset(reads.children(instances_key(plan.study, plan.series)))
        held: Mapping[str, Holding] = {}
        if listed:
            held = held_in_series(store, plan.study, plan.series)
        elif present:
            held = held_in_series(reads, plan.study, plan.series)
        records = ((held.get(uid, Holding()), listed.get(uid)) for uid in plan.instances)
        asked = sum(1 for holding, record in records if record and is_intact(holding, record[1], self.request.options))
        self.journal.count(Requests(get=asked))  # the metadata of those that may be unchanged
        digests = {
            uid: tuple(source_digest(header.source) for header in inputs)
            for uid, inputs in plan.instances.items()
            if len(inputs) > 1
        }
        series = SeriesState(plan, listed, held, {}, digests, sampled)
        for uid, inputs in plan.instances.items():
            series.judged[uid] = Judgement(Prospect.PUBLISH)
            if uid in present:
                series.judged[uid] = self.judge(series, InstanceUIDs(plan.study, plan.series, uid), inputs[0])
        return series

    def judge(self, series: SeriesState, uids: InstanceUIDs, header: Header) -> Judgement:
        """What would become of an input of an instance that is there; see `prospect.judge_input`."""
        holding = series.held.get(uids.instance, Holding())
        return judge_input(
            self.reads.of(uids.study), uids, header.source, self.request.options, holding,
            series.listed.get(uids.instance), replace=self.request.replace,
        )  # fmt: skip
