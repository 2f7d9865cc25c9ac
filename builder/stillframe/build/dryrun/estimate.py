"""From a sample to the whole: which instances and frames are made, and what follows for those that are not.

Sizes of frames follow those in the source: kept frames have nearly the same, native ones are all alike, and those
encoded anew mostly grow with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, Self

from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import Kind
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef

MOST_INSTANCES: Final = 15
"""Instances of one kind in a series that are made as a sample."""
MOST_FRAMES: Final = 33
"""Frames of one instance that are made as a sample."""
_MOST_ENTRIES: Final = 8
"""Instances of one kind whose entries in lists are kept."""

# The bytes of a JSON document as a store holds it. Workers call it, so it can be pickled.
type Encode = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Summed:
    """A value whose fields are added one by one."""

    def __add__(self, other: Self) -> Self:
        return replace(self, **{own.name: getattr(self, own.name) + getattr(other, own.name) for own in fields(self)})


@dataclass(frozen=True, slots=True)
class Objects(Summed):
    """How many objects there are of each kind, and their bytes as stored."""

    count: Counter[Kind] = field(default_factory=Counter)
    size: Counter[Kind] = field(default_factory=Counter)

    def add(self, kind: Kind, size: int) -> None:
        """Count one object more."""
        self.count[kind] += 1
        self.size[kind] += size


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureTask:
    """One input whose objects are counted. Some of its frames are made if `frames` is true, otherwise none.

    `published` are the metadata of an older version of the format, if what is published is to be reviewed; `prefix` is
    what would stand before the keys.
    """

    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    encode: Encode
    frames: bool
    published: JSONDataset | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """What one instance brings into lists: its metadata and its record as JSON, and rows of the frames made of it.

    `thumbnail` are the bytes of its thumbnail, 0 if it has none.
    """

    instance_uid: str
    metadata: bytes
    record: bytes
    rows: tuple[FrameRow, ...]
    thumbnail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Summed):
    """What came of the frames that were made, of one instance or of several alike.

    `weight` are the bytes of these frames in the source, `objects` those that an instance has because of its frames.
    """

    instances: int = 0
    frames: int = 0
    weight: int = 0
    objects: Objects = field(default_factory=Objects)
    entries: tuple[ListEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of one instance; `made` is what came of its frames that were made, None if none of them were.

    `own` are the objects that need no frame, with their sizes. `kind` is what instances have in common whose frames
    compress alike, `weight` the bytes of all its `frames` in the source. `same` means that it is published as it would
    be now, in an older format. `metadata` are those of the published instance, as far as they decide whose thumbnails
    there are.
    """

    uids: InstanceUIDs
    own: tuple[tuple[Kind, int], ...]
    made: Sample | None
    kind: str
    frames: int
    weight: int
    same: bool
    metadata: JSONDataset


def spread(count: int, wanted: int) -> list[int]:
    """So many indices of `count`, evenly spread, ascending; the middle one if their number is odd."""
    return sorted({(2 * index + 1) * count // (2 * wanted) for index in range(wanted)})


def choose_sample(count: int, most: int) -> Sequence[int]:
    """Indices of those that are made of so many, few of many and most of a few; the middle one is among them."""
    size = min(most, math.isqrt(max(0, count - 1)) + 1) | 1
    return range(count) if size >= count else spread(count, size)


# Samples by study, series and kind of the instances that are judged by them; by kind alone of those in other series.
type Pool = dict[tuple[str, str, str], Sample]


def make_pool(instances: Iterable[Measured]) -> Pool:
    """The samples among some instances."""
    pool: Pool = {}
    for instance in instances:
        if instance.made is None:
            continue
        for key in _keys(instance):
            sample = pool.get(key, Sample()) + instance.made
            pool[key] = replace(sample, entries=sample.entries[:_MOST_ENTRIES])
    return pool


def find_sample(pool: Pool, instance: Measured) -> Sample | None:
    """The samples to judge an instance by, None if there are none."""
    return next((pool[key] for key in _keys(instance) if key in pool), None)


def _keys(instance: Measured) -> tuple[tuple[str, str, str], ...]:
    return (instance.uids.study, instance.uids.series, instance.kind), ("", "", instance.kind)


def estimate_objects(instance: Measured, pool: Pool) -> Objects:
    """The objects of an instance, were all its frames made."""
    objects = Objects()
    for kind, size in instance.own:
        objects.add(kind, size)
    sample = instance.made or find_sample(pool, instance)
    if sample is None or not instance.frames:
        return objects
    of_frames = (instance.frames / sample.frames, instance.weight / (sample.weight or 1))
    of_image = (1 / sample.instances, 1 / sample.instances)
    for kind, count in sample.objects.count.items():
        per_count, per_size = of_frames if kind in (Kind.FRAME, Kind.REDUCED_FRAME) else of_image
        objects.count[kind] += round(count * per_count)
        objects.size[kind] += round(sample.objects.size[kind] * per_size)
    return objects


def estimate_pictures(instance: Measured, pool: Pool) -> Objects:
    """What is written of an instance whose frames stay: its metadata and its own pictures."""
    objects, kinds = estimate_objects(instance, pool), {Kind.METADATA}
    if instance.frames:
        kinds |= {Kind.THUMBNAIL, Kind.RENDERED}
    return Objects(
        Counter({kind: count for kind, count in objects.count.items() if kind in kinds}),
        Counter({kind: size for kind, size in objects.size.items() if kind in kinds}),
    )
