"""The `frame-index` of a series: where every resolution of every frame ends, in bytes. Version 1, `docs/format.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stillframe.codec.codestream import FrameRow
from stillframe.dicom.syntaxes import HTJ2K_RPCL

VERSION: Final = 1

type FrameIndex = dict[str, Any]
type _Levels = tuple[tuple[int, int, int], ...]


def merge_frame_index(
    existing: FrameIndex | None, rows: Mapping[str, Sequence[FrameRow]], gone: frozenset[str] = frozenset()
) -> FrameIndex:
    """A frame index with the rows of some instances put in, or in place of what it said of them.

    `rows` maps SOP Instance UIDs to the rows of their frames; instances whose frames are not HTJ2K have none and drop
    out, as do those in `gone`. Merging is associative, and merging the same rows again changes nothing.
    """
    instances: dict[str, tuple[_Levels, list[list[int]], list[str]]] = {}
    for group in (existing or {}).get("groups", ()):
        levels = tuple((level["decodeLevel"], level["width"], level["height"]) for level in group["levels"])
        for uid, offsets in group["instances"].items():
            instances[uid] = (levels, offsets, group["crc32"][uid])
    for uid, frames in rows.items():
        instances.pop(uid, None)
        if frames:
            instances[uid] = _entry(frames)
    kept = {uid: entry for uid, entry in instances.items() if uid not in gone}
    return {"version": VERSION, "transferSyntaxUID": HTJ2K_RPCL, "groups": _groups(kept)}


def indexed_instances(index: FrameIndex | None) -> set[str]:
    """The SOP Instance UIDs that have rows in a frame index."""
    return {uid for group in (index or {}).get("groups", ()) for uid in group["instances"]}


def parse_frame_index(data: bytes) -> FrameIndex | None:
    """A frame index as it is published; None if the bytes are anything else."""
    try:
        index: FrameIndex = json.loads(data)
        for group in index["groups"]:
            width = len([(level["decodeLevel"], level["width"], level["height"]) for level in group["levels"]])
            for uid, offsets in group["instances"].items():
                if len(group["crc32"][uid]) != len(offsets) or any(len(row) != width for row in offsets):
                    return None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return index


def _entry(frames: Sequence[FrameRow]) -> tuple[_Levels, list[list[int]], list[str]]:
    levels = tuple((r.decode_level, r.width, r.height) for r in frames[0].resolutions)
    offsets = [[r.prefix_length for r in frame.resolutions] for frame in frames]
    return levels, offsets, [f"{frame.crc32:08x}" for frame in frames]


def _groups(instances: Mapping[str, tuple[_Levels, list[list[int]], list[str]]]) -> list[dict[str, Any]]:
    """Instances of one size and number of levels share a group; groups and instances are sorted."""
    groups: dict[_Levels, list[str]] = {}
    for uid in sorted(instances):
        groups.setdefault(instances[uid][0], []).append(uid)
    return [
        {
            "levels": [{"decodeLevel": level, "width": width, "height": height} for level, width, height in levels],
            "instances": {uid: instances[uid][1] for uid in uids},
            "crc32": {uid: instances[uid][2] for uid in uids},
        }
        for levels, uids in sorted(groups.items())
    ]
