"""The values that travel between the stages and between processes: frozen, slotted, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from builder.codestream import FrameRow
from builder.jsonmodel import JSONDataset
from builder.s3_client import SCHEME, Bucket
from builder.uids import InstanceUIDs

# Largest decoded frame that is attempted, unless told otherwise; a header can claim 65535 x 65535 in a few bytes.
MAX_FRAME_BYTES: Final = 1 << 29

MAX_UNPACKED: Final = 8_000_000_000
"""Bytes that one deflated data set or archive member may unpack to, where nothing else is asked for."""


class Lossy(StrEnum):
    """What becomes of frames that were compressed with loss."""

    KEEP = "keep"
    TRANSCODE = "transcode"


class Part10(StrEnum):
    """For which instances the whole original object is published."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Rendered(StrEnum):
    """Which instances get an object under `rendered`."""

    ALWAYS = "always"
    DOCUMENTS = "documents"  # and videos: what is published there as it is
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The choices that shape the published bytes of an instance, and the limit to what is attempted.

    `reduced` are the decode levels (halvings) written as separate objects, ascending. Two limits and the base URL shape
    nothing of an instance that is within them: `max_frame_bytes` is the size of the largest decoded frame,
    `max_unpacked` what one deflated data set or archive member may unpack to, in bytes.
    """

    reduced: tuple[int, ...] = (2,)
    lossy: Lossy = Lossy.KEEP
    part10: Part10 = Part10.AUTO
    rendered: Rendered = Rendered.ALWAYS
    thumbnails: bool = True
    base_url: str = ""
    max_frame_bytes: int = MAX_FRAME_BYTES
    max_unpacked: int = MAX_UNPACKED


CHANGED: Final = "changed while it was being read"
"""Why an input is rejected that is not what it was when it was found."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object of a bucket as it was listed: its `size` in bytes, and the `etag` that names this version of it."""

    bucket: Bucket
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket.name}/{self.key}"


@dataclass(frozen=True, slots=True)
class InputRef:
    """One input: the `path` of a file or the location of an object, within a .zip archive the `member`.

    `size` is the input's in bytes. `remote` is the object, if it is one, or that of the archive.

    `places` are the member's in the archive's directory, where names may occur twice: more than one if it is in an
    archive within the archive, whose name then stands before its own, with a `!` between.
    """

    path: str
    member: str = ""
    size: int = 0
    places: tuple[int, ...] = ()
    remote: S3Object | None = None

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else self.path


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input that is not published, with the reason and whatever UIDs are known."""

    path: str
    reason: str
    study: str = ""
    series: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is none to publish, with what it is instead.

    `noteworthy` is one that may matter to whoever wants everything published; `files` are those that a DICOMDIR names.
    """

    path: str
    reason: str
    noteworthy: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What planning needs of one instance."""

    source: InputRef
    uids: InstanceUIDs
    patient_id: str
    patient_name: str


class Outcome(StrEnum):
    """What became of an instance that was not rejected."""

    PUBLISHED = "published"
    REBUILT = "rebuilt"
    REPLACED = "replaced"
    RESUMED = "resumed"  # written by an attempt that was cut off, listed by this one
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Built:
    """One instance in its published form: what the lists need, and what the report says of it.

    `times` are CPU seconds by stage; `notes` are what the owner of the images should know; `changed` are the keys of
    objects that never change otherwise, and did: caches may hold what was there.
    """

    source: InputRef
    uids: InstanceUIDs
    outcome: Outcome
    metadata: JSONDataset
    rows: tuple[FrameRow, ...] = ()
    frames: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    notes: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
