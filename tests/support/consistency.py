"""Whether an archive is whole as a reader meets it: no list names what is not there, at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from stillframe.archive.record import promised_frames
from stillframe.dicom.json_model import named_uids
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import (
    Kind,
    frame_index_key,
    frame_key,
    instances_key,
    metadata_key,
    parse_key,
    study_series_key,
)
from stillframe.store.base import Store
from tests.support.trees import objects


def check_consistency(store: Store) -> None:
    """See that every list of a store names only what is there."""
    assert list(missing_objects(objects(store))) == []


def missing_objects(held: Mapping[str, bytes]) -> Iterator[str]:
    """What the lists among some objects name that is not among them, each with the list that names it."""
    for key, data in held.items():
        yield from (f"{key} names {name}" for name in _named(key, data) if name not in held)
        for metadata, frame, size in _frames_of_index(key, data):
            # While frames are replaced the index tells of those that were there before.
            claimed = b"sha256:unknown" in held.get(metadata, b"")
            if not claimed and len(held.get(frame, b"")) != size:
                yield f"{key} names {frame} of {size} bytes"


# Most objects are the same at many moments of a build.


@lru_cache(maxsize=1000)
def _named(key: str, data: bytes) -> tuple[str, ...]:
    """What an object that is a list names."""
    place = parse_key(key)
    if place.kind is Kind.QUERY:
        return tuple(_named_by_query(key, json.loads(data)))
    if place.kind is Kind.METADATA and not place.instance:
        return tuple(_named_by_metadata(key, json.loads(data)))
    if place.kind is Kind.FRAME_INDEX:
        instances = [uid for group in json.loads(data)["groups"] for uid in group["instances"]]
        frames = (frame for _, frame, _ in _frames_of_index(key, data))
        return (*(metadata_key(place.study, place.series, uid) for uid in instances), *frames)
    return ()


@lru_cache(maxsize=1000)
def _frames_of_index(key: str, data: bytes) -> tuple[tuple[str, str, int], ...]:
    """If it is a frame index, its frames: the metadata of their instance, their key and size."""
    place = parse_key(key)
    if place.kind is not Kind.FRAME_INDEX:
        return ()
    return tuple(
        (metadata_key(*uids), frame_key(InstanceUIDs(*uids), number), row[-1])
        for group in json.loads(data)["groups"]
        for instance, rows in group["instances"].items()
        for uids in [(place.study, place.series, instance)]
        for number, row in enumerate(rows, 1)
    )


def _named_by_query(key: str, records: list[Any]) -> Iterator[str]:
    for record in records:
        study, series, instance = named_uids(record)
        if instance:
            yield metadata_key(study, series, instance)
        elif series:
            yield from (metadata_key(study, series), instances_key(study, series), frame_index_key(study, series))
        else:
            yield from (metadata_key(study), instances_key(study), study_series_key(study))


def _named_by_metadata(key: str, datasets: list[Any]) -> Iterator[str]:
    """The metadata, frames and bulk data of every instance. A URI is relative to the document (RFC 3986)."""
    folder = key.removesuffix("metadata")
    for dataset in datasets:
        uids = InstanceUIDs(*named_uids(dataset))
        yield metadata_key(uids.study, uids.series, uids.instance)
        yield from (frame_key(uids, number) for number in range(1, promised_frames(dataset) + 1))
        yield from (folder + uri for uri in _bulk_uris(dataset))


def _bulk_uris(dataset: Mapping[str, Any]) -> Iterator[str]:
    for element in dataset.values():
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from _bulk_uris(item)
