"""What is sent to workers: values that can be pickled, and load no library where they are made."""

from __future__ import annotations

from dataclasses import dataclass

from stillframe.archive.claims import LEASE_SECONDS, Watch
from stillframe.archive.record import Record
from stillframe.build.frame_count import FrameCount
from stillframe.build.meeting import Meeting
from stillframe.build.results import Built
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import FailedJob
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef, Rejected
from stillframe.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTask:
    """One input to publish. `first` is False where another input of the job holds the same SOP Instance UID.

    With `verify_stored` what is stored is read before it counts as unchanged. `listed` is the record that the lists of
    the series give; where it is the instance's, they need nothing of it. `lease` is how many seconds a claim (`claims`)
    stands that nobody renews. `watched` is the claim of another job for which an attempt before this one did not wait.
    `meeting` is where others may help with its frames, `count` where it is told how many of them are made.
    """

    store: Store
    source: InputRef
    uids: InstanceUIDs
    options: BuildOptions
    replace: bool = False
    verify_stored: bool = False
    first: bool = True
    listed: Record | None = None
    lease: float = LEASE_SECONDS
    watched: Watch | None = None
    meeting: Meeting | None = None
    count: FrameCount | None = None


type Result = Built | Rejected | Watch | FailedJob
