"""What published metadata say of their origin: a private block with the source file's digest and the options.

The block (PS3.5 7.8.1) stands in group 0099 under the creator STILLFRAME: (0099,xx01) the digest, `sha256:` and 64 hex
digits, (0099,xx02) a fingerprint of the options, and (0099,xx03) what the owner of the image was told when it was
published, a line each, absent if nothing. (0099,xx04) names who writes the instance at the moment (`claims`). The first
two are UC, since LO ends at 64 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from builder.errors import InputError
from builder.jsonmodel import JSONDataset

CREATOR: Final = "STILLFRAME"
_GROUP: Final = "0099"
UNKNOWN: Final = "sha256:unknown"
"""The digest in metadata of what is not, or no longer, published: see `claimed`."""

# The digest of the source file, with `sha256:` before it, and the fingerprint of the options.
type Provenance = tuple[str, str]


def add_provenance(dataset: JSONDataset, digest: str, options: str, notes: Sequence[str] = ()) -> JSONDataset:
    """A copy of the data set with the private block, in place of any it had, in the first free block of the group.

    Args:
        dataset: the metadata of an instance.
        digest: SHA-256 of the source file in hex, with or without `sha256:` before it.
        options: a fingerprint of the options that shaped what is published.
        notes: what the report says of the instance, a line each.

    Raises:
        InputError: if every block of the group is taken.
    """
    kept = drop_provenance(dataset)
    taken = {key[6:] if key[4:6] == "00" else key[4:6] for key in kept if key[:4] == _GROUP}
    block = next((f"{number:02X}" for number in range(0x10, 0x100) if f"{number:02X}" not in taken), None)
    if block is None:
        raise InputError(f"every private block of group {_GROUP} is taken")
    added = {
        f"{_GROUP}00{block}": {"vr": "LO", "Value": [CREATOR]},
        f"{_GROUP}{block}01": {"vr": "UC", "Value": [f"sha256:{digest.removeprefix('sha256:')}"]},
        f"{_GROUP}{block}02": {"vr": "UC", "Value": [options]} if options else {"vr": "UC"},
    }
    if notes:
        added[f"{_GROUP}{block}03"] = {"vr": "UT", "Value": ["\n".join(notes)]}
    return dict(sorted((kept | added).items()))


def claimed(dataset: JSONDataset, holder: str) -> JSONDataset:
    """The metadata of an instance whose objects are being written by `holder`: they come from no one input."""
    marked = add_provenance(dataset, UNKNOWN, "")
    (block,) = _own_blocks(marked)
    return dict(sorted((marked | {f"{_GROUP}{block}04": {"vr": "UT", "Value": [holder]}}).items()))


def holder_of(dataset: JSONDataset) -> str:
    """Who writes the instance at the moment; empty if nobody does."""
    for block in _own_blocks(dataset):
        holder = dataset.get(f"{_GROUP}{block}04", {}).get("Value")
        if holder:
            return str(holder[0])
    return ""


def provenance(dataset: JSONDataset) -> Provenance | None:
    """The digest (with `sha256:` before it) and the options fingerprint.

    None if the data set has no such block, or is that of `claimed`.
    """
    for block in _own_blocks(dataset):
        digest = dataset.get(f"{_GROUP}{block}01", {}).get("Value")
        options = dataset.get(f"{_GROUP}{block}02", {}).get("Value")
        if digest and digest[0] != UNKNOWN:
            return str(digest[0]), str(options[0]) if options else ""
    return None


def published_notes(dataset: JSONDataset) -> tuple[str, ...]:
    """What was told of the instance when it was published."""
    for block in _own_blocks(dataset):
        lines = dataset.get(f"{_GROUP}{block}03", {}).get("Value")
        if lines:
            return tuple(str(lines[0]).split("\n"))
    return ()


def drop_provenance(dataset: JSONDataset) -> JSONDataset:
    """The data set without our blocks; the same object if it has none."""
    blocks = _own_blocks(dataset)
    if not blocks:
        return dataset
    creators = {f"{_GROUP}00{block}" for block in blocks}
    owned = tuple(f"{_GROUP}{block}" for block in blocks)
    return {key: element for key, element in dataset.items() if key not in creators and not key.startswith(owned)}


def _own_blocks(dataset: JSONDataset) -> list[str]:
    return [
        key[6:]
        for key, element in dataset.items()
        if key.startswith(_GROUP + "00") and key[6:] >= "10" and element.get("Value") == [CREATOR]
    ]
