"""What a store holds of a series: which of its instances are published whole, and the rows of their frames."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from builder.errors import CodecError, CodestreamError
from builder.jsonmodel import SYNTAX, first_value, named_uids, parse_datasets
from builder.layout import HTJ2K_RPCL, InstanceUIDs, Kind, instances_key, metadata_key, parse_key
from builder.model import FrameRow, JSONDataset
from builder.parallel import side_by_side
from builder.provenance import holder_of, provenance
from builder.published import Holding, promised_frames, promised_holding
from builder.store import Store

_ROWS: Final = "00280010"
_COLUMNS: Final = "00280011"


@dataclass(slots=True)
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
    held: dict[str, Holding] = defaultdict(Holding)
    frames: dict[str, dict[int, int]] = defaultdict(dict)
    for key, size in store.list(f"{instances_key(study, series)}/"):
        parsed = parse_key(key)
        if not parsed.instance:
            continue
        before = held[parsed.instance]
        if parsed.kind is not Kind.METADATA:
            held[parsed.instance] = Holding(before.objects + 1, before.size + size)
        if parsed.kind is Kind.FRAME:
            frames[parsed.instance][parsed.frame_number] = size
    found = StoredSeries(study, series)

    def read(instance: str) -> JSONDataset | str:
        return _committed(store, InstanceUIDs(study, series, instance), held[instance])

    instances = sorted(held)
    for instance, metadata in zip(instances, side_by_side(store.parallel, read, instances), strict=True):
        if isinstance(metadata, str):
            found.left[instance] = metadata
        else:
            found.published[instance] = metadata
            found.frames[instance] = frames[instance]
    return found


def _committed(store: Store, uids: InstanceUIDs, held: Holding) -> JSONDataset | str:
    """The metadata of an instance that is published whole, or why it is not."""
    stored = store.get(metadata_key(uids.study, uids.series, uids.instance))
    if stored is None:
        return "its metadata are missing"
    datasets = parse_datasets(stored.data)
    if datasets and holder_of(datasets[0]):
        return "it is being written, or was when a job ended"
    if not datasets or InstanceUIDs(*named_uids(datasets[0])) != uids:
        return "its metadata are damaged"
    record = provenance(datasets[0])
    if record is None:
        return "it was given up by a build, or half deleted"
    promised = promised_holding(record[1])
    if promised != held:
        objects = f"{promised.objects} objects of {promised.size} bytes" if promised else "nothing"
        return f"{held.objects} objects of {held.size} bytes are there, its metadata promise {objects}"
    return datasets[0]


def frame_rows(
    store: Store, found: StoredSeries, index: Mapping[str, Any]
) -> tuple[frozenset[str], dict[str, tuple[FrameRow, ...]]]:
    """The instances whose rows in a frame index are right, and the rows of the others, from the frames themselves.

    An instance whose frames turn out to be damaged is moved from those that are published to those that are not.
    """
    kept = frozenset(_valid_rows(found, index))
    syntax = {uid: first_value(metadata, SYNTAX) for uid, metadata in found.published.items()}
    missing = [uid for uid in found.published if uid not in kept and syntax[uid] == HTJ2K_RPCL]

    def read(instance: str) -> tuple[FrameRow, ...] | str:
        from builder.instance import read_rows  # it imports the codecs

        try:
            uids = InstanceUIDs(found.study, found.series, instance)
            return read_rows(store, uids, found.published[instance])
        except (CodecError, CodestreamError) as error:
            return f"its frames are damaged: {error}"

    rows = {}
    for instance, result in zip(missing, side_by_side(os.cpu_count() or 1, read, missing), strict=True):
        if isinstance(result, str):
            found.left[instance] = result
            del found.published[instance]
        else:
            rows[instance] = result
    return kept, rows


def _valid_rows(found: StoredSeries, index: Mapping[str, Any]) -> list[str]:
    """The published instances whose rows fit the stored frames: in size, number and the size of the object."""
    valid = []
    for group in index.get("groups", ()):
        last = group["levels"][-1] if group["levels"] else {}
        for uid, rows in group["instances"].items():
            metadata = found.published.get(uid)
            if metadata is None or first_value(metadata, SYNTAX) != HTJ2K_RPCL:
                continue
            size = {"decodeLevel": 0, "width": first_value(metadata, _COLUMNS), "height": first_value(metadata, _ROWS)}
            sizes = [found.frames[uid].get(number) for number in range(1, promised_frames(metadata) + 1)]
            if last == size and [row[-1] for row in rows] == sizes and all(row == sorted(row) for row in rows):
                valid.append(uid)
    return valid
