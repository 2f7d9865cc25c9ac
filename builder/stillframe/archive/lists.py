"""The lists of a service, merged with what the store already holds (design: every list is a function of metadata).

Order keeps readers safe: a list is written after everything it names. Each list is read, merged and written on the
condition that nobody wrote it in between; what it is made from is read after it, so that the last of several jobs to
write a list has seen what the others published. `thumbnails` are kept in step in the same way.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Container, Iterable, Mapping
from functools import partial
from itertools import compress, islice
from typing import Final, Protocol

from stillframe.archive import qido
from stillframe.archive.documents import (
    ROUNDS,
    Before,
    Version,
    derive_document,
    give_way,
    read_document,
    read_entries,
    read_summaries,
    read_versioned,
    replace_object,
    update_document,
    version_of,
)
from stillframe.archive.entries import (
    Entries,
    Line,
    Made,
    encode_list,
    join_lines,
    keep_entries,
    merge_entries,
    rebase_line,
)
from stillframe.archive.frame_index import FrameIndex, indexed_instances, merge_frame_index, parse_frame_index
from stillframe.archive.holdings import committed_instances, read_metadata, unpublished
from stillframe.archive.list_thumbnails import listed_thumbnails
from stillframe.archive.new_instances import NewInstances
from stillframe.archive.record import Record, record_of
from stillframe.archive.study_list import merge_study_list
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import (
    SERIES_UID,
    SOP_INSTANCE_UID,
    SYNTAX,
    JSONDataset,
    dumps,
    first_value,
    named_uids,
    text_value,
)
from stillframe.dicom.syntaxes import HTJ2K_RPCL
from stillframe.dicom.uids import InstanceUIDs, is_uid
from stillframe.errors import PreconditionFailed, StoreError
from stillframe.layout import (
    PENDING,
    STUDIES,
    frame_index_key,
    instances_key,
    metadata_key,
    pending_key,
    study_series_key,
)
from stillframe.parallel import side_by_side
from stillframe.store.base import Store

_PATIENT_ID: Final = "00100020"
_PATIENT_NAME: Final = "00100010"
# Words of other jobs that one update of the list of studies takes in.
_MOST_WORDS: Final = 200


def publish_series(
    store: Store, study: str, series: str, instances: NewInstances | None, base_url: str = ""
) -> frozenset[str]:
    """Merge instances, if there are any, into the documents of their series; what is damaged of these is made anew.

    Returns the instances whose thumbnails belonged to these before, as far as `thumbnails` tells.
    """
    instances = instances or NewInstances()
    # Some may have been deleted while they waited for their lists: before, and below, until they were written.
    present = frozenset(store.children(instances_key(study, series))) if instances else frozenset()
    new = instances.summaries(present)
    rows = {uid: own for uid in new if (own := instances.rows[uid]) is not None}
    shown: set[str] = set()

    def overtaken(listed: Iterable[str]) -> frozenset[str]:
        """Those of the instances that another job has replaced, and lists itself."""

        def is_other(uid: str) -> bool:
            stored = read_metadata(store, InstanceUIDs(study, series, uid))
            return (record_of(stored) if stored else None) != record_of(new[uid])

        uids = [uid for uid in listed if uid in new]
        return frozenset(compress(uids, side_by_side(store.parallel, is_other, uids)))

    def merge_rows(before: Before) -> Made:
        index = parse_frame_index(before.take() or b"")
        replaced = overtaken(indexed_instances(index))
        return _index_of(index, {uid: own for uid, own in rows.items() if uid not in replaced})

    def merge_metadata(before: Before) -> Made:
        existing = _series_entries(store, study, series, before)
        shown.update(listed_thumbnails(existing.summaries))
        records = {text_value(item, SOP_INSTANCE_UID): record_of(item) for item in existing.summaries}
        replaced = overtaken(uid for uid, record in records.items() if uid in new and record != record_of(new[uid]))
        added = {uid: summary for uid, summary in new.items() if uid not in replaced}
        others = keep_entries(existing, lambda item: text_value(item, SOP_INSTANCE_UID) not in added)
        del existing  # it may be long, and is replaced as a whole where all is built anew
        return merge_entries(others, added.values(), lambda item: instances.line(text_value(item, SOP_INSTANCE_UID)))

    # Before the metadata: an instance that the metadata name has its rows, so the metadata tell what is listed.
    update_document(store, frame_index_key(study, series), merge_rows)
    update_document(store, metadata_key(study, series), merge_metadata)
    shown |= withdraw_instances(store, study, series, list(new))
    write_series_lists(store, study, series, base_url)
    return frozenset(shown)


def _index_of(
    index: FrameIndex | None, rows: Mapping[str, tuple[FrameRow, ...]], gone: frozenset[str] = frozenset()
) -> Made:
    return Made(dumps(merge_frame_index(index, rows, gone)))


def _series_entries(store: Store, study: str, series: str, before: Before) -> Entries:
    """The entries of the metadata of a series as they were; if these are damaged, as its instances have them."""
    entries = before.take_entries()
    if entries is None and before.is_there:
        return committed_instances(store, study, series)
    return entries or Entries()


def write_series_lists(store: Store, study: str, series: str, base_url: str = "", *, create: bool = True) -> None:
    """The list of the instances of a series, as its metadata have it. Without `create` one that is missing stays so."""
    key = instances_key(study, series)
    if create or store.head(key) is not None:
        _derive_list(store, key, metadata_key(study, series), partial(qido.instance_list, of_series=True), base_url)


class _MakeList(Protocol):
    def __call__(self, metadata: Iterable[JSONDataset], base_url: str, /) -> list[JSONDataset]: ...


def _derive_list(store: Store, key: str, metadata: str, make: _MakeList, base_url: str) -> None:
    """A list that follows from the metadata of a series or a study, which are at the key `metadata`."""

    def derive(_: Before) -> tuple[Made, Version | None]:
        summaries, version = read_versioned(store, metadata)
        return Made(encode_list(make(summaries, base_url))), version

    derive_document(store, key, derive, lambda: version_of(store, metadata))


def withdraw_instances(store: Store, study: str, series: str, instances: Collection[str]) -> frozenset[str]:
    """Take those of some instances that are not published any more out of the metadata and frame index of a series.

    Returns what `publish_series` does.
    """
    gone = unpublished(store, study, series, instances)
    shown: set[str] = set()
    if not gone:
        return frozenset()

    def rest(before: Before) -> Made:
        existing = _series_entries(store, study, series, before)
        shown.update(listed_thumbnails(existing.summaries))
        absent = unpublished(store, study, series, gone)  # read after the list, as everything it is made from
        kept = keep_entries(existing, lambda item: text_value(item, SOP_INSTANCE_UID) not in absent)
        return Made(join_lines(kept.lines), kept.summaries)

    def rest_of_rows(before: Before) -> Made:
        index = parse_frame_index(before.take() or b"")
        return _index_of(index, {}, unpublished(store, study, series, gone))

    update_document(store, metadata_key(study, series), rest)
    update_document(store, frame_index_key(study, series), rest_of_rows)
    return frozenset(shown)


def publish_study(store: Store, study: str, series: Iterable[str], base_url: str = "") -> None:
    """Merge some of a study's series into the documents of the study."""
    touched = sorted(series)
    derive_document(
        store,
        metadata_key(study),
        lambda before: _merge_study(store, study, touched, before),
        lambda: {uid: version_of(store, metadata_key(study, uid)) for uid in touched},
    )
    _derive_list(store, study_series_key(study), metadata_key(study), qido.series_list, base_url)
    _derive_list(store, instances_key(study), metadata_key(study), qido.instance_list, base_url)


def _merge_study(
    store: Store, study: str, touched: Collection[str], before: Before
) -> tuple[Made, dict[str, Version | None]]:
    """What the documents of some series say in place of what was said of them; also the versions of these."""
    existing = before.take_entries()
    series = frozenset(touched)
    if existing is None and before.is_there:  # damaged: all is made anew
        series |= frozenset(filter(is_uid, store.children(study_series_key(study))))
    others = keep_entries(existing or Entries(), lambda item: text_value(item, SERIES_UID) not in series)
    del existing
    lines: dict[tuple[str, str, str], Line] = {}
    new: list[JSONDataset] = []

    def read(uid: str) -> Version | None:
        entries, version = read_entries(store, metadata_key(study, uid))
        lines.update(zip(map(named_uids, entries.summaries), entries.lines, strict=True))
        new.extend(entries.summaries)
        return version

    versions = {uid: read(uid) for uid in sorted(series)}
    # Series after series: the document of each is let go when its last line is in that of the study.
    made = merge_entries(
        others, new, lambda item: rebase_line(lines.pop(named_uids(item)), f"series/{text_value(item, SERIES_UID)}/")
    )
    return made, {uid: versions[uid] for uid in touched}


def publish_studies(store: Store, studies: Iterable[str], base_url: str = "") -> None:
    """Make the records of some studies in the list of all anew, from their metadata. A study without any has none.

    Where the store is far away, a job that was too late leaves word of its studies, and whoever writes the list next
    takes them in. So nobody waits for as many rounds as there are jobs.
    """
    own = set(studies)
    word = ""
    for attempt in range(ROUNDS):
        stored = store.get(STUDIES)
        asked = _asked_for(store) if store.parallel > 1 else {}
        records = _study_records(store, own.union(*asked.values()), base_url)
        merged = merge_study_list(
            stored.data if stored else None,
            records,
            lambda: _study_records(store, filter(is_uid, store.children(STUDIES)), base_url),
        )
        try:
            changed = replace_object(store, STUDIES, merged, stored)
        except PreconditionFailed:
            if store.parallel > 1 and own and not word:
                word = pending_key(uuid.uuid4().hex)
                store.put(word, dumps(sorted(own)))
            give_way(store, attempt)
            continue
        store.delete_many({*asked, word} - {""})
        if not changed or _study_records(store, own, base_url) == {study: records[study] for study in own}:
            return  # else the documents that they follow from were changed by who then found nothing to change here
    raise StoreError(f"{STUDIES} changed {ROUNDS} times while it was being updated")


def _asked_for(store: Store) -> dict[str, list[str]]:
    """What other jobs ask for: the studies of each word that was left, by its key."""
    asked: dict[str, list[str]] = {}
    for key, _ in islice(store.list(PENDING), _MOST_WORDS):
        stored = store.get(key)
        text = stored.data.decode("latin-1") if stored else ""
        asked[key] = list(filter(is_uid, re.findall(r"[0-9.]+", text)))
    return asked


def _study_records(store: Store, studies: Iterable[str], base_url: str) -> dict[str, bytes | None]:
    """The records of some studies as lines, None of one that is not published."""

    def record(study: str) -> bytes | None:
        found = qido.study_record(read_summaries(store, metadata_key(study)), base_url)
        return dumps(found) if found else None

    ordered = sorted(studies)
    return dict(zip(ordered, side_by_side(store.parallel, record, ordered), strict=True))


def listed_instances(store: Store, study: str, series: str) -> dict[str, Record | None]:
    """The instances that the documents of a series name, of those with HTJ2K frames where rows do too.

    Each SOP Instance UID with the record given there: another than the instance's own if a job was killed between.
    """
    indexed = indexed_instances(read_document(store, frame_index_key(study, series)))
    summaries = read_summaries(store, metadata_key(study, series))
    named = ((text_value(item, SOP_INSTANCE_UID), item) for item in summaries)
    return {uid: record_of(item) for uid, item in named if uid in indexed or first_value(item, SYNTAX) != HTJ2K_RPCL}


def published_patient(
    store: Store, study: str, replaced: Container[InstanceUIDs] = frozenset()
) -> tuple[str, str] | None:
    """Patient ID and name of a study that is published already and will not be replaced as a whole."""
    summaries = read_summaries(store, metadata_key(study))
    if all(InstanceUIDs(*named_uids(instance)) in replaced for instance in summaries):
        return None
    return _all_text(summaries[0], _PATIENT_ID, "LO"), _all_text(summaries[0], _PATIENT_NAME, "PN")


def _all_text(dataset: JSONDataset, tag: str, vr: str) -> str:
    """Every value of an attribute as text, a backslash between them, as in the source; nothing if of another VR."""
    element = dataset.get(tag, {"vr": ""})
    if element["vr"] != vr:
        return ""
    return "\\".join(text_value({tag: element | {"Value": [value]}}, tag) for value in element.get("Value", ()))
