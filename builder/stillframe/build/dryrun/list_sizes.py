"""The lists that a build would write for a study: made of the metadata it would publish, counted if others are there.

They are functions of metadata, so they come out as a build makes them, but for what only the frames tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stillframe.archive import qido
from stillframe.archive.documents import read_document
from stillframe.archive.frame_index import indexed_instances, merge_frame_index
from stillframe.archive.record import record_of
from stillframe.archive.representative import series_candidates, study_candidates
from stillframe.archive.study_list import merge_study_list
from stillframe.build.decide import Decision
from stillframe.build.dryrun.estimate import Objects
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import SERIES_UID, JSONDataset, dumps, named_uids, rebase_bulk, text_value
from stillframe.layout import (
    STUDIES,
    frame_index_key,
    instances_key,
    is_json,
    metadata_key,
    parse_key,
    study_series_key,
    thumbnail_key,
)
from stillframe.store.base import Store

# The bytes of a JSON document as a store holds it.
type Encode = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance that would be listed anew; `thumbnail` is the size of the one made of it, 0 if there is none."""

    decision: Decision
    metadata: JSONDataset
    rows: tuple[FrameRow, ...]
    thumbnail: int


@dataclass(slots=True)
class ListCounter:
    """Counts the lists that would be written below one service root of the public URL `base_url`.

    Every method raises `StoreError` if the store fails.
    """

    store: Store
    base_url: str
    encode: Encode
    objects: Objects = field(default_factory=Objects)

    def count_study(self, study: str, series: Mapping[str, Mapping[str, Listed]]) -> JSONDataset | None:
        """Count the lists of a study, some series of which have instances listed anew; its record in the list of all.

        `series` maps Series Instance UIDs to SOP Instance UIDs to instances.
        """
        before = self._read(metadata_key(study))
        others = [item for item in before if text_value(item, SERIES_UID) not in series]
        new = [
            rebase_bulk(item, f"series/{uid}/")
            for uid, listed in series.items()
            for item in self._count_series(study, uid, listed)
        ]
        after = qido.merge_instances(others, new)
        self._update_metadata(metadata_key(study), before, after)
        fresh = {named_uids(item.metadata): item for listed in series.values() for item in listed.values()}
        self._update_thumbnail(thumbnail_key(study), study_candidates(after), fresh)
        self._update(study_series_key(study), dumps(qido.series_list(after, self.base_url)))
        self._update(instances_key(study), dumps(qido.instance_list(after, self.base_url)))
        return qido.study_record(after, self.base_url)

    def _count_series(self, study: str, series: str, listed: Mapping[str, Listed]) -> list[JSONDataset]:
        """Count the lists of a series; the metadata of its instances."""
        key, index_key = metadata_key(study, series), frame_index_key(study, series)
        before, index = self._read(key), read_document(self.store, index_key) or {}
        new = [rebase_bulk(item.metadata, f"instances/{uid}/") for uid, item in listed.items()]
        after = qido.merge_instances(before, new)
        # What is written or listed again has the same rows, unless other pixels take its place.
        same = {uid for uid, item in listed.items() if item.decision is not Decision.REPLACE and item.rows}
        same &= indexed_instances(index)
        rows = {uid: item.rows for uid, item in listed.items() if uid not in same}
        self._update(index_key, dumps(merge_frame_index(index, rows)))
        self._update_metadata(key, before, after)
        fresh = {named_uids(item.metadata): item for item in listed.values()}
        self._update_thumbnail(thumbnail_key(study, series), series_candidates(after), fresh)
        self._update(instances_key(study, series), dumps(qido.instance_list(after, self.base_url, of_series=True)))
        return after

    def count_studies(self, records: Mapping[str, JSONDataset | None]) -> None:
        """Count the list of studies with some records put in. One that is damaged counts as if these were all."""
        stored = self.store.get(STUDIES)
        self._update(STUDIES, merge_study_list(stored.data if stored else None, records, lambda: records))

    def _read(self, key: str) -> list[JSONDataset]:
        return read_document(self.store, key) or []

    def _write(self, key: str, size: int) -> None:
        self.objects.add(parse_key(key).kind, size)

    def _update(self, key: str, data: bytes) -> None:
        stored = self.store.get(key)
        if stored is None or stored.data != data:
            self._write(key, len(self.encode(data) if is_json(parse_key(key).kind) else data))

    def _update_metadata(self, key: str, before: list[JSONDataset], after: list[JSONDataset]) -> None:
        """Count metadata if instances are new, or of another origin: all else follows from that."""
        known, wanted = ({named_uids(item): record_of(item) for item in items} for items in (before, after))
        if not before or known != wanted:
            self._write(key, len(self.encode(dumps(after))))

    def _update_thumbnail(
        self, key: str, candidates: Iterable[JSONDataset], fresh: Mapping[tuple[str, str, str], Listed]
    ) -> None:
        """Count the copy of the first candidate's thumbnail, as `lists` makes it."""
        for uids in map(named_uids, candidates):
            made = fresh.get(uids)
            replaced = made is not None and made.decision is Decision.REPLACE
            stored = None if replaced else self.store.get(thumbnail_key(*uids))
            if stored is not None:
                return self._update(key, stored.data)
            if made is not None and made.thumbnail:
                return self._write(key, made.thumbnail)
        return None
