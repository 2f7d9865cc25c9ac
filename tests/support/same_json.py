"""Whether our DICOM JSON says what pydicom's does, but for what docs/format.md or a note lets differ."""

from __future__ import annotations

import base64
import functools
import math
import re
import struct
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import _expand_segmented_lut
from pydicom.valuerep import ISfloat

from stillframe.dicom.json_model import JSONDataset
from tests.support.places import REPOSITORY


def comparable(value: Any) -> Any:
    """Without padding, which pydicom leaves around some values."""
    if isinstance(value, str):
        return value.strip("\0 ") or None
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
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


def _is_read_otherwise(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether pydicom makes more of the same bytes.

    It gives a UN the VR of the dictionary, whatever stands there, lets an element longer than its item take bytes of
    the next one, and decodes what no character set counts for (PS3.5 6.1.2.3) as ISO 8859-1.
    """
    if mine["vr"] == "UN" and "InlineBinary" in mine:
        if "InlineBinary" in other:
            longer = base64.b64decode(other["InlineBinary"])
            return len(longer) > len(data := base64.b64decode(mine["InlineBinary"])) and longer.startswith(data)
        text = "\\".join(_plain_text(value) for value in other.get("Value", []))
        data = base64.b64decode(mine["InlineBinary"]).strip(b"\0 ")
        if "\ufffd" in text:  # it decodes as far as it can
            return text.strip("\0 ") in (data.decode("ascii", "replace"), data.decode("utf-8", "replace"))
        return data == text.encode("latin-1", "replace").strip(b"\0 ")
    plain = mine["vr"] in ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR") and mine["vr"] == other["vr"]
    return plain and any(not str(value).isascii() for value in other.get("Value", []))


def _plain_text(value: Any) -> str:
    """A value as it stands in the file; the component groups of a name are those of PS3.18 F.2.2."""
    if not isinstance(value, dict):
        return str(value)
    groups = [value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic")]
    return "=".join(groups).rstrip("=")


def assert_same(
    ours: JSONDataset,
    theirs: JSONDataset,
    bulk: Mapping[str, bytes],
    *,
    little: bool,
    left_out: AbstractSet[str] = frozenset(),
) -> None:
    skipped = {"00080005"} | {key for key in theirs if key[4:] == "0000"} | (left_out - ours.keys())
    assert {*ours} - skipped == {*theirs} - skipped
    assert list(ours) == sorted(ours)
    for key in ours.keys() - skipped:
        mine, other = ours[key], theirs[key]
        if _is_read_otherwise(mine, other):
            continue
        assert mine["vr"] == other["vr"], key
        if mine["vr"] == "SQ":
            assert len(mine.get("Value", [])) == len(other.get("Value", [])), key
            for item, their_item in zip(mine.get("Value", []), other.get("Value", []), strict=True):
                assert_same(item, their_item, bulk, little=little, left_out=left_out)
        elif "InlineBinary" in other:
            data = base64.b64decode(other["InlineBinary"])
            if mine["vr"] == "OW" and not little:
                data = swapped(data)  # pydicom leaves words in the order of the source
            uri = mine.get("BulkDataURI", "")
            assert (bulk[uri.removeprefix("bulkdata/")] if uri else base64.b64decode(mine["InlineBinary"])) == data
        else:
            assert plain_values(mine) == plain_values(other), key


@functools.cache
def differing() -> tuple[re.Pattern[str], ...]:
    """The tags that docs/format.md lets differ from the source without a note, from the first column of its table."""
    text = (REPOSITORY / "docs" / "format.md").read_text()
    table = text.partition("| element | in the metadata |")[2].partition("\n\n")[0]
    column = "".join(row.split("|")[1] for row in table.splitlines()[2:])
    tags = re.findall(r"\(([0-9A-Fx]{4}),([0-9A-Fx]{4})\)", column)
    return tuple(re.compile((group + number).replace("x", "[0-9A-F]")) for group, number in tags)


def may_differ(key: str, notes: str) -> bool:
    """Whether a note names a tag, or the format lets it differ; of overlays only those that a note tells of."""
    named = f"({key[:4]},{key[4:]})" in notes or key in notes
    if key.startswith("60"):
        return named or (f"({key[:4]},3000)" in notes and any(tag.fullmatch(key) for tag in differing()))
    return named or any(tag.fullmatch(key) for tag in differing())


def bulk_uris(item: dict[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str, str]]:
    """Place, VR and URI of every bulk value: tags and, from 0, numbers of items."""
    for key, element in item.items():
        if "BulkDataURI" in element:
            yield (*path, int(key, 16)), element["vr"], element["BulkDataURI"]
        elif element["vr"] == "SQ":
            for number, nested in enumerate(element.get("Value", [])):
                yield from bulk_uris(nested, (*path, int(key, 16), number))


def json_of(source: Dataset) -> dict[str, Any]:
    """What pydicom makes of a data set: all of it, or what is left where it cannot write an element.

    It reads decimals where integers must stand, and cuts them when it writes. JSON numbers need not be integers there
    (PS3.18 F.2.3), so they are what it read.
    """
    try:
        written = source.to_json_dict()
    except ValueError:
        written = source.to_json_dict(suppress_invalid_tags=True)
    _write_decimals(source, written)
    return written


def _write_decimals(source: Dataset, written: JSONDataset) -> None:
    for key, element in written.items():
        if element["vr"] == "SQ":
            for item, written_item in zip(source[key].value, element.get("Value", ()), strict=True):
                _write_decimals(item, written_item)
        elif element["vr"] == "IS" and "Value" in element:
            read = source[key].value
            values = read if isinstance(read, MultiValue) else [read]
            element["Value"] = [
                number.original_string if isinstance(number, ISfloat) else plain
                for number, plain in zip(values, element["Value"], strict=True)
            ]


def show_values(source: Dataset) -> None:
    """Put a data set that pydicom read into the form of docs/format.md that needs no note, at every depth."""
    for item in [source, *(item for element in source.iterall() if element.VR == "SQ" for item in element.value)]:
        if item.get("VOILUTFunction") == "LINEAR":
            del item.VOILUTFunction
        for number in range(1, 5):
            segmented, table = 0x00281220 + number, 0x00281200 + number
            descriptor = item.get(0x00281100 + number)
            if segmented not in item or table in item or descriptor is None:
                continue
            kind = ("<" if source.original_encoding[1] is not False else ">") + (
                "B" if descriptor.value[2] <= 8 else "H"
            )
            words = [word for (word,) in struct.iter_unpack(kind, item[segmented].value)]
            entries = _expand_segmented_lut(tuple(words), kind)
            item.add_new(table, "OW", struct.pack(f"{kind[0]}{len(entries)}{kind[1]}", *entries))
            del item[segmented]


def check_elements(source: Dataset, metadata: JSONDataset, bulk: Mapping[str, bytes], notes: str) -> None:
    """See that each element of a source is in the published metadata with its value, or may differ.

    `bulk` has the binary values by what follows `bulkdata/` in their URIs, `notes` is what was noted of the instance.
    """
    theirs = json_of(source)
    unwritten = {f"{tag:08X}" for tag, _ in source.items()} - theirs.keys()  # read by pydicom, that is
    assert all(may_differ(key, notes) for key in unwritten)
    unlike = {key for key in [*theirs, *metadata, *unwritten] if may_differ(key, notes)}
    long_numbers = {f"{place[0]:08X}" for place, vr, _ in bulk_uris(metadata) if vr not in ("OB", "OW", "UN", "OF")}
    ours = {key: value for key, value in metadata.items() if key not in unlike | long_numbers}
    expected = {key: value for key, value in theirs.items() if key not in unlike | long_numbers}
    told = "\n".join(note for note in notes.split("\n") if " is left out" in note)
    left_out = {group + element for group, element in re.findall(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)", told)}
    assert_same(ours, expected, bulk, little=source.original_encoding[1] is not False, left_out=left_out)
