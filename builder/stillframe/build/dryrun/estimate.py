"""From a sample to the whole: which instances and frames are made, and what follows for those that are not.

Sizes of frames follow those in the source: kept frames have nearly the same, native ones are all alike, and those
encoded anew mostly grow with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
"""Instances of one series that are made as a sample."""
_MOST_FRAMES: Final = 33
"""Frames of one instance that are made as a sample."""

# What instances with frames of one kind share.
type Profile = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Objects and their bytes as stored; means are no integers."""

    objects: float = 0
    size: float = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.objects + other.objects, self.size + other.size)

    @property
    def mean_size(self) -> float:
        """Bytes of an object; 0 without any."""
        return self.size / self.objects if self.objects else 0.0

    def times(self, count: float, size: float | None = None) -> Tally:
        """So many times as many objects, with `size` times the bytes."""
        return Tally(self.objects * count, self.size * (count if size is None else size))


type Tallies = Mapping[Kind, Tally]


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """One input whose objects are counted; of its frames some are made, or none."""

    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    frames: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of one instance: with `made` of its `frames` made, perhaps none.

    `kind` is what instances have in common whose frames compress alike, `shape` rows and columns.

    `weight` are the bytes of all its frames in the source, `made_weight` of those that were made. `own` are the objects
    that need no frame, `of_frames` those of the frames made, `of_image` the pictures and overlays that come with them.
    """

    source: InputRef
    uids: InstanceUIDs
    metadata: JSONDataset
    own: Tallies
    kind: Profile = ()
    shape: tuple[int, int] = (0, 0)
    frames: int = 0
    made: int = 0
    weight: int = 0
    made_weight: int = 0
    of_frames: Tallies = field(default_factory=dict)
    of_image: Tallies = field(default_factory=dict)
    rows: tuple[FrameRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def objects(self) -> dict[Kind, Tally]:
        """All its objects beside the metadata."""
        return sum_tallies((self.own, self.of_frames, self.of_image))


def sample_size(count: int, most: int) -> int:
    """How many of so many are made: few of many, most of a few."""
    return min(count, most, max(1, math.isqrt(max(0, count - 1)) + 1)) if count else 0


def spread(count: int, wanted: int) -> list[int]:
    """So many indices of `count`, evenly spread, ascending; the middle one if their number is odd."""
    return sorted({(2 * index + 1) * count // (2 * wanted) for index in range(wanted)})


def choose_frames(count: int) -> Sequence[int]:
    """Indices of the frames of one instance that are made, that which stands for all among them."""
    size = sample_size(count, _MOST_FRAMES)
    return range(count) if size | 1 >= count else spread(count, size | 1)


def no_frames(_count: int) -> Sequence[int]:
    """Choose none."""
    return ()


def choose_instances(count: int) -> Sequence[int]:
    """Indices of the instances of one series that are made."""
    return spread(count, sample_size(count, _MOST_INSTANCES))


class Pool:
    """Samples to judge instances by: of their series and profile if there are such, of their profile, of their kind."""

    def __init__(self, others: Pool | None = None) -> None:
        """A pool that falls back to `others` for what it knows nothing of."""
        self._groups: dict[Profile, Group] = {}
        self._others = others

    def add(self, sample: Measured) -> None:
        """Take in an instance of which frames were made."""
        for key in _keys(sample):
            self._groups.setdefault(key, Group()).add(sample)

    def find(self, instance: Measured) -> Group | None:
        """The samples to judge an instance by, None if there are none."""
        own = next((self._groups[key] for key in _keys(instance) if key in self._groups), None)
        return own or (self._others.find(instance) if self._others else None)

    def complete(self, instance: Measured) -> Measured:
        """An instance as it would come out with all its frames made."""
        if instance.made == instance.frames:
            return instance
        group = self.find(instance)
        if instance.made:  # its own frames tell most of it
            group = Group()
            group.add(instance)
        return instance if group is None else group.complete(instance)


def _keys(instance: Measured) -> tuple[Profile, ...]:
    profile = (*instance.kind, *instance.shape)
    return (instance.uids.series, *profile), profile, instance.kind


class Group:
    """Samples that are alike, summed up."""

    def __init__(self) -> None:
        self._count = self._frames = self._weight = 0
        self._of_frames: dict[Kind, Tally] = {}
        self._of_image: dict[Kind, Tally] = {}
        self._rows: list[FrameRow] = []

    def add(self, sample: Measured) -> None:
        """Sum a sample up."""
        self._count += 1
        self._frames += sample.made
        self._weight += sample.made_weight
        add_tallies(self._of_frames, sample.of_frames)
        add_tallies(self._of_image, sample.of_image)
        if len(self._rows) < 2 * _MOST_FRAMES:
            self._rows += sample.rows

    def complete(self, instance: Measured) -> Measured:
        """An instance as it would come out with all its frames made."""
        frames, weight = instance.frames / self._frames, instance.weight / (self._weight or 1)
        return replace(
            instance, made=instance.frames, made_weight=instance.weight, rows=_likely_rows(instance, self._rows),
            of_frames={kind: tally.times(frames, weight) for kind, tally in self._of_frames.items()},
            of_image={kind: tally.times(1 / self._count) for kind, tally in self._of_image.items()},
        )  # fmt: skip


def _likely_rows(instance: Measured, known: Sequence[FrameRow]) -> tuple[FrameRow, ...]:
    """Rows for every frame of an instance after those of a few, varied a little: equal ones would compress too well."""
    rows = []
    for number in range(instance.frames if known else 0):
        noise = crc32(f"{instance.uids.instance} {number}".encode())
        resolutions = (
            replace(one, prefix_length=one.prefix_length * (3968 + noise % 256) // 4096)
            for one in known[number % len(known)].resolutions
        )
        rows.append(FrameRow(tuple(resolutions), noise))
    return tuple(rows)


def add_tallies(total: dict[Kind, Tally], tallies: Tallies) -> None:
    """Add tallies to a sum, kind by kind."""
    for kind, tally in tallies.items():
        total[kind] = total.get(kind, Tally()) + tally


def sum_tallies(tallies: Iterable[Tallies]) -> dict[Kind, Tally]:
    """The sum of tallies, kind by kind."""
    total: dict[Kind, Tally] = {}
    for item in tallies:
        add_tallies(total, item)
    return total
