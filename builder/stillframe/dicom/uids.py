"""The UIDs that name studies, series and instances (PS3.5 9.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stillframe.errors import InvalidUID

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class InstanceUIDs:
    """The three UIDs that place an instance: Study, Series and SOP Instance UID, each checked by `check_uid`."""

    study: str
    series: str
    instance: str


def check_uid(value: str, attribute: str) -> str:
    """Return `value` if it may become part of a key, else raise.

    PS3.5 9.1 allows components of digits joined by single dots, 64 characters in all. Leading zeros in a component
    break that clause too but are harmless in a key and common in old archives, so they pass.

    Raises:
        InvalidUID: naming the attribute and what was found.
    """
    if not value:
        raise InvalidUID(f"{attribute} is missing or empty")
    if len(value) > 64:
        raise InvalidUID(f"{attribute} has {len(value)} characters, 64 are allowed: {value[:80]!r}")
    if not _UID.fullmatch(value):
        raise InvalidUID(f"{attribute} is not a UID: {value!r}")
    return value


def is_uid(value: str) -> bool:
    """Whether a value may become part of a key as a UID: what `check_uid` says."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None
