"""What a store already holds of an instance: read from its metadata, its commit record."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from builder import FORMAT_VERSION
from builder.claims import Lease, read_record
from builder.errors import ClaimLost
from builder.jsonmodel import NUMBER_OF_FRAMES, SYNTAX, first_value, named_uids, parse_datasets
from builder.layout import InstanceUIDs, Kind, instances_key, metadata_key, parse_key
from builder.model import BuildOptions, JSONDataset
from builder.provenance import UNKNOWN, provenance
from builder.requests import side_by_side
from builder.sop_classes import VIDEO_SYNTAXES
from builder.store import Store

_RECORD = re.compile(r"(.*);objects=(\d+);bytes=(\d+)")
_THUMBNAILS: Final = "thumbnails="


def read_published(store: Store, uids: InstanceUIDs) -> JSONDataset | None:
    """The published metadata of an instance, None if there are none or they are damaged: both are built anew."""
    stored = store.get(metadata_key(uids.study, uids.series, uids.instance))
    if stored is None:
        return None
    found = parse_datasets(stored.data)
    return found[0] if found and InstanceUIDs(*named_uids(found[0])) == uids else None


def promised_frames(metadata: JSONDataset) -> int:
    """How many frames the metadata of an instance promise; none of a video."""
    syntax = first_value(metadata, SYNTAX)
    if syntax is None or syntax in VIDEO_SYNTAXES:
        return 0
    return int(first_value(metadata, NUMBER_OF_FRAMES) or 1)


def has_thumbnail(metadata: JSONDataset) -> bool:
    """Whether an instance was published with a thumbnail: those with frames are, where the options asked for it."""
    record = provenance(metadata)
    return record is not None and f";{_THUMBNAILS}yes;" in record[1] and promised_frames(metadata) > 0


def options_record(options: BuildOptions) -> str:
    """The options that shape an instance's bytes, as its published metadata record them."""
    levels = ",".join(map(str, options.reduced))
    return (
        f"format={FORMAT_VERSION};reduced={levels};lossy={options.lossy};part10={options.part10}"
        f";rendered={options.rendered};{_THUMBNAILS}{'yes' if options.thumbnails else 'no'}"
    )


def full_record(options: BuildOptions, objects: int, size: int) -> str:
    """`options_record`, and the number and total size in bytes of the instance's objects beside its metadata."""
    return f"{options_record(options)};objects={objects};bytes={size}"


@dataclass(frozen=True, slots=True)
class Holding:
    """How many objects of an instance a store holds, its metadata aside, and their bytes."""

    objects: int = 0
    size: int = 0


def held_objects(store: Store, uids: InstanceUIDs) -> dict[str, int]:
    """Keys and sizes of the objects of an instance that a store holds, its metadata aside."""
    own = metadata_key(uids.study, uids.series, uids.instance)
    return {key: size for key, size in store.list(f"{uids.prefix}/") if key != own}


def held_in_series(store: Store, study: str, series: str) -> dict[str, Holding]:
    """What a store holds of each instance of a series."""
    held: dict[str, Holding] = {}
    for key, size in store.list(f"{instances_key(study, series)}/"):
        parsed = parse_key(key)
        if parsed.instance and parsed.kind is not Kind.METADATA:
            before = held.get(parsed.instance, Holding())
            held[parsed.instance] = Holding(before.objects + 1, before.size + size)
    return held


def promised_holding(record: str) -> Holding | None:
    """The objects that an instance was published with; None if its metadata record none."""
    match = _RECORD.fullmatch(record)
    return None if match is None else Holding(int(match[2]), int(match[3]))


def is_intact(held: Holding, record: str, options: BuildOptions) -> bool:
    """Whether a store holds what was published under the same options, to the number of objects and bytes."""
    match = _RECORD.fullmatch(record)
    return match is not None and match[1] == options_record(options) and held == promised_holding(record)


def unpublished(store: Store, study: str, series: str, instances: Collection[str]) -> frozenset[str]:
    """Those of some instances of a series that are not there, or whose metadata are not committed (any more)."""

    def check(instance: str) -> bool:
        stored = store.get(metadata_key(study, series, instance))
        if stored is None:
            return True
        if UNKNOWN.encode() not in stored.data:
            return False  # the common case, without parsing
        found = parse_datasets(stored.data)
        return not found or provenance(found[0]) is None

    results = side_by_side(store.parallel, check, instances)
    return frozenset(instance for instance, gone in zip(instances, results, strict=True) if gone)


def discard_instance(store: Store, uids: InstanceUIDs) -> None:
    """Remove what a dead worker left of an instance, unless its metadata had been published before."""
    record = read_record(store, uids)
    if record.metadata is None and record.abandoned:
        with suppress(ClaimLost), Lease(store, uids, record) as lease:
            store.delete_many(list(held_objects(store, uids)))
            lease.remove()
