"""What a store holds of an instance and of a series: its objects, and whether what the metadata promise is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import batched
from typing import Final

from stillframe.archive.documents import read_document
from stillframe.archive.entries import Entries, Line, summary_of
from stillframe.archive.new_instances import NewInstances
from stillframe.archive.record import (
    UNKNOWN,
    Holding,
    Record,
    contents_digest,
    digest_of_metadata,
    digest_of_objects,
    holder_of,
    record_of,
)
from stillframe.dicom.json_model import JSONDataset, dumps, named_uids, parse_datasets, rebase_bulk
from stillframe.dicom.uids import InstanceUIDs
from stillframe.digests import ALGORITHM, new_digest
from stillframe.layout import Kind, instance_key, instances_key, metadata_key, parse_key
from stillframe.parallel import side_by_side
from stillframe.store.base import Store

_CHUNK_BYTES: Final = 16 << 20
# Instances whose metadata are in memory as a whole.
_READ_TOGETHER: Final = 256
_UNFINISHED: Final = "it is being written, or was when a job ended"


@dataclass(slots=True)
class HeldInstance:
    """What a store holds of an instance: its metadata or not, and other objects. `frames` are their bytes by number.

    `thumbnail` and `rendered` are the bytes of these two, None where they are not there, `others` all objects but them.
    """

    has_metadata: bool = False
    others: Holding = field(default_factory=Holding)
    thumbnail: int | None = None
    rendered: int | None = None
    frames: dict[int, int] = field(default_factory=dict)

    def add(self, key: str, size: int) -> None:
        """Take in one of its objects."""
        parsed = parse_key(key)
        match parsed.kind:
            case Kind.METADATA:
                self.has_metadata = True
            case Kind.THUMBNAIL:
                self.thumbnail = size
            case Kind.RENDERED:
                self.rendered = size
            case _:
                self.others = Holding(self.others.objects + 1, self.others.size + size)
                if parsed.kind is Kind.FRAME:
                    self.frames[parsed.frame_number] = size

    def counted(self, record: Record) -> Holding:
        """What there is of the objects that a record promises: no pictures, where it counts them apart."""
        if not record.counts_apart:
            return _sum(self.others, self.thumbnail, self.rendered)
        return _sum(self.others, None if self.frames else self.rendered)

    def pictures(self, record: Record) -> Holding:
        """What there is of an instance's own pictures, as its record counts them apart."""
        if not record.counts_apart:
            return Holding()
        return _sum(Holding(), self.thumbnail if record.has_thumbnail else None, self.rendered if self.frames else None)


def _sum(holding: Holding, *sizes: int | None) -> Holding:
    known = [size for size in sizes if size is not None]
    return Holding(holding.objects + len(known), holding.size + sum(known))


def held_in_series(store: Store, study: str, series: str) -> dict[str, HeldInstance]:
    """What a store holds of each instance of a series, from one listing."""
    instances: dict[str, HeldInstance] = {}
    for key, size in store.list(f"{instances_key(study, series)}/"):
        parsed = parse_key(key)
        if parsed.instance:
            instances.setdefault(parsed.instance, HeldInstance()).add(key, size)
    return instances


def drafted_instances(store: Store, resource: str) -> list[InstanceUIDs]:
    """The instances at or below a resource that a job is about to write for the first time, or was when it ended."""
    keys = (parse_key(f"{drafted}/metadata") for drafted in store.drafts(resource))
    return [InstanceUIDs(key.study, key.series, key.instance) for key in keys]


def held_objects(store: Store, uids: InstanceUIDs) -> dict[str, int]:
    """Keys and sizes of the objects of an instance that a store holds, its metadata aside."""
    own = metadata_key(uids.study, uids.series, uids.instance)
    return {key: size for key, size in store.list(f"{instance_key(uids)}/") if key != own}


def held_instance(store: Store, uids: InstanceUIDs) -> HeldInstance:
    """What a store holds of an instance, its metadata aside."""
    held = HeldInstance()
    for key, size in held_objects(store, uids).items():
        held.add(key, size)
    return held


@dataclass(frozen=True, slots=True)
class Contents:
    """Digests of what a store holds of an instance: of the objects that its record promises, of its own pictures."""

    objects: str
    pictures: str


def read_contents(store: Store, uids: InstanceUIDs, record: Record) -> Contents:
    """The digests of all objects of an instance that a store holds, as a record has them; they are read for that."""
    (digests,) = read_digests(store, uids, record.algorithm)
    return contents_of(digests, record)


def read_digests(store: Store, uids: InstanceUIDs, *algorithms: str) -> list[dict[str, bytes]]:
    """The digest of every object of an instance that a store holds, by its key: the metadata without their record.

    There is a mapping for each algorithm; whatever their number, an object is read once.
    """
    held = held_objects(store, uids)
    made = side_by_side(store.parallel, lambda key: _digests(store, key, algorithms), held)
    own, metadata = metadata_key(uids.study, uids.series, uids.instance), read_metadata(store, uids) or {}
    return [
        {key: digests[place] for key, digests in zip(held, made, strict=True)}
        | {own: digest_of_metadata(metadata, algorithm)}
        for place, algorithm in enumerate(algorithms)
    ]


def contents_of(digests: Mapping[str, bytes], record: Record) -> Contents:
    """Two digests of the objects of an instance, as a record has them; `digests` are made with what it names."""
    apart = _pictures_apart(digests, record)
    return Contents(
        contents_digest({key: digest for key, digest in digests.items() if key not in apart}, record.algorithm),
        digest_of_pictures({key: digests[key] for key, own in apart.items() if own}, record.algorithm),
    )


def digest_of_pictures(digests: dict[str, bytes], algorithm: str = ALGORITHM) -> str:
    """One digest of an instance's own pictures, by their keys; empty if there are none."""
    return digest_of_objects(digests, algorithm) if digests else ""


def _pictures_apart(keys: Iterable[str], record: Record) -> dict[str, bool]:
    """The pictures among an instance's objects, where a record counts them apart, and whether they are its own."""
    if not record.counts_apart:
        return {}
    kinds = {key: parse_key(key).kind for key in keys}
    thumbnails = {key: record.has_thumbnail for key, kind in kinds.items() if kind is Kind.THUMBNAIL}
    drawn = Kind.FRAME in kinds.values()
    return thumbnails | {key: True for key, kind in kinds.items() if kind is Kind.RENDERED and drawn}


def _digests(store: Store, key: str, algorithms: Iterable[str]) -> list[bytes]:
    digests, offset = [new_digest(algorithm) for algorithm in algorithms], 0
    while chunk := store.get_range(key, offset, _CHUNK_BYTES):
        for digest in digests:
            digest.update(chunk)
        offset += len(chunk)
    return [digest.digest() for digest in digests]


def read_metadata(store: Store, uids: InstanceUIDs) -> JSONDataset | None:
    """The metadata of an instance, None if there are none or they are damaged: both are built anew."""
    return next(iter(read_document(store, metadata_key(uids.study, uids.series, uids.instance)) or ()), None)


def committed_instances(store: Store, study: str, series: str) -> Entries:
    """The metadata of every instance of a series whose commit stands, as the document of the series has them."""
    held = held_in_series(store, study, series)
    instances = [InstanceUIDs(study, series, uid) for uid, instance in held.items() if instance.has_metadata]
    lines: list[Line] = []
    summaries: list[JSONDataset] = []
    for some in batched(instances, _READ_TOGETHER):
        found = side_by_side(store.parallel, lambda uids: read_metadata(store, uids), some)
        for uids, metadata in zip(some, found, strict=True):
            if metadata is not None and record_of(metadata) is not None:
                lines.append(dumps(rebase_bulk(metadata, f"instances/{uids.instance}/")))
                summaries.append(summary_of(metadata, summaries[-1] if summaries else None))
    return Entries(lines, summaries)


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
    """The published instances of a series by SOP Instance UID, as `summary_of` has them, and why others of it are not.

    `lines` are the published ones as the document of the series has them. `frames` are the sizes in bytes of their
    frames, by number; `thumbnails` are the instances that have one.
    """

    study: str
    series: str
    published: dict[str, JSONDataset] = field(default_factory=dict)
    lines: NewInstances = field(default_factory=NewInstances)
    left: dict[str, str] = field(default_factory=dict)
    frames: dict[str, dict[int, int]] = field(default_factory=dict)
    thumbnails: frozenset[str] = frozenset()


def read_series(store: Store, study: str, series: str) -> StoredSeries:
    """Look a series through: an instance is published if its metadata are committed and its objects are all there."""
    instances = held_in_series(store, study, series)
    stored = StoredSeries(study=study, series=series, thumbnails=with_thumbnail(instances))

    def read(instance: str) -> JSONDataset | str:
        return _published_whole(store, InstanceUIDs(study, series, instance), instances[instance])

    last: JSONDataset | None = None
    for some in batched(sorted(instances), _READ_TOGETHER):
        for instance, metadata in zip(some, side_by_side(store.parallel, read, some), strict=True):
            if isinstance(metadata, str):
                stored.left[instance] = metadata
                continue
            stored.lines.add(instance, dumps(rebase_bulk(metadata, f"instances/{instance}/")))
            last = stored.published[instance] = summary_of(metadata, last)
            stored.frames[instance] = instances[instance].frames
    for uids in drafted_instances(store, instances_key(study, series)):
        if uids.instance not in instances:
            stored.left[uids.instance] = _UNFINISHED
    return stored


def with_thumbnail(instances: Mapping[str, HeldInstance]) -> frozenset[str]:
    """Those of some instances that have a thumbnail, whoever owns it."""
    return frozenset(uid for uid, held in instances.items() if held.thumbnail is not None)


def _published_whole(store: Store, uids: InstanceUIDs, held: HeldInstance) -> JSONDataset | str:
    """The metadata of an instance that is published whole, or why it is not."""
    stored = store.get(metadata_key(uids.study, uids.series, uids.instance))
    if stored is None:
        return "its metadata are missing"
    datasets = parse_datasets(stored.data)
    if datasets and holder_of(datasets[0]):
        return _UNFINISHED
    if not datasets or InstanceUIDs(*named_uids(datasets[0])) != uids:
        return "its metadata are damaged"
    record = record_of(datasets[0])
    if record is None:
        return "it was given up by a build, or half deleted"
    holding = held.counted(record)
    if record.promised != holding:
        promised = (
            f"{record.promised.objects} objects of {record.promised.size} bytes" if record.promised else "nothing"
        )
        return f"{holding.objects} objects of {holding.size} bytes are there, its metadata promise {promised}"
    return datasets[0]
