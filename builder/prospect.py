"""What a build would make of an input, as far as that can be told without making it, and what the store is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from builder.errors import InputError
from builder.holdings import read_metadata
from builder.inputs import InputRef
from builder.open import digest_of, open_to_end
from builder.options import BuildOptions
from builder.prices import Requests, requests_of_list
from builder.published import is_intact
from builder.record import Holding, Record, promised_frames, record_of
from builder.store import Store
from builder.uids import InstanceUIDs


class Prospect(StrEnum):
    """What would become of an input that is not rejected."""

    PUBLISH = "publish"
    REBUILD = "rebuild"  # other options, another version of the format, or objects are missing
    REPLACE = "replace"
    RESUME = "resume"  # written by an attempt that was cut off, to be listed
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"  # the same bytes as another input
    COMPARE = "compare"  # same UID, other bytes: a duplicate or a conflict, which only its pixels tell


WRITTEN: Final = frozenset({Prospect.PUBLISH, Prospect.REBUILD, Prospect.REPLACE})
"""Those whose objects are written."""
LISTED: Final = WRITTEN | {Prospect.RESUME}
"""Those that change the lists."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What would become of the first input of an instance, and the digest of what would be published afterwards.

    The digest is empty where it is that of the input. `frames` are those that are published, `held` its objects.
    """

    prospect: Prospect
    digest: str = ""
    frames: int = 0
    held: int = 0


def judge_input(
    store: Store, uids: InstanceUIDs, source: InputRef, options: BuildOptions, holding: Holding,
    listed: Record | None, *, replace: bool,
) -> Judgement:  # fmt: skip
    """What would become of an input of an instance of which the store holds something, as `instance` decides it.

    A claim of a job that is at work counts as one of a job that died: nobody waits for it.

    Raises:
        StoreError: if the store fails.
    """
    metadata = read_metadata(store, uids)
    if metadata is None:
        return Judgement(Prospect.PUBLISH, held=holding.objects)
    known, frames = record_of(metadata), promised_frames(metadata)
    digest = "" if known is None else source_digest(source)
    if known is None or not digest:
        return Judgement(Prospect.REBUILD, "", frames, holding.objects)
    if digest == known.digest:
        if not is_intact(holding, known, options):
            prospect = Prospect.REBUILD
        else:
            prospect = Prospect.UNCHANGED if listed == known else Prospect.RESUME
        return Judgement(prospect, digest, frames, holding.objects)
    if replace:
        return Judgement(Prospect.REPLACE, digest, frames, holding.objects)
    return Judgement(Prospect.COMPARE, known.digest, frames, holding.objects)


def source_digest(source: InputRef) -> str:
    """Digest of an input's bytes; empty if it cannot be read: whoever makes its objects says why."""
    try:
        with open_to_end(source) as file:
            return digest_of(file)
    except (InputError, OSError):
        return ""


def requests_of_instance(judgement: Judgement, puts: int) -> Requests:
    """What a store far away is asked to do with one input: its record, the claim, `puts` for its objects, the commit.

    What no list knows is claimed without a look at its record, in vain if it has one. Before an object is written over
    its version is asked for. Claims that are renewed, and requests made again, are not counted.
    """
    listing = Requests(get=1, list=requests_of_list(judgement.held))
    versions = Requests(get=min(puts, judgement.held))
    in_vain = Requests(put=1, get=1)
    match judgement.prospect:
        case Prospect.PUBLISH if not judgement.held:
            return Requests(put=2 + puts)
        case Prospect.PUBLISH:
            return in_vain + listing + versions + Requests(get=1, put=2 + puts, delete=1)
        case Prospect.REBUILD | Prospect.REPLACE:
            again = listing if judgement.prospect is Prospect.REBUILD and judgement.digest else Requests()
            return listing + again + versions + Requests(get=1, put=2 + puts, delete=1)
        case Prospect.RESUME:
            return in_vain + listing + Requests(get=1 + judgement.frames)
        case Prospect.COMPARE:
            return Requests(get=2 + judgement.frames)
        case Prospect.DUPLICATE:
            return Requests(get=1)
        case Prospect.UNCHANGED:
            return Requests()  # one for its metadata, which was made
