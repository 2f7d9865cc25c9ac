"""Reading and writing values of the DICOM JSON model (PS3.18 F.2). Needs no DICOM library."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

# One data set in the DICOM JSON model (PS3.18 F.2): tag -> {"vr": ..., "Value": [...]}.
type JSONDataset = dict[str, dict[str, Any]]

PN_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")

SOP_CLASS_UID: Final = "00080016"
SOP_INSTANCE_UID: Final = "00080018"
STUDY_UID: Final = "0020000D"
SERIES_UID: Final = "0020000E"
NUMBER_OF_FRAMES: Final = "00280008"
# Available Transfer Syntax UID: of the frames, or of a video.
SYNTAX: Final = "00083002"


@dataclass(frozen=True, slots=True)
class BulkValue:
    """A value that left the JSON: `path` under `bulkdata/`, and its bytes in little endian order."""

    path: str
    data: bytes


class BulkData(Protocol):
    """The values that left the JSON, by their path below `bulkdata/`."""

    def get(self, path: str, default: bytes, /) -> bytes:
        """A value, `default` if it is not there."""


def in_other_vr(tag: str, vr: str, published: Mapping[str, Any]) -> str:
    """A note on an element that a file has in the VR `vr`, and that is published in its own with what its bytes say."""
    return f"({tag[:4]},{tag[4:]}) has the VR {vr}; published as {published['vr']}"


def rebase_bulk(dataset: JSONDataset, prefix: str) -> JSONDataset:
    """The data set with `prefix` before every BulkDataURI, in items too; the same object if there is none."""
    changed = {}
    for key, element in dataset.items():
        if "BulkDataURI" in element:
            changed[key] = element | {"BulkDataURI": prefix + element["BulkDataURI"]}
        elif element["vr"] == "SQ" and "Value" in element:
            items = [rebase_bulk(item, prefix) for item in element["Value"]]
            if any(new is not old for new, old in zip(items, element["Value"], strict=True)):
                changed[key] = element | {"Value": items}
    return dataset | changed if changed else dataset


def parse_datasets(data: bytes) -> list[JSONDataset] | None:
    """The data sets of a document as `dumps` writes it; None if the bytes are anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, list) and all(map(is_dataset, document)) else None


def is_dataset(value: Any) -> bool:
    """Whether a value of JSON is a data set, as far as every reader here relies on that."""
    if not isinstance(value, dict):
        return False
    for element in value.values():  # lists have millions of these
        if not isinstance(element, dict) or not isinstance(element.get("vr"), str):
            return False
        if "Value" in element and not isinstance(element["Value"], list):
            return False
    return True


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dumps(value: Any) -> bytes:
    """JSON text in UTF-8, compact; the same value always gives the same bytes.

    Raises:
        ValueError: if a number is NaN or infinite.
    """
    return _encode(value).encode()


def first_value(dataset: JSONDataset, tag: str) -> Any:
    """The first value of an attribute, None if it is absent or empty."""
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None


def binary_value(element: Mapping[str, Any], bulk: BulkData) -> bytes:
    """The bytes of a binary value, wherever the JSON model keeps them; none of any other value."""
    if "BulkDataURI" in element:
        return bulk.get(str(element["BulkDataURI"]).removeprefix("bulkdata/"), b"")
    return b64decode(element.get("InlineBinary", ""))


def text_value(dataset: JSONDataset, tag: str) -> str:
    """The first value of an attribute as text: of a name its groups joined by `=`, of nothing an empty string."""
    value = first_value(dataset, tag)
    if isinstance(value, dict):
        return "=".join(str(value.get(name) or "") for name in PN_GROUPS).rstrip("=")
    return "" if value is None else str(value)


def named_uids(dataset: JSONDataset) -> tuple[str, str, str]:
    """Study, Series and SOP Instance UID as a data set names them, "" where it does not."""
    return text_value(dataset, STUDY_UID), text_value(dataset, SERIES_UID), text_value(dataset, SOP_INSTANCE_UID)
