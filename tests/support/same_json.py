"""Whether our DICOM JSON says what pydicom's does."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

from stillframe.dicom.json_model import JSONDataset


def comparable(value: Any) -> Any:
    """Without padding, which pydicom leaves around some values."""
    if isinstance(value, str):
        return value.strip(" \0") or None
    if isinstance(value, dict):
        return {name: group.strip(" \0") for name, group in value.items() if group.strip(" \0")} or None
    return value


def plain_values(element: dict[str, Any]) -> list[Any]:
    values = [comparable(value) for value in element.get("Value", [])]
    if element["vr"] in ("DS", "IS"):
        return [value if value is None else Decimal(str(value)) for value in values]
    return [] if values == [None] else values


def swapped(data: bytes) -> bytes:
    return b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))


def assert_same(ours: JSONDataset, theirs: JSONDataset, bulk: dict[str, bytes], *, little: bool) -> None:
    skipped = {"00080005"} | {key for key in theirs if key[4:] == "0000"}
    assert {*ours} - skipped == {*theirs} - skipped
    assert list(ours) == sorted(ours)
    for key in ours.keys() - skipped:
        mine, other = ours[key], theirs[key]
        assert mine["vr"] == other["vr"], key
        if mine["vr"] == "SQ":
            assert len(mine.get("Value", [])) == len(other.get("Value", [])), key
            for item, their_item in zip(mine.get("Value", []), other.get("Value", []), strict=True):
                assert_same(item, their_item, bulk, little=little)
        elif "InlineBinary" in other:
            data = base64.b64decode(other["InlineBinary"])
            if mine["vr"] == "OW" and not little:
                data = swapped(data)  # pydicom leaves words in the order of the source
            uri = mine.get("BulkDataURI", "")
            assert (bulk[uri.removeprefix("bulkdata/")] if uri else base64.b64decode(mine["InlineBinary"])) == data
        else:
            assert plain_values(mine) == plain_values(other), key
