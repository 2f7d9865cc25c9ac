"""Thumbnails that belong to lists: of series and studies, and of the instances that viewers ask for by themselves.

They follow from the metadata of the series and of the study, of which the summaries suffice (`entries`). Each says in a
comment what it was drawn from (`mark_of`), so that one which is right still is not drawn again. What they are made from
is read again after they were written, as with every list: the last of several jobs has seen what the others published.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from stillframe.archive.documents import ROUNDS, Version, give_way, read_versioned, replace_object
from stillframe.archive.drawing import Draw
from stillframe.archive.holdings import read_metadata
from stillframe.archive.record import mark_of, record_of
from stillframe.archive.representative import asked_for, series_candidates, study_candidates
from stillframe.dicom.json_model import SOP_INSTANCE_UID, JSONDataset, named_uids, text_value
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import PreconditionFailed, StoreError
from stillframe.jpeg_comment import comment_of
from stillframe.layout import metadata_key, thumbnail_key
from stillframe.parallel import side_by_side
from stillframe.store.base import Store

# Thumbnails of one series that are drawn side by side.
_AT_ONCE: Final = 4


def listed_thumbnails(metadata: Iterable[JSONDataset]) -> dict[str, JSONDataset]:
    """The instances of a series whose thumbnails belong to its lists, by SOP Instance UID."""
    return {
        text_value(instance, SOP_INSTANCE_UID): instance
        for instance in asked_for(metadata)
        if not has_own_thumbnail(instance)
    }


def update_series_thumbnails(store: Store, study: str, series: str, known: Collection[str], draw: Draw) -> None:
    """Bring the thumbnails of a series, and those of instances that belong to its lists, in step with its metadata.

    Args:
        store: the root of the study.
        study: its UID.
        series: its UID.
        known: SOP Instance UIDs of instances that may have such a thumbnail from before.
        draw: draws what is missing.
    """
    known = frozenset(known)
    for _ in range(ROUNDS):
        metadata, version = read_versioned(store, metadata_key(study, series))
        wanted = listed_thumbnails(metadata)
        at_once = max(store.parallel, _AT_ONCE)
        side_by_side(at_once, lambda instance: _update_own(store, instance, draw), wanted.values())
        others = {text_value(instance, SOP_INSTANCE_UID) for instance in metadata if not has_own_thumbnail(instance)}
        _remove(store, study, series, known & others - wanted.keys())
        known |= wanted.keys()
        after, version_after = read_versioned(store, metadata_key(study, series))
        if version_after == version or _marks(listed_thumbnails(after)) == _marks(wanted):
            break
    else:
        raise StoreError(f"{metadata_key(study, series)} changed {ROUNDS} times while its thumbnails were made")
    candidates = _followed(store, metadata_key(study, series), series_candidates)
    _update(store, thumbnail_key(study, series), candidates, draw)


def _marks(instances: Mapping[str, JSONDataset]) -> dict[str, str]:
    return {uid: mark_of(instance) for uid, instance in instances.items()}


def update_study_thumbnail(store: Store, study: str, draw: Draw) -> None:
    """Bring the thumbnail of a study in step with its metadata."""
    _update(store, thumbnail_key(study), _followed(store, metadata_key(study), study_candidates), draw)


def _followed(
    store: Store, key: str, choose: Callable[[Iterable[JSONDataset]], list[JSONDataset]]
) -> Callable[[], list[JSONDataset]]:
    """What is chosen of the summaries of a document; anew when another version of it is there."""
    known: list[JSONDataset] = []
    of: Version | None = None

    def candidates() -> list[JSONDataset]:
        nonlocal known, of
        metadata, version = read_versioned(store, key)
        if of is None or version != of:
            known, of = choose(metadata), version
        return known

    return candidates


def has_own_thumbnail(metadata: JSONDataset) -> bool:
    """Whether the thumbnail of an instance is its own, and none of the lists'."""
    record = record_of(metadata)
    return record is not None and record.has_thumbnail


def _remove(store: Store, study: str, series: str, instances: Iterable[str]) -> None:
    """Remove those of some thumbnails of instances that are there."""
    keys = [thumbnail_key(study, series, uid) for uid in sorted(instances)]
    there = side_by_side(store.parallel, lambda key: store.head(key) is not None, keys)
    store.delete_many([key for key, found in zip(keys, there, strict=True) if found])


def _update_own(store: Store, metadata: JSONDataset, draw: Draw) -> None:
    _update(store, thumbnail_key(*named_uids(metadata)), lambda: [metadata], draw)


def _update(store: Store, key: str, candidates: Callable[[], Iterable[JSONDataset]], draw: Draw) -> None:
    """Put the thumbnail of the first candidate that has one at a key; remove what is there if none has."""
    for attempt in range(ROUNDS):
        stored = store.get(key)
        # Another job may just be replacing one of the candidates.
        at_hand = {key: stored.data if stored else b""}
        pictures = (_picture(store, candidate, at_hand, draw) for candidate in candidates())
        wanted = next(filter(None, pictures), None)
        if wanted is None:
            if stored is None:
                return
            store.delete(key)
            continue  # another job may have put one there in between
        try:
            if not replace_object(store, key, wanted, stored):
                return
        except PreconditionFailed:
            give_way(store, attempt)
        # Once more: what it was drawn from may have been deleted meanwhile.
    raise StoreError(f"{key} changed {ROUNDS} times while it was being updated")


def _picture(store: Store, metadata: JSONDataset, at_hand: dict[str, bytes], draw: Draw) -> bytes | None:
    """The thumbnail of an instance: its own; else one that is stored, of itself or of its series, or a new one.

    `at_hand` are objects that were read already, by their keys.
    """
    study, series, instance = named_uids(metadata)
    own, mark = thumbnail_key(study, series, instance), mark_of(metadata)
    if has_own_thumbnail(metadata):
        stored = store.get(own)
        return None if stored is None else stored.data
    for key in sorted({*at_hand, own, thumbnail_key(study, series)}, key=lambda key: key not in at_hand):
        if key not in at_hand:
            stored = store.get(key)
            at_hand[key] = stored.data if stored else b""
        if mark and comment_of(at_hand[key]) == mark:
            return at_hand[key]
    uids, record = InstanceUIDs(study, series, instance), record_of(metadata)
    # Frames that another job is replacing are partly its own. It draws them when it lists them, or whoever comes after.
    whole = read_metadata(store, uids)
    if whole is None or record_of(whole) != record:
        return None
    picture = draw(store, whole)
    now = read_metadata(store, uids)
    return picture if now is not None and record_of(now) == record else None
