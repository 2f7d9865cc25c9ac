"""What a report of a build has to look like before its numbers and entries are added to those of others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stillframe.build.json_stream import JSONPath
from stillframe.build.shard import MAX_SHARDS, Shard
from stillframe.errors import InputError, LayoutError
from stillframe.layout import parse_key

VERSION: Final = 1
# Members that are taken as a whole; all others hold entries, however many.
_WHOLE: Final = frozenset(("summary", "shard", "dryRun", "invalidation"))
_UIDS: Final = ("study", "series", "instance")
# Texts that the entries of each list have.
_TEXTS: Final = {
    "rejected": ("path", "reason", *_UIDS),
    "passedOver": ("path", "reason"),
    "duplicates": ("path", "outcome", *_UIDS),
    "notes": ("path", "outcome", *_UIDS),
    "failure.notListed": _UIDS,
}
_OF_TEXTS: Final = frozenset(("studies", "changed", "failure.notPublished"))
_MOST: Final = 1 << 63
NO_REPORT: Final = "it is no report of a build"
"""Why a text is refused that does not look like one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a report says of its job as a whole: `shard` is None where that was not split, `failure` empty if it ended.

    `counts` are the summary's, `seconds` elapsed time, `stages` CPU seconds.
    """

    counts: Mapping[str, int]
    seconds: float
    stages: Mapping[str, float]
    shard: Shard | None
    failure: str


def holds_entries(path: JSONPath) -> bool:
    """Whether what stands at a path of a report is read entry by entry."""
    match path:
        case () | ("failure",) | ("failure", _):
            return True
        case (member,):
            return member not in _WHOLE
        case _:
            return False


def order_of(member: str, name: str | int, value: Any) -> tuple[str, str]:
    """What an entry of a member is ordered by: its path and its reason, a study and the rest of its UIDs, a text.

    Args:
        member: of the report; one within `failure` with that before it, as `failure.notListed`.
        name: the entry's index, or its name among the roots.
        value: the entry.

    Raises:
        InputError: if a report has no such entry there.
    """
    if member == "roots" and isinstance(name, str) and isinstance(value, str):
        return name, ""
    if isinstance(name, int) and member in _OF_TEXTS and isinstance(value, str):
        if member == "changed":
            check_key(value, "an entry of changed is")
        return value, ""
    texts = _TEXTS.get(member)
    if texts is None or not isinstance(name, int) or not isinstance(value, dict):
        raise InputError(f"{NO_REPORT}: an entry of {member} is of another kind")
    if missing := [text for text in texts if not isinstance(value.get(text), str)]:
        raise InputError(f"an entry of {member} has no text as its {missing[0]}")
    if "path" in texts:
        return value["path"], value.get("reason", "")
    return value["study"], f"{value['series']} {value['instance']}"


def check_key(key: str, what: str) -> None:
    """See that a report names the key of an object.

    Args:
        key: what it names.
        what: the beginning of a sentence that ends with "no key".

    Raises:
        InputError: with that sentence, if it is none.
    """
    try:
        parse_key(key)
    except LayoutError as error:
        raise InputError(f"{what} no key: {error}") from error


def read_head(head: Mapping[str, Any]) -> Head:
    """What a report says of its job as a whole, out of its members that are no entries.

    Raises:
        InputError: if it is no report of one build.
    """
    summary = head.get("summary")
    if head.get("version") != VERSION or not isinstance(summary, dict) or "published" not in summary:
        raise InputError(f"{NO_REPORT} of version {VERSION}")
    if "dryRun" in head or "command" in head or "shards" in head:
        raise InputError("it is of a dry run, of another command, or of several shards already")
    if wrong := {"studies", "roots", "changed", *_TEXTS}.intersection(head):
        raise InputError(f"{NO_REPORT}: its {min(wrong)} are no list")
    failure, stages = head.get("failure", ""), summary.get("cpuSeconds", {})
    if not isinstance(failure, str) or not isinstance(stages, dict):
        raise InputError(f"{NO_REPORT}: its failure or its cpuSeconds are of another kind")
    return Head(
        counts={name: _count(name, value) for name, value in summary.items() if name not in ("seconds", "cpuSeconds")},
        seconds=_seconds("seconds", summary.get("seconds", 0)),
        stages={stage: _seconds("cpuSeconds", value) for stage, value in stages.items()},
        shard=_shard(head["shard"]) if "shard" in head else None,
        failure=failure,
    )


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise InputError(f"the {name} of its summary is no count")
    return value


def _seconds(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value < _MOST:
        raise InputError(f"the {name} of its summary is no time")
    return float(value)


def _shard(value: Any) -> Shard:
    number, of = (value.get("number"), value.get("of")) if isinstance(value, dict) else (None, None)
    if type(number) is not int or type(of) is not int or not 1 <= number <= of <= MAX_SHARDS:
        raise InputError("its shard is none: it has to have a number, and to be one of so many")
    return Shard(number, of)
