"""The choices of a build that shape what it publishes, and the limits to what it attempts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Largest decoded frame that is attempted, unless told otherwise; a header can claim 65535 x 65535 in a few bytes.
MAX_FRAME_BYTES: Final = 1 << 29

MAX_UNPACKED: Final = 8_000_000_000
"""Bytes that one deflated data set or archive member may unpack to, and that any instance may come to, where nothing
else is asked for."""


MAX_DECODER_MEMORY: Final = 1 << 30
"""Bytes that a decoder may take beside what the size of its frame lets expect."""

MAX_DECODER_SECONDS: Final = 60.0
"""CPU seconds that a decoder may take for a frame, and one more for each million samples."""


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What a decoder in a sandbox may take for one frame, beside what follows from its size: bytes, CPU seconds."""

    memory: int = MAX_DECODER_MEMORY
    seconds: float = MAX_DECODER_SECONDS


class Lossy(StrEnum):
    """What becomes of frames that were compressed with loss."""

    AUTO = "auto"  # kept where viewers decode them
    KEEP = "keep"
    TRANSCODE = "transcode"


class Part10(StrEnum):
    """For which instances the whole original object is published."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Rendered(StrEnum):
    """Which instances get an object under `rendered`."""

    DOCUMENTS = "documents"  # and videos: what is published there as it is
    ALWAYS = "always"
    NEVER = "never"


class Thumbnails(StrEnum):
    """Of what thumbnails are published."""

    SERIES = "series"  # and studies, and the instances that viewers ask for by themselves
    INSTANCES = "instances"  # all of them, too
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """The choices that shape the published bytes of an instance, and the limit to what is attempted.

    `reduced` are the decode levels (halvings) written as separate objects, ascending. `assign_uids` says whether what
    is no UID is replaced by one (`dicom.assign_uids`), or its input rejected. `keep_damaged` publishes images of
    several frames although some are damaged. Limits and the base URL shape nothing of an instance that is within them:
    `max_frame_bytes` is the size of the largest decoded frame, `max_unpacked` what one deflated data set or archive
    member may unpack to, in bytes, and what the budget of any instance begins with; for the others see `DecoderLimits`.
    """

    reduced: tuple[int, ...] = (2,)
    lossy: Lossy = Lossy.AUTO
    part10: Part10 = Part10.AUTO
    rendered: Rendered = Rendered.DOCUMENTS
    thumbnails: Thumbnails = Thumbnails.SERIES
    assign_uids: bool = False
    keep_damaged: bool = False
    base_url: str = ""
    max_frame_bytes: int = MAX_FRAME_BYTES
    max_unpacked: int = MAX_UNPACKED
    max_decoder_memory: int = MAX_DECODER_MEMORY
    max_decoder_seconds: float = MAX_DECODER_SECONDS

    @property
    def decoder_limits(self) -> DecoderLimits:
        """What a decoder may take for one frame."""
        return DecoderLimits(self.max_decoder_memory, self.max_decoder_seconds)
