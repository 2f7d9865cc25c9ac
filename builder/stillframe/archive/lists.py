"""The lists of a service, merged with what the store already holds (design: every list is a function of metadata).

Order keeps readers safe: a list is written after everything it names. Each list is read, merged and written on the
condition that nobody wrote it in between; what it is made from is read after it, so that the last of several jobs to
write a list has seen what the others published. `thumbnails` are kept in step in the same way.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from stillframe.archive import qido
from stillframe.archive.documents import (
    ROUNDS,
    derive_document,
    give_way,
    read_document,
    replace_object,
    update_document,
)
from stillframe.archive.frame_index import FrameIndex, indexed_instances, merge_frame_index
from stillframe.archive.holdings import committed_instances, read_metadata, unpublished
from stillframe.archive.record import Record, record_of
from stillframe.archive.study_list import merge_study_list
from stillframe.archive.thumbnails import listed_thumbnails
from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import (
    SERIES_UID,
    SOP_INSTANCE_UID,
    SYNTAX,
    JSONDataset,
    dumps,
    first_value,
    named_uids,
    rebase_bulk,
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


@dataclass(frozen=True, slots=True)
class PublishedInstance:
    """What the lists need of an instance: its metadata, and the rows of its frames if they are HTJ2K.

    Without `rows` (None) its frames are those that the frame index tells of already.
    """

    metadata: JSONDataset
    rows: tuple[FrameRow, ...] | None = ()


_PATIENT_ID: Final = "00100020"
_PATIENT_NAME: Final = "00100010"
# Words of other jobs that one update of the list of studies takes in.
_MOST_WORDS: Final = 200


def publish_series(
    store: Store, study: str, series: str, instances: Mapping[str, PublishedInstance], base_url: str = ""
) -> frozenset[str]:
    """Merge instances, by SOP Instance UID, into the documents of their series.

    Returns the instances whose thumbnails belonged to these before, as far as `thumbnails` tells.
    """
    # Some may have been deleted while they waited for their lists: before, and below, until they were written.
    present = frozenset(store.children(instances_key(study, series))) if instances else frozenset()
    new = {uid: rebase_bulk(item.metadata, f"instances/{uid}/") for uid, item in instances.items() if uid in present}
    rows = {uid: own for uid in new if (own := instances[uid].rows) is not None}
    shown: set[str] = set()

    def overtaken(listed: Iterable[str]) -> frozenset[str]:
        """Those of the instances that another job has replaced, and lists itself."""
        uids = [InstanceUIDs(study, series, uid) for uid in listed if uid in new]
        found = side_by_side(store.parallel, lambda uids: read_metadata(store, uids), uids)
        stored = {uid.instance: metadata and record_of(metadata) for uid, metadata in zip(uids, found, strict=True)}
        return frozenset(uid for uid, record in stored.items() if record != record_of(new[uid]))

    def merge_rows(index: FrameIndex | None) -> FrameIndex:
        replaced = overtaken(indexed_instances(index))
        return merge_frame_index(index, {uid: own for uid, own in rows.items() if uid not in replaced})

    def merge_metadata(metadata: list[JSONDataset] | None) -> list[JSONDataset]:
        shown.update(listed_thumbnails(metadata or ()))
        records = {text_value(item, SOP_INSTANCE_UID): record_of(item) for item in metadata or ()}
        replaced = overtaken(uid for uid, record in records.items() if uid in new and record != record_of(new[uid]))
        return qido.merge_instances(metadata or (), [item for uid, item in new.items() if uid not in replaced])

    # Before the metadata: an instance that the metadata name has its rows, so the metadata tell what is listed.
    update_document(store, frame_index_key(study, series), merge_rows)
    update_document(
        store, metadata_key(study, series), merge_metadata, lambda: committed_instances(store, study, series)
    )
    shown |= withdraw_instances(store, study, series, list(new))
    write_series_lists(store, study, series, base_url)
    return frozenset(shown)


def write_series_lists(store: Store, study: str, series: str, base_url: str = "", *, create: bool = True) -> None:
    """The list of the instances of a series, as its metadata have it. Without `create` one that is missing stays so."""
    key = instances_key(study, series)
    if create or store.head(key) is not None:
        derive_document(
            store,
            key,
            lambda: _metadata(store, study, series),
            lambda _, metadata: qido.instance_list(metadata, base_url, of_series=True),
        )


def withdraw_instances(store: Store, study: str, series: str, instances: Collection[str]) -> frozenset[str]:
    """Take those of some instances that are not published any more out of the metadata and frame index of a series.

    Returns what `publish_series` does.
    """
    gone = unpublished(store, study, series, instances)
    shown: set[str] = set()
    if not gone:
        return frozenset()

    def rest(metadata: list[JSONDataset] | None) -> list[JSONDataset]:
        shown.update(listed_thumbnails(metadata or ()))
        absent = unpublished(store, study, series, gone)  # read after the list, as everything it is made from
        return [item for item in metadata or () if text_value(item, SOP_INSTANCE_UID) not in absent]

    update_document(store, metadata_key(study, series), rest, lambda: committed_instances(store, study, series))
    update_document(
        store,
        frame_index_key(study, series),
        lambda old: merge_frame_index(old, {}, unpublished(store, study, series, gone)),
    )
    return frozenset(shown)


def publish_study(store: Store, study: str, series: Iterable[str], base_url: str = "") -> None:
    """Merge some of a study's series into the documents of the study."""
    touched = sorted(series)
    derive_document(
        store,
        metadata_key(study),
        lambda: {uid: _metadata(store, study, uid) for uid in touched},
        _merge_study,
        lambda _: _merge_study(None, _all_metadata(store, study)),
    )

    def write_list(key: str, make: Callable[[list[JSONDataset], str], list[JSONDataset]]) -> None:
        derive_document(store, key, lambda: _metadata(store, study), lambda _, metadata: make(metadata, base_url))

    write_list(study_series_key(study), qido.series_list)
    write_list(instances_key(study), qido.instance_list)


def _merge_study(
    existing: list[JSONDataset] | None, documents: Mapping[str, Collection[JSONDataset]]
) -> list[JSONDataset]:
    """What the documents of some series, by UID, say in place of what was said of them."""
    others = [item for item in existing or () if text_value(item, SERIES_UID) not in documents]
    new = [rebase_bulk(instance, f"series/{uid}/") for uid, document in documents.items() for instance in document]
    return qido.merge_instances(others, new)


def _all_metadata(store: Store, study: str) -> dict[str, list[JSONDataset]]:
    """The metadata of every series of a study that is there."""
    series = filter(is_uid, store.children(study_series_key(study)))
    return {uid: _metadata(store, study, uid) for uid in series}


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


def _study_records(store: Store, studies: Iterable[str], base_url: str) -> dict[str, JSONDataset | None]:
    def record(study: str) -> JSONDataset | None:
        return qido.study_record(_metadata(store, study), base_url)

    ordered = sorted(studies)
    return dict(zip(ordered, side_by_side(store.parallel, record, ordered), strict=True))


def _metadata(store: Store, study: str, series: str = "") -> list[JSONDataset]:
    metadata: list[JSONDataset] = read_document(store, metadata_key(study, series)) or []
    return metadata


def listed_instances(store: Store, study: str, series: str) -> dict[str, Record | None]:
    """The instances that the documents of a series name, of those with HTJ2K frames where rows do too.

    Each SOP Instance UID with the record given there: another than the instance's own if a job was killed between.
    """
    indexed = indexed_instances(read_document(store, frame_index_key(study, series)))
    named = ((text_value(item, SOP_INSTANCE_UID), item) for item in _metadata(store, study, series))
    return {uid: record_of(item) for uid, item in named if uid in indexed or first_value(item, SYNTAX) != HTJ2K_RPCL}


def published_patient(
    store: Store, study: str, replaced: Container[InstanceUIDs] = frozenset()
) -> tuple[str, str] | None:
    """Patient ID and name of a study that is published already and will not be replaced as a whole."""
    metadata = _metadata(store, study)
    if all(InstanceUIDs(*named_uids(instance)) in replaced for instance in metadata):
        return None
    return _all_text(metadata[0], _PATIENT_ID, "LO"), _all_text(metadata[0], _PATIENT_NAME, "PN")


def _all_text(dataset: JSONDataset, tag: str, vr: str) -> str:
    """Every value of an attribute as text, a backslash between them, as in the source; nothing if of another VR."""
    element = dataset.get(tag, {"vr": ""})
    if element["vr"] != vr:
        return ""
    return "\\".join(text_value({tag: element | {"Value": [value]}}, tag) for value in element.get("Value", ()))
