"""Keys: where every object of a static DICOMweb service lives, and what it is.

A key is the DICOMweb URL path under the service root (PS3.18 10.1), without a leading slash. The media type and
the cache class of an object follow from its key and its first bytes alone, so that nothing beside the tree has to
remember them. `docs/format.md` is the specification.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from stillframe.dicom.syntaxes import HTJ2K_RPCL
from stillframe.dicom.uids import InstanceUIDs, is_uid
from stillframe.errors import InputError, LayoutError

JPHC: Final = f"image/jphc; transfer-syntax={HTJ2K_RPCL}"
DICOM_JSON: Final = "application/dicom+json"
PART10: Final = "application/dicom"
OCTET_STREAM: Final = "application/octet-stream"

# Enough of an object's start to name its media type: a multipart head names its boundary and its part's type.
HEAD_BYTES: Final = 512

MAX_KEY_BYTES: Final = 1024
"""Bytes of a key in UTF-8, with the prefix of its archive: what S3 allows, and folders that may move there as well."""

_BULK_PATH = re.compile(r"[0-9A-Za-z]+(?:/[0-9A-Za-z]+)*")
_PENDING = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_MULTIPART = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\nContent-Type: ([^\r\n]{1,200})\r\n")

_START_CODE = re.compile(rb"\x00{2,}\x01(..)", re.DOTALL)
# Offset of the first packet of a transport stream, and from one packet to the next.
_PACKETS: Final = ((0, 188), (4, 192))


class Kind(StrEnum):
    """What an object is."""

    QUERY = "query"
    METADATA = "metadata"
    FRAME = "frame"
    REDUCED_FRAME = "reduced frame"
    FRAME_INDEX = "frame index"
    PART10 = "part 10"
    BULK_DATA = "bulk data"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"
    PENDING = "pending"  # not published: word from one job to others


_LISTS = frozenset({Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.THUMBNAIL, Kind.PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key taken apart; `level` is the decode level of a reduced frame, `path` the path of bulk data."""

    kind: Kind
    study: str = ""
    series: str = ""
    instance: str = ""
    frame_number: int = 0
    level: int = 0
    path: str = ""


STUDIES: Final = "studies"
PENDING: Final = "pending"
"""Below it jobs leave word for each other in an object store, for a moment; nothing there is part of the service."""


def pending_key(name: str) -> str:
    """Word of one job, which its `name` of 32 hex digits tells from others: the studies whose records it wants made."""
    return f"{PENDING}/{name}"


def study_series_key(study: str) -> str:
    """List of a study's series."""
    return f"studies/{study}/series"


def instances_key(study: str, series: str = "") -> str:
    """List of the instances of a study, or of one series."""
    return f"studies/{study}/series/{series}/instances" if series else f"studies/{study}/instances"


def metadata_key(study: str, series: str = "", instance: str = "") -> str:
    """Metadata of a study, a series or an instance."""
    if instance:
        return f"studies/{study}/series/{series}/instances/{instance}/metadata"
    return f"studies/{study}/series/{series}/metadata" if series else f"studies/{study}/metadata"


def frame_index_key(study: str, series: str) -> str:
    """Byte offsets of every resolution of every frame of a series."""
    return f"studies/{study}/series/{series}/frame-index"


def instance_key(uids: InstanceUIDs) -> str:
    """The instance itself: the whole original object, and what the keys of all its other objects begin with."""
    return f"studies/{uids.study}/series/{uids.series}/instances/{uids.instance}"


def frame_key(uids: InstanceUIDs, frame_number: int) -> str:
    """One frame; `frame_number` counts from 1."""
    return f"{instance_key(uids)}/frames/{frame_number}"


def reduced_key(uids: InstanceUIDs, level: int, frame_number: int) -> str:
    """One frame halved `level` times."""
    return f"{instance_key(uids)}/reduced/{level}/frames/{frame_number}"


def bulk_data_key(uids: InstanceUIDs, path: str) -> str:
    """One bulk data value; `path` is its place in the data set, as `docs/format.md` has it."""
    return f"{instance_key(uids)}/bulkdata/{path}"


def rendered_key(uids: InstanceUIDs) -> str:
    """The instance as people see it: its document, its video or a picture of it."""
    return f"{instance_key(uids)}/rendered"


def thumbnail_key(study: str, series: str = "", instance: str = "") -> str:
    """Thumbnail of a study, a series or an instance."""
    return f"{metadata_key(study, series, instance).removesuffix('metadata')}thumbnail"


def parse_key(key: str) -> Key:
    """Take a key apart.

    Raises:
        LayoutError: if no object of the layout has this key.
    """
    parts = key.split("/")
    if parts[0] == PENDING and len(parts) == 2 and _PENDING.fullmatch(parts[1]):
        return Key(kind=Kind.PENDING, path=parts[1])
    if parts[0] != "studies":
        raise LayoutError(f"not a key of a DICOMweb service: {key[:200]!r}")
    if len(parts) == 1:
        return Key(kind=Kind.QUERY)
    study, rest = parts[1], parts[2:]
    series = instance = ""
    if len(rest) > 1 and rest[0] == "series":
        series, rest = rest[1], rest[2:]
        if len(rest) > 1 and rest[0] == "instances":
            instance, rest = rest[1], rest[2:]
    parsed = None if "" in parts else _leaf(study, series, instance, rest)
    if parsed is None:
        raise LayoutError(f"not a key of a DICOMweb service: {key[:200]!r}")
    if not all(is_uid(uid) for uid in (study, series, instance) if uid):
        raise LayoutError(f"not a UID in the key {key[:200]!r}")
    return parsed


def _leaf(study: str, series: str, instance: str, rest: list[str]) -> Key | None:
    """The object named by what follows the UIDs, or None."""
    key = partial(Key, study=study, series=series, instance=instance)
    match rest:
        case []:
            return key(kind=Kind.PART10) if instance else None
        case ["metadata"]:
            return key(kind=Kind.METADATA)
        case ["thumbnail"]:
            return key(kind=Kind.THUMBNAIL)
        case ["rendered"] if instance:
            return key(kind=Kind.RENDERED)
        case ["series"] if not series:
            return key(kind=Kind.QUERY)
        case ["instances"] if not instance:
            return key(kind=Kind.QUERY)
        case ["frame-index"] if series and not instance:
            return key(kind=Kind.FRAME_INDEX)
        case ["frames", number] if instance and _NUMBER.fullmatch(number):
            return key(kind=Kind.FRAME, frame_number=int(number))
        case ["reduced", level, "frames", number] if (
            instance and _NUMBER.fullmatch(level) and _NUMBER.fullmatch(number)
        ):
            return key(kind=Kind.REDUCED_FRAME, frame_number=int(number), level=int(level))
        case ["bulkdata", *path] if instance and _BULK_PATH.fullmatch("/".join(path)):
            return key(kind=Kind.BULK_DATA, path="/".join(path))
        case _:
            return None


def check_key_length(key: str, prefix: str = "") -> None:
    """Refuse a key of an instance's object that no object store takes.

    Only a value deep in sequences has one. `prefix` is what stands before all keys of the archive.

    Raises:
        InputError: naming what the key is of.
    """
    size = len(f"{prefix}{key}".encode())
    if size > MAX_KEY_BYTES:
        parsed = parse_key(key)
        what = f"{parsed.kind} {parsed.path}".rstrip()
        what = what if len(what) <= 120 else f"{what[:60]}…{what[-50:]}"
        raise InputError(f"{what}: its key would have {size} bytes, stores take {MAX_KEY_BYTES}")


def is_key(key: str) -> bool:
    """Whether an object of the layout may have this key."""
    try:
        parse_key(key)
    except LayoutError:
        return False
    return True


def is_list(kind: Kind) -> bool:
    """Whether objects of this kind change when instances are added; the others never change."""
    return kind in _LISTS


def is_json(kind: Kind) -> bool:
    """Whether objects of this kind are JSON, which object stores hold gzip-encoded."""
    return kind in (Kind.QUERY, Kind.METADATA, Kind.FRAME_INDEX, Kind.PENDING)


def is_fixed(key: str) -> bool:
    """Whether the object at a key never changes once it is published, so that caches keep it."""
    return not is_list(parse_key(key).kind)


def cache_control(kind: Kind, *, public: bool = True) -> str:
    """The Cache-Control header of objects of this kind."""
    if is_list(kind):
        return "no-cache"
    return f"{'public' if public else 'private'}, max-age=31536000, immutable"


def media_type(kind: Kind, head: bytes) -> str:
    """The Content-Type of an object, from its kind and its first `HEAD_BYTES` bytes.

    Raises:
        LayoutError: if the bytes are none that this kind of object may begin with.
    """
    match kind:
        case Kind.QUERY | Kind.METADATA:
            return DICOM_JSON
        case Kind.FRAME_INDEX | Kind.PENDING:
            return "application/json"
        case Kind.PART10:
            return PART10
        case Kind.BULK_DATA:
            return OCTET_STREAM
        case Kind.THUMBNAIL:
            return "image/jpeg"
        case Kind.RENDERED:
            return _rendered_type(head)
        case Kind.FRAME | Kind.REDUCED_FRAME:
            if head[:2] == b"\xff\x4f":
                return JPHC
            return _multipart_type(head)


def _multipart_type(head: bytes) -> str:
    start = _MULTIPART.match(head)
    if not start:
        raise LayoutError(f"a frame that is neither a codestream nor multipart: begins with {head[:8].hex()}")
    part_type = start[2].decode("latin-1").partition(";")[0].strip()
    return f'multipart/related; type="{part_type}"; boundary={start[1].decode("ascii")}'


def _rendered_type(head: bytes) -> str:
    """A picture, a video (PS3.5 8.2.5 to 8.2.8 name its streams and containers), or a document."""
    if head[:2] == b"\xff\xd8":
        return "image/jpeg"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if _is_transport_stream(head):
        return "video/mp2t"
    start = _START_CODE.match(head)
    if start:
        code, following = start[1]
        if code in (0xBA, 0xB3):  # a pack of a program stream, or a sequence header (ISO/IEC 13818-1, -2)
            return "video/mpeg"
        if code in (0x40, 0x42, 0x46) and following == 1:  # HEVC parameter sets, access unit delimiter
            return "video/H265"
        if code & 0x9F in (7, 9) or code == 6:  # AVC sequence parameter set, access unit delimiter, or SEI
            return "video/H264"
    if b"%PDF-" in head:  # readers allow for some bytes before it
        return "application/pdf"
    raise LayoutError(f"a rendered object of unknown type: begins with {head[:8].hex()}")


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets of 188 bytes follow each other (ISO/IEC 13818-1), or of 192, with the time before each."""
    return any(
        head[offset : offset + 1] == head[offset + size : offset + size + 1] == b"G" for offset, size in _PACKETS
    )


def path_of_key(key: str) -> str:
    """The path, relative to a directory tree's root, of the file that holds the object.

    A key that is also the prefix of others cannot be a file: it is `<key>/index.json`, or `<key>/index.dcm` for a
    whole Part 10 object.
    """
    parsed = parse_key(key)
    if parsed.kind is Kind.PART10:
        return f"{key}/index.dcm"
    if parsed.kind is Kind.QUERY and (not parsed.study or parsed.series or key.endswith("/series")):
        return f"{key}/index.json"
    return key


def key_of_path(path: str) -> str:
    """The key of a file of a directory tree: the inverse of `path_of_key`.

    Raises:
        LayoutError: if the path is not where an object of the layout lives.
    """
    key = path.removesuffix("/index.json").removesuffix("/index.dcm")
    if path_of_key(key) != path:
        raise LayoutError(f"no object of the layout lives at {path[:200]!r}")
    return key
