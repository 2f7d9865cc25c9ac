"""Whether the documents of a series are whole, and its list and thumbnails what follows: then there is nothing to do.

To look takes half the requests that it takes to make them, and most series of a job that runs again are so. Nothing is
written here, so nothing has to be read again: whoever changes the metadata meanwhile brings the others in step.
"""

from __future__ import annotations

from collections.abc import Sequence

from stillframe.archive import qido
from stillframe.archive.documents import read_summaries
from stillframe.archive.entries import encode_list
from stillframe.archive.frame_index import merge_frame_index, parse_frame_index
from stillframe.archive.list_thumbnails import has_own_thumbnail, listed_thumbnails
from stillframe.archive.record import mark_of
from stillframe.archive.representative import series_candidates
from stillframe.dicom.json_model import SOP_INSTANCE_UID, JSONDataset, dumps, named_uids, text_value
from stillframe.jpeg_comment import comment_of
from stillframe.layout import frame_index_key, instances_key, metadata_key, thumbnail_key
from stillframe.store.base import Store


def is_in_step(store: Store, study: str, series: str, thumbnails: frozenset[str], base_url: str = "") -> bool:
    """Whether nothing is to do for a series whose metadata stay as they are.

    A series of which nothing can be drawn counts as one where there is: that takes more than a look.

    Args:
        store: the root of the study.
        study: its UID.
        series: its UID.
        thumbnails: SOP Instance UIDs of the instances that have one.
        base_url: what stands before URLs in lists.

    Raises:
        StoreError: if the store fails.
    """
    summaries = read_summaries(store, metadata_key(study, series))
    if list(summaries) != qido.merge_instances(summaries, ()) or not _is_whole_index(store, study, series):
        return False
    stored = store.get(instances_key(study, series))
    if stored is None or stored.data != encode_list(qido.instance_list(summaries, base_url, of_series=True)):
        return False
    wanted = listed_thumbnails(summaries)
    if not _has_no_other(summaries, thumbnails - wanted.keys()):
        return False
    if not all(_shows(store, thumbnail_key(study, series, uid), item) for uid, item in wanted.items()):
        return False
    candidates = series_candidates(summaries)
    key = thumbnail_key(study, series)
    return _shows(store, key, candidates[0]) if candidates else store.get(key) is None


def _is_whole_index(store: Store, study: str, series: str) -> bool:
    """Whether the frame index of a series is there, and in the form that it is written in."""
    stored = store.get(frame_index_key(study, series))
    index = parse_frame_index(stored.data) if stored else None
    return stored is not None and index is not None and stored.data == dumps(merge_frame_index(index, {}))


def _has_no_other(summaries: Sequence[JSONDataset], thumbnails: frozenset[str]) -> bool:
    """Whether these thumbnails are the instances' own, not some that belong to the lists no more."""
    named = {text_value(item, SOP_INSTANCE_UID): item for item in summaries} if thumbnails else {}
    return all(uid not in named or has_own_thumbnail(named[uid]) for uid in thumbnails)


def _shows(store: Store, key: str, metadata: JSONDataset) -> bool:
    """Whether the thumbnail at a key is that of an instance."""
    stored = store.get(key)
    if stored is None:
        return False
    if has_own_thumbnail(metadata):
        own = store.get(thumbnail_key(*named_uids(metadata)))
        return own is not None and own.data == stored.data
    mark = mark_of(metadata)
    return bool(mark) and comment_of(stored.data) == mark
