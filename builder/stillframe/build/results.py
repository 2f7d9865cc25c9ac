"""What became of an input that was published: what the lists need of it, and what the report says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from stillframe.codec.codestream import FrameRow
from stillframe.dicom.uids import InstanceUIDs
from stillframe.sandbox import cpu_time
from stillframe.source.inputs import InputRef


class Outcome(StrEnum):
    """What became of an instance that was not rejected."""

    PUBLISHED = "published"
    REBUILT = "rebuilt"
    REPLACED = "replaced"
    RESUMED = "resumed"  # written by an attempt that was cut off, listed by this one
    REDRAWN = "redrawn"  # its pictures were made anew, or removed; its frames stay
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One instance in its published form: what the lists need, and what the report says of it.

    `line` are its metadata as the document of its series has them (`archive/entries`), nothing where lists know them.
    `rows_stay` says that the rows which are listed still hold. `times` are CPU seconds by stage; `notes` are what the
    owner of the images should know; `changed` are the keys of objects that never change otherwise, and did: caches may
    hold what was there.
    """

    source: InputRef
    uids: InstanceUIDs
    outcome: Outcome
    line: bytes = b""
    rows: tuple[FrameRow, ...] = ()
    rows_stay: bool = False
    frames: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    notes: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(slots=True)
class StageClock:
    """Adds the CPU seconds of blocks to `times`, by stage; `elsewhere` are those of other processes among them."""

    times: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    now: Callable[[], float] = cpu_time
    elsewhere: float = 0.0

    def spent(self) -> float:
        """CPU seconds up to now, here and elsewhere."""
        return self.now() + self.elsewhere

    def add(self, times: Mapping[str, float]) -> None:
        """Count what other processes did, in CPU seconds by stage."""
        for stage, seconds in times.items():
            self.times[stage] += seconds
            self.elsewhere += seconds

    def __call__(self, stage: str) -> AbstractContextManager[None]:
        """Count the time of the block as that stage's."""
        return _Running(self, stage)


class _Running(AbstractContextManager[None]):
    """A block under way; a frame has a dozen, so no generator."""

    __slots__ = ("_clock", "_stage", "_start")

    def __init__(self, clock: StageClock, stage: str) -> None:
        self._clock = clock
        self._stage = stage

    def __enter__(self) -> None:
        self._start = self._clock.now()

    def __exit__(self, *_: object) -> None:
        self._clock.times[self._stage] += self._clock.now() - self._start
