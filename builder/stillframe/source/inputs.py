"""Values that stand for what the sources hold: inputs, their headers, and what is rejected or passed over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.nested_archives import NestedArchive
from stillframe.source.zip_archive import Member
from stillframe.store.s3_client import SCHEME, Bucket

CHANGED: Final = "changed while it was being read; build again once it is whole"
"""Why an input is rejected that somebody changed after it was found."""


class FileState(NamedTuple):
    """What tells that a file was written to, or that another took its place.

    Its size in bytes, the times in nanoseconds when it was written to and when anything of it changed, and its inode.
    """

    size: int
    modified: int
    changed: int
    inode: int


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object of a bucket as it was listed: its `size` in bytes, and the `etag` that names this version of it."""

    bucket: Bucket
    key: str
    size: int
    etag: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket.name}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRef:
    """One input: the `path` of a file or the location of an object, within a .zip archive the `member`.

    `size` is the input's in bytes. `remote` is the object that the input or its archive is, if it is one; `state` is
    that of the file at `path` when it was found, None where nothing is known of it.

    `study` is the Study Instance UID that a manifest gives for it, empty where none does.

    `entry` is what the archive's directory says of a member. In `member`, a `!` stands behind the name of an archive
    within the archive; `nested` is where the innermost one lies then.
    """

    path: str
    member: str = ""
    size: int = 0
    remote: S3Object | None = None
    state: FileState | None = None
    study: str = ""
    entry: Member | None = None
    nested: NestedArchive | None = None

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An input that is not published, with the reason and whatever UIDs are known."""

    path: str
    reason: str
    study: str = ""
    series: str = ""
    instance: str = ""

    @classmethod
    def of(cls, source: InputRef, reason: object, uids: InstanceUIDs | None = None) -> Rejected:
        """An input with the reason, and its UIDs where they are known."""
        return cls(path=str(source), reason=str(reason), **asdict(uids) if uids else {"study": source.study})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not published, with what it is instead.

    `noteworthy` marks one that may matter to somebody who wants everything published. `files` are those that a
    DICOMDIR names. `study` is the Study Instance UID that a manifest gives for it.
    """

    path: str
    reason: str
    noteworthy: bool = False
    files: tuple[str, ...] = ()
    study: str = ""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a manifest names and another shard of the job takes, by the line that names it."""

    line: str


type Found = InputRef | Rejected | Skipped
"""What is found in the sources of a job, or of its shard."""
type Item = Found | Elsewhere
"""What a search for inputs comes to."""


@dataclass(frozen=True, slots=True)
class Header:
    """What planning needs of one instance."""

    source: InputRef
    uids: InstanceUIDs
    patient_id: str
    patient_name: str
