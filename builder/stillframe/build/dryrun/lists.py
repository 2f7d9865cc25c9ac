"""Which lists a build would write, and about how large they would be.

What becomes of the instances decides which; no list is made. Sizes follow from the entries of sampled instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain

from stillframe.archive.documents import read_document, read_summaries
from stillframe.archive.frame_index import merge_frame_index
from stillframe.archive.list_thumbnails import has_own_thumbnail, listed_thumbnails
from stillframe.archive.qido import base_url_of, merge_instances
from stillframe.archive.record import mark_of
from stillframe.archive.representative import series_candidates, study_candidates
from stillframe.archive.roots import Roots
from stillframe.build.dryrun.estimate import Encode, ListEntry, Measured, Objects, Pool, Sample, find_sample
from stillframe.dicom.json_model import SERIES_UID, JSONDataset, dumps, named_uids, text_value
from stillframe.jpeg_comment import comment_of
from stillframe.layout import (
    STUDIES,
    Kind,
    frame_index_key,
    instances_key,
    metadata_key,
    parse_key,
    study_series_key,
    thumbnail_key,
)
from stillframe.parallel import side_by_side
from stillframe.store.base import Store


class Change(IntEnum):
    """What happens to an instance in the lists; to a series or study happens the most of what its instances do."""

    NONE = 0
    OPTIONS = 1  # the same file with other options, which the metadata name
    REPLACED = 2
    NEW = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance that would be listed: what happens to it in the lists, what it comes to, its metadata then.

    `rewritten` says that its objects would be written anew.
    """

    change: Change
    measured: Measured
    metadata: JSONDataset
    rewritten: bool


type Changes = Sequence[Listed]


def count_lists(
    roots: Roots, base_url: str, encode: Encode, changes: Mapping[str, Mapping[str, Changes]], pool: Pool
) -> Objects:
    """The lists that would be written, below every root.

    `changes` are the instances to which something happens, by the studies and series that are listed or would be.

    Raises:
        StoreError: if the store fails.
    """

    def count_study(study: str) -> tuple[bytes | None, Objects]:
        lists = _Lists(roots.of(study), encode, pool)
        return lists.count_study(study, changes[study], roots.base_url(study, base_url)), lists.objects

    counted = dict(zip(changes, side_by_side(roots.store.parallel, count_study, changes), strict=True))
    total = sum((objects for _, objects in counted.values()), Objects())
    for store, studies in roots.grouped(changes):
        records = [record for study in studies if (record := counted[study][0]) is not None]
        new = list(filter(None, records))
        _Lists(store, encode, pool, total).count(STUDIES, new, len(new), changed=bool(records))
    return total


def _index_parts(entries: Sequence[ListEntry]) -> list[bytes]:
    """A frame index of the first frame, or of none, and what each further frame adds to it: its row, perhaps a UID."""
    rows = [(entry.instance_uid, index, row) for entry in entries for index, row in enumerate(entry.rows)]
    return [dumps(merge_frame_index(None, {uid: [row] for uid, _, row in rows[:1]}))] + [
        dumps([*(() if index else (uid, uid)), row.crc32, [part.prefix_length for part in row.resolutions]])
        for uid, index, row in rows[1:]
    ]


@dataclass(frozen=True, slots=True)
class _Lists:
    """Counts the lists below one service root in `objects`. Sizes are estimated from the samples in `pool`."""

    store: Store
    encode: Encode
    pool: Pool
    objects: Objects = field(default_factory=Objects)

    def count(self, key: str, parts: Sequence[bytes], count: int, *, changed: bool) -> None:
        """Count a list if it changes or is missing. `count` parts like those of a sample are put into it."""
        if not changed and self.store.head(key) is not None:
            return
        stored = self.store.get(key)
        data = stored.data if stored else b""
        before, first, whole = (len(self.encode(data + b",".join(some))) for some in ((), parts[:1], parts))
        each = (whole - first) / (len(parts) - 1) if len(parts) > 1 else first - before
        self.objects.add(parse_key(key).kind, round(first + each * (count - 1)) if count else before)

    def count_study(self, study: str, series: Mapping[str, Changes], base_url: str) -> bytes | None:
        """Count the lists of a study and of its series, whose records name the service root `base_url`.

        Returns what is like the record of a study that is new, nothing of one that changes, None if none does.
        """
        before = read_document(self.store, study_series_key(study)) or ()
        listed = {text_value(record, SERIES_UID) for record in before}
        moved = bool(before) and base_url_of(before) != base_url.rstrip("/")
        samples = {uid: self._sample(changes) for uid, changes in series.items()}
        for uid, changes in series.items():
            parts, indexed = _index_parts(samples[uid].entries), any(entry.rows for entry in samples[uid].entries)
            frames = sum(item.measured.frames for item in changes if item.change is Change.NEW) if indexed else 1
            changed = indexed and _greatest(changes) >= Change.REPLACED
            self.count(frame_index_key(study, uid), parts, frames, changed=changed)
            self._count_level((study, uid), samples[uid], changes, moved)
        together, changes = sum(samples.values(), Sample()), [*chain(*series.values())]
        self._count_level((study, ""), together, changes, moved)
        new = [sample.entries[0].record for uid, sample in samples.items() if sample.entries and uid not in listed]
        changed = moved or _greatest(changes) >= Change.REPLACED
        self.count(study_series_key(study), new, len(new), changed=changed)
        return (b"" if before or not new else new[0]) if changed else None

    def _sample(self, changes: Changes) -> Sample:
        """The sample to judge a series by: that of its middle instance, since the first is often unlike the others."""
        return (find_sample(self.pool, changes[len(changes) // 2].measured) if changes else None) or Sample()

    def _count_level(self, uids: tuple[str, str], sample: Sample, changes: Changes, moved: bool) -> None:
        """Count what a series has and, without its UID, a study: metadata, list of instances, thumbnails."""
        change, new = _greatest(changes), sum(item.change is Change.NEW for item in changes)
        fresh = change >= Change.REPLACED
        self.count(metadata_key(*uids), [entry.metadata for entry in sample.entries], new, changed=bool(change))
        self.count(instances_key(*uids), [entry.record for entry in sample.entries], new, changed=fresh or moved)
        drawn = [entry.thumbnail for entry in sample.entries if entry.thumbnail]
        for _ in range(self._thumbnails(uids, changes) if drawn or not sample.entries else 0):
            self.objects.add(Kind.THUMBNAIL, sum(drawn) // max(1, len(drawn)))

    def _thumbnails(self, uids: tuple[str, str], changes: Changes) -> int:
        """How many thumbnails that belong to the lists of a series or a study would be written."""
        own = {tuple(named_uids(item.metadata)): item for item in changes}
        before = read_summaries(self.store, metadata_key(*uids))
        metadata = merge_instances(before, (item.metadata for item in changes))

        def is_written(key: str, instance: JSONDataset) -> bool:
            item = own.get(tuple(named_uids(instance)))
            if item is not None and item.rewritten:
                return True
            stored = self.store.get(key)
            return stored is None or (comment_of(stored.data) != mark_of(instance) and not has_own_thumbnail(instance))

        candidates = study_candidates(metadata) if not uids[1] else series_candidates(metadata)
        keys = {thumbnail_key(*uids): candidate for candidate in candidates[:1]}
        if uids[1]:
            keys |= {thumbnail_key(*uids, uid): instance for uid, instance in listed_thumbnails(metadata).items()}
        return sum(is_written(key, instance) for key, instance in keys.items())


def _greatest(changes: Changes) -> Change:
    return max((item.change for item in changes), default=Change.NONE)
