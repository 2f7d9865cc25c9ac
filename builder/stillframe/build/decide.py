"""What becomes of an input, decided from its bytes and options and from what is published of its instance.

One pure function: workers act on what it says, the publisher spares them what is unchanged, a dry run counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stillframe.archive.holdings import Contents, HeldInstance
from stillframe.archive.record import Record, describe_options, record_of
from stillframe.dicom.json_model import JSONDataset
from stillframe.options import BuildOptions


class Decision(StrEnum):
    """What becomes of an input that is not rejected."""

    PUBLISH = "publish"
    REBUILD = "rebuild"  # other options, or objects are missing
    REPLACE = "replace"
    RESUME = "resume"  # a job that was cut off wrote it: the lists do not name it, or name it as it was before
    REVIEW = "review"  # an older format, or other options for UIDs: unchanged or to be rebuilt, which its metadata tell
    REDRAW = "redraw"  # other pictures are asked for, or are missing; all else is as it would be
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"  # the same bytes as another input of the job
    COMPARE = "compare"  # same UID, other bytes: a duplicate or a conflict, which only its pixels tell


WRITTEN: Final = frozenset({Decision.PUBLISH, Decision.REBUILD, Decision.REPLACE})
"""Decisions that write the objects of an instance."""
LISTED: Final = WRITTEN | {Decision.RESUME, Decision.REDRAW}
"""Decisions that change the lists."""

_UNREAD: Final = Contents("", "")
UNRECORDED: Final = Record("")
"""The record of metadata that do not say what they were made of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An input by the digest of its bytes, and how it is to be published.

    `first` is False if another input of the job is published under the same UID. With `verify` what is stored is read
    before it counts as published.
    """

    digest: str
    options: BuildOptions
    replace: bool = False
    first: bool = True
    verify: bool = False


def published_record(metadata: JSONDataset | None) -> Record | None:
    """What published metadata record of their origin; None if there are no metadata."""
    return None if metadata is None else record_of(metadata) or UNRECORDED


def decide(
    asked: Asked,
    published: Record | None,
    listed: Record | None,
    held: Callable[[], HeldInstance],
    contents: Callable[[], Contents] = lambda: _UNREAD,
) -> Decision:
    """What becomes of an input.

    Args:
        asked: the input.
        published: the record of the instance, see `published_record`.
        listed: its record as the lists of its series have it, None if they do not name it.
        held: what the store holds of it. Finding that out takes requests, so it is called only where it matters.
        contents: the digests of what the store holds of it, called only to verify it.
    """
    if published is None:
        return Decision.PUBLISH
    if published == UNRECORDED:
        return Decision.REBUILD
    if asked.digest != published.digest:
        return Decision.REPLACE if asked.replace and asked.first else Decision.COMPARE
    if not asked.first:
        return Decision.DUPLICATE
    options = describe_options(asked.options)
    review = published.needs_review(options)
    if not (published.fits(options) or review):
        return Decision.REBUILD
    stored = held()
    if published.promised != stored.counted(published):
        return Decision.REBUILD
    found = contents() if asked.verify else Contents(published.contents, published.drawn)
    if published.contents != found.objects:
        return Decision.REBUILD  # damaged at equal size, or published before records had a digest
    if review:
        return Decision.REVIEW if listed == published else Decision.REBUILD
    as_drawn = published.pictures == stored.pictures(published) and published.drawn == found.pictures
    if not (published.shows(options) and as_drawn):
        return Decision.REDRAW
    return Decision.UNCHANGED if listed == published else Decision.RESUME
