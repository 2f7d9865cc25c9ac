"""What a store holds of an instance and of a series: its objects, and whether what the metadata promise is there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from stillframe.archive.documents import read_document
from stillframe.archive.record import UNKNOWN, Holding, digest_of_metadata, digest_of_objects, holder_of, record_of
from stillframe.dicom.json_model import JSONDataset, named_uids, parse_datasets, rebase_bulk
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import Kind, instance_key, instances_key, metadata_key, parse_key
from stillframe.parallel import side_by_side
from stillframe.store.base import Store

_CHUNK_BYTES: Final = 16 << 20


@dataclass(slots=True)
class HeldInstance:
    """What a store holds of an instance: its metadata or not, and other objects. `frames` are their bytes by number."""

    has_metadata: bool = False
    holding: Holding = field(default_factory=Holding)
    frames: dict[int, int] = field(default_factory=dict)


def held_in_series(store: Store, study: str, series: str) -> dict[str, HeldInstance]:
    """What a store holds of each instance of a series, from one listing."""
    instances: dict[str, HeldInstance] = {}
    for key, size in store.list(f"{instances_key(study, series)}/"):
        parsed = parse_key(key)
        if not parsed.instance:
            continue
        instance = instances.setdefault(parsed.instance, HeldInstance())
        if parsed.kind is Kind.METADATA:
            instance.has_metadata = True
            continue
        instance.holding = Holding(instance.holding.objects + 1, instance.holding.size + size)
        if parsed.kind is Kind.FRAME:
            instance.frames[parsed.frame_number] = size
    return instances


def held_objects(store: Store, uids: InstanceUIDs) -> dict[str, int]:
    """Keys and sizes of the objects of an instance that a store holds, its metadata aside."""
    own = metadata_key(uids.study, uids.series, uids.instance)
    return {key: size for key, size in store.list(f"{instance_key(uids)}/") if key != own}


def digest_of_held(store: Store, uids: InstanceUIDs) -> str:
    """The digest of all objects of an instance that a store holds, as its record has it; they are read for that."""
    held = held_objects(store, uids)
    digests = dict(zip(held, side_by_side(store.parallel, lambda key: _digest(store, key), held), strict=True))
    metadata = metadata_key(uids.study, uids.series, uids.instance)
    return digest_of_objects(digests | {metadata: digest_of_metadata(read_metadata(store, uids) or {})})


def _digest(store: Store, key: str) -> bytes:
    digest, offset = hashlib.sha256(), 0
    while chunk := store.get_range(key, offset, _CHUNK_BYTES):
        digest.update(chunk)
        offset += len(chunk)
    return digest.digest()


def read_metadata(store: Store, uids: InstanceUIDs) -> JSONDataset | None:
    """The metadata of an instance, None if there are none or they are damaged: both are built anew."""
    return next(iter(read_document(store, metadata_key(uids.study, uids.series, uids.instance)) or ()), None)


def committed_instances(store: Store, study: str, series: str) -> list[JSONDataset]:
    """The metadata of every instance of a series whose commit stands, as the document of the series has them."""
    instances = [
        InstanceUIDs(study, series, uid)
        for uid, instance in held_in_series(store, study, series).items()
        if instance.has_metadata
    ]
    metadata = side_by_side(store.parallel, lambda uids: read_metadata(store, uids), instances)
    return [
        rebase_bulk(dataset, f"instances/{uids.instance}/")
        for uids, dataset in zip(instances, metadata, strict=True)
        if dataset is not None and record_of(dataset) is not None
    ]


def unpublished(store: Store, study: str, series: str, instances: Collection[str]) -> frozenset[str]:
    """Those of some instances of a series that are not there, or whose metadata are not committed (any more)."""

    def check(instance: str) -> bool:
        stored = store.get(metadata_key(study, series, instance))
        if stored is None:
            return True
        if UNKNOWN.encode() not in stored.data:
            return False  # the common case, without parsing
        datasets = parse_datasets(stored.data)
        return not datasets or record_of(datasets[0]) is None

    results = side_by_side(store.parallel, check, instances)
    return frozenset(instance for instance, gone in zip(instances, results, strict=True) if gone)


@dataclass(slots=True, kw_only=True)
class StoredSeries:
    """The metadata of the published instances of a series by SOP Instance UID, and why others of it are not.

    `frames` are the sizes in bytes of the published instances' frames, by number.
    """

    study: str
    series: str
    published: dict[str, JSONDataset] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    frames: dict[str, dict[int, int]] = field(default_factory=dict)


def read_series(store: Store, study: str, series: str) -> StoredSeries:
    """Look a series through: an instance is published if its metadata are committed and its objects are all there."""
    instances = held_in_series(store, study, series)
    stored = StoredSeries(study=study, series=series)

    def read(instance: str) -> JSONDataset | str:
        return _published_whole(store, InstanceUIDs(study, series, instance), instances[instance].holding)

    ordered = sorted(instances)
    for instance, metadata in zip(ordered, side_by_side(store.parallel, read, ordered), strict=True):
        if isinstance(metadata, str):
            stored.left[instance] = metadata
        else:
            stored.published[instance] = metadata
            stored.frames[instance] = instances[instance].frames
    return stored


def _published_whole(store: Store, uids: InstanceUIDs, holding: Holding) -> JSONDataset | str:
    """The metadata of an instance that is published whole, or why it is not."""
    stored = store.get(metadata_key(uids.study, uids.series, uids.instance))
    if stored is None:
        return "its metadata are missing"
    datasets = parse_datasets(stored.data)
    if datasets and holder_of(datasets[0]):
        return "it is being written, or was when a job ended"
    if not datasets or InstanceUIDs(*named_uids(datasets[0])) != uids:
        return "its metadata are damaged"
    record = record_of(datasets[0])
    if record is None:
        return "it was given up by a build, or half deleted"
    if record.promised != holding:
        promised = (
            f"{record.promised.objects} objects of {record.promised.size} bytes" if record.promised else "nothing"
        )
        return f"{holding.objects} objects of {holding.size} bytes are there, its metadata promise {promised}"
    return datasets[0]
