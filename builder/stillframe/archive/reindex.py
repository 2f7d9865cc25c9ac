"""Every list of an archive made anew from what is stored: the metadata of instances, and their frames.

A list is read before the store is looked through, and written on the condition that it is the same still. So an
instance that a job publishes meanwhile is never dropped: its job lists it after it is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, Final

from stillframe import __version__
from stillframe.archive.documents import ROUNDS, Before, read_summaries
from stillframe.archive.drawing import Draw, draw_here
from stillframe.archive.entries import join_lines
from stillframe.archive.frame_index import indexed_instances, merge_frame_index, parse_frame_index
from stillframe.archive.frame_rows import complete_rows
from stillframe.archive.holdings import StoredSeries, read_series
from stillframe.archive.list_thumbnails import listed_thumbnails, update_series_thumbnails, update_study_thumbnail
from stillframe.archive.lists import publish_studies, publish_study, write_series_lists
from stillframe.archive.qido import sort_instances
from stillframe.archive.roots import find_roots
from stillframe.archive.study_list import listed_studies
from stillframe.dicom.json_model import SERIES_UID, SOP_INSTANCE_UID, dumps, text_value
from stillframe.dicom.uids import InstanceUIDs, is_uid
from stillframe.errors import PreconditionFailed, StoreError, UsageError
from stillframe.layout import (
    STUDIES,
    frame_index_key,
    instance_key,
    instances_key,
    metadata_key,
    study_series_key,
    thumbnail_key,
)
from stillframe.progress import Progress
from stillframe.store.base import Store

# Studies whose records are put into the list of studies at one stroke.
_STUDY_BATCH: Final = 200


@dataclass(slots=True, kw_only=True)
class IndexReport:
    """What is listed. `left` says why an instance is not, by the key of what is there of it.

    `seconds` is elapsed time.
    """

    studies: int = 0
    series: int = 0
    instances: int = 0
    roots: int = 0
    left: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to a file; `docs/reference/report.md` describes it."""
        return {
            "version": 1,
            "stillframe": __version__,
            "command": "index",
            "summary": {
                "studies": self.studies,
                "series": self.series,
                "instances": self.instances,
                "roots": self.roots,
                "notListed": len(self.left),
                "seconds": round(self.seconds, 3),
            },
            "notListed": [{"key": key, "reason": reason} for key, reason in sorted(self.left.items())],
        }


def index_archive(store: Store, base_url: str, progress: Progress, draw: Draw = draw_here) -> IndexReport:
    """Write every list of an archive anew, in each of its roots, one series at a time.

    Args:
        store: the archive.
        base_url: URL of the service root, for RetrieveURLs; the name of a study's own root is put after it.
        progress: is told of every study.
        draw: draws thumbnails that belong to lists.

    Raises:
        UsageError: if there is no archive.
        StoreError: if the store fails.
    """
    started = time.monotonic()
    report = IndexReport()
    roots = list(_roots(store))
    if not roots:
        raise UsageError("no archive: neither a list of studies, nor studies, nor roots of unlisted ones")
    for name in roots:
        root = store.below(name) if name else store
        url = f"{base_url.rstrip('/')}/{name}" if base_url and name else base_url
        report.roots += bool(name)
        _Indexing(store=root, name=name, base_url=url, draw=draw, report=report).run(progress)
    store.sync()
    report.seconds = time.monotonic() - started
    return report


def _roots(store: Store) -> Iterator[str]:
    """The names of the roots: empty for the archive's own."""
    if store.head(STUDIES) is not None or any(True for _ in store.children(STUDIES)):
        yield ""
    for name in find_roots(store):
        if any(True for _ in store.below(name).list("")):  # some stores show folders without objects
            yield name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Indexing:
    """The lists of one root under way; `name` is that of the root, `base_url` its URL."""

    store: Store
    name: str
    base_url: str
    draw: Draw
    report: IndexReport

    def run(self, progress: Progress) -> None:
        """The lists of the studies below the root first, then the list of studies."""
        store, report = self.store, self.report
        stored = set(_uids(store, STUDIES))
        progress.stage("unlisted study" if self.name else "studies", len(stored))  # its name is a secret
        for study in sorted(stored):
            report.studies += self._index_study(study)
            progress.step()
        listed = store.get(STUDIES)
        named = listed_studies(listed.data) if listed else set[str]()
        del listed
        for batch in batched(sorted(stored | named), _STUDY_BATCH) if stored | named else [()]:
            publish_studies(store, batch, self.base_url)

    def _index_study(self, study: str) -> bool:
        """All documents of a study; whether anything of it is published."""
        report = self.report
        for series in sorted(_uids(self.store, study_series_key(study))):
            stored = index_series(self.store, study, series, self.base_url, self.draw)
            report.series += bool(stored.published)
            report.instances += len(stored.published)
            for instance, reason in stored.left.items():
                key = instance_key(InstanceUIDs(study, series, instance))
                report.left[f"{self.name}/{key}" if self.name else key] = reason
        return settle_study(self.store, study, self.base_url, self.draw)


def _uids(store: Store, resource: str) -> Iterator[str]:
    """The UIDs that stand next below a resource; strangers' names are passed over."""
    return (name for name in store.children(resource) if is_uid(name))


def index_series(store: Store, study: str, series: str, base_url: str, draw: Draw = draw_here) -> StoredSeries:
    """Make the documents of a series those of what is published of it; without any, they go.

    Raises:
        StoreError: if the store fails, or others keep changing the documents.
    """
    below = (instances_key(study, series), thumbnail_key(study, series), frame_index_key(study, series))
    for _ in range(ROUNDS):
        try:
            stored, known = _index_series(store, study, series)
        except PreconditionFailed:
            continue
        write_series_lists(store, study, series, base_url, create=bool(stored.published))
        update_series_thumbnails(store, study, series, known, draw)
        if stored.published:
            return stored
        _drop_empty(store, (*below, metadata_key(study, series)))
        if not read_series(store, study, series).published:
            return stored
    raise StoreError(f"{study} {series} changed {ROUNDS} times while it was being indexed")


def _index_series(store: Store, study: str, series: str) -> tuple[StoredSeries, frozenset[str]]:
    """The frame index and the metadata of a series; also the instances that may have a thumbnail.

    Raises:
        PreconditionFailed: if another job changed one of them meanwhile.
    """
    before_index = Before(store, frame_index_key(study, series))
    before = Before(store, metadata_key(study, series))
    existing = parse_frame_index(before_index.take() or b"") or {}
    entries = before.take_entries()
    shown = listed_thumbnails(entries.summaries if entries else ())
    del entries
    stored = read_series(store, study, series)
    kept, rows = complete_rows(store, stored, existing)
    index = merge_frame_index(existing, rows, frozenset(indexed_instances(existing)) - kept - rows.keys())
    if stored.published or before_index.is_there:
        before_index.replace(dumps(index))
    if stored.published or before.is_there:
        published = sort_instances(stored.published.values())
        lines = (stored.lines.line(text_value(item, SOP_INSTANCE_UID)) for item in published)
        before.replace(join_lines(lines), published)
    return stored, stored.thumbnails | shown.keys()


def settle_study(store: Store, study: str, base_url: str, draw: Draw = draw_here) -> bool:
    """Make the documents of a study those of its series; without any instance they go. Whether it has one.

    Raises:
        StoreError: if the store fails, or others keep changing the documents.
    """
    # That from which the others follow comes last.
    documents = (instances_key(study), thumbnail_key(study), study_series_key(study), metadata_key(study))
    for _ in range(ROUNDS):
        named = {text_value(item, SERIES_UID) for item in read_summaries(store, metadata_key(study))}
        series = sorted({*_uids(store, study_series_key(study)), *named})
        published = any(read_summaries(store, metadata_key(study, uid)) for uid in series)
        if published or any(store.head(key) is not None for key in documents):
            publish_study(store, study, series, base_url)
            update_study_thumbnail(store, study, draw)
        if read_summaries(store, metadata_key(study)):
            return True
        _drop_empty(store, documents)
        if not any(read_summaries(store, metadata_key(study, uid)) for uid in _uids(store, study_series_key(study))):
            return False
    raise StoreError(f"{study} changed {ROUNDS} times while it was being indexed")


_EMPTY: Final = (dumps([]), dumps(merge_frame_index(None, {})))


def _drop_empty(store: Store, keys: Iterable[str]) -> None:
    """Remove documents that say nothing. Another job may just have filled one: whoever removes it looks after that."""
    for key in keys:
        stored = store.get(key)
        if stored is not None and stored.data in _EMPTY:
            store.delete(key)
