"""From a sample to the whole: which instances and frames are made, and what follows for those that are not.

Sizes of frames follow those in the source: kept frames have nearly the same, native ones are all alike, and those
encoded anew mostly grow with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from zlib import crc32

from stillframe.codec.codestream import FrameRow
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import Kind
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef

_MOST_INSTANCES: Final = 16
"""Instances of one kind in a series that are made as a sample."""
_MOST_FRAMES: Final = 33
"""Frames of one instance that are made as a sample."""

# What instances with frames of one kind share.
type Profile = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Objects:
    """How many objects there are of each kind, and their bytes as stored."""

    count: Counter[Kind] = field(default_factory=Counter)
    size: Counter[Kind] = field(default_factory=Counter)

    def add(self, kind: Kind, size: int) -> None:
        """Count one object more."""
        self.count[kind] += 1
        self.size[kind] += size

    def __add__(self, other: Objects) -> Objects:
        return Objects(self.count + other.count, self.size + other.size)


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """One input whose objects are counted; of its frames some are made, or none.

    `published` are the metadata of an older version of the format, if what is published is to be reviewed.
    """

    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    frames: bool
    published: JSONDataset | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What came of the frames that were made, of one instance or of several alike.

    `weight` are the bytes of these frames in the source, `objects` those that an instance has because of its frames.
    """

    instances: int = 0
    frames: int = 0
    weight: int = 0
    objects: Objects = field(default_factory=Objects)
    rows: tuple[FrameRow, ...] = ()

    def __add__(self, other: Sample) -> Sample:
        return Sample(
            instances=self.instances + other.instances,
            frames=self.frames + other.frames,
            weight=self.weight + other.weight,
            objects=self.objects + other.objects,
            rows=(self.rows + other.rows)[: 2 * _MOST_FRAMES],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of one instance: some of its `frames` were made, or none.

    `kind` is what instances have in common whose frames compress alike, `shape` rows and columns, `weight` the bytes of
    all its frames in the source. `own` are the objects that need no frame. `same` means that it is published
    as it would be now, in an older format.
    """

    source: InputRef
    uids: InstanceUIDs
    metadata: JSONDataset
    notes: tuple[str, ...]
    own: Objects
    same: bool = False
    made: Sample = field(default_factory=Sample)
    kind: Profile = ()
    shape: tuple[int, int] = (0, 0)
    frames: int = 0
    weight: int = 0

    @property
    def objects(self) -> Objects:
        """All its objects beside the metadata."""
        return self.own + self.made.objects


def _sample_size(count: int, most: int) -> int:
    """How many of so many are made: few of many, most of a few."""
    return min(count, most, max(1, math.isqrt(max(0, count - 1)) + 1)) if count else 0


def spread(count: int, wanted: int) -> list[int]:
    """So many indices of `count`, evenly spread, ascending; the middle one if their number is odd."""
    return sorted({(2 * index + 1) * count // (2 * wanted) for index in range(wanted)})


def choose_frames(count: int) -> Sequence[int]:
    """Indices of the frames of one instance that are made, that which stands for all among them."""
    size = _sample_size(count, _MOST_FRAMES)
    return range(count) if size | 1 >= count else spread(count, size | 1)


def choose_instances(count: int) -> Sequence[int]:
    """Indices of the instances of one series that are made."""
    return spread(count, _sample_size(count, _MOST_INSTANCES))


# Samples by what they have in common with the instances that are judged by them.
type Pool = dict[Profile, Sample]


def add_sample(pool: Pool, instance: Measured) -> None:
    """Add what an instance tells of others."""
    for key in _keys(instance):
        pool[key] = pool.get(key, Sample()) + instance.made


def find_sample(pool: Pool, instance: Measured) -> Sample | None:
    """The samples to judge an instance by, None if there are none: of its series, of its profile, of its kind."""
    return next((pool[key] for key in _keys(instance) if key in pool), None)


def _keys(instance: Measured) -> tuple[Profile, ...]:
    profile = (*instance.kind, *instance.shape)
    return (instance.uids.series, *profile), profile, instance.kind


def complete_instance(instance: Measured, pool: Pool) -> Measured:
    """An instance as it would come out with all its frames made."""
    sample = instance.made if instance.made.frames else find_sample(pool, instance)
    if instance.made.frames == instance.frames or sample is None:
        return instance
    of_frames = (instance.frames / sample.frames, instance.weight / (sample.weight or 1))
    of_image = (1 / sample.instances, 1 / sample.instances)
    objects = Objects()
    for kind, count in sample.objects.count.items():
        per_count, per_size = of_frames if kind in (Kind.FRAME, Kind.REDUCED_FRAME) else of_image
        objects.count[kind] = round(count * per_count)
        objects.size[kind] = round(sample.objects.size[kind] * per_size)
    rows = _likely_rows(instance, sample.rows)
    made = Sample(instances=1, frames=instance.frames, weight=instance.weight, objects=objects, rows=rows)
    return replace(instance, made=made)


def _likely_rows(instance: Measured, known: Sequence[FrameRow]) -> tuple[FrameRow, ...]:
    """Rows for every frame of an instance after those of a few, varied a little: equal ones would compress too well."""
    rows = []
    for number in range(instance.frames if known else 0):
        noise = crc32(f"{instance.uids.instance} {number}".encode())
        resolutions = (
            replace(resolution, prefix_length=resolution.prefix_length * (3968 + noise % 256) // 4096)
            for resolution in known[number % len(known)].resolutions
        )
        rows.append(FrameRow(tuple(resolutions), noise))
    return tuple(rows)
