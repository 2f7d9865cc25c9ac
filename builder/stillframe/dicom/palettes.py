"""Segmented palettes (PS3.3 C.7.9.2) as the tables that they stand for (PS3.3 C.7.6.3.1.6)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stillframe.dicom.json_model import JSONDataset, binary_value

_CHANNELS: Final = ("Red", "Green", "Blue", "Alpha")
_DESCRIPTOR, _TABLE, _SEGMENTED = "0028110{}", "0028120{}", "0028122{}"

SEGMENTED_TABLES: Final = frozenset(_SEGMENTED.format(number) for number, _ in enumerate(_CHANNELS, 1))
"""Tags of Segmented Palette Color Lookup Table Data."""


def expand_palette(dataset: JSONDataset, bulk: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """The tables that the segmented ones of a data set stand for, by the tags of Palette Color Lookup Table Data.

    Args:
        dataset: in the JSON model; its sequences are not looked into.
        bulk: the values that left the JSON, by their path below `bulkdata/`. What is not among them stays as it is.

    Returns:
        The tables, in little endian order, 8-bit entries a byte each; none unless all segmented ones can be expanded.
        And what the owner should know.
    """
    tables: dict[str, bytes] = {}
    notes: list[str] = []
    for number, channel in enumerate(_CHANNELS, 1):
        segmented, table = dataset.get(_SEGMENTED.format(number), {}), _TABLE.format(number)
        words = _value_bytes(segmented, bulk)
        if not words or len(dataset.get(table, {})) > 1:  # the table itself is there
            continue
        name = f"Segmented {channel} Palette Color Lookup Table Data (0028,122{number})"
        try:
            count, bits = _read_descriptor(dataset.get(_DESCRIPTOR.format(number), {}))
            entries = _expand(words, bits <= 8, count)
        except (ValueError, LookupError) as error:
            return {}, [f"{name} cannot be expanded, and is published as it is: {error}"]
        if len(entries) < count:
            told = f"{name} has {len(entries)} entries, {count} are promised"
            notes.append(f"{told}; the last one is repeated in (0028,120{number})")
            entries += entries[-1:] * (count - len(entries))
        tables[table] = _table_bytes(entries, bits)
    return tables, notes


def segmented_tag(table: str) -> str:
    """The tag of the segmented data that a table stands in the place of."""
    return f"0028122{table[-1]}"


def _value_bytes(element: Mapping[str, Any], bulk: Mapping[str, bytes]) -> bytes:
    """The value of a table as bytes in little endian order; some writers give it a VR of numbers."""
    if element.get("vr") in ("US", "SS") and "Value" in element:
        return struct.pack(f"<{len(element['Value'])}H", *(value & 0xFFFF for value in element["Value"]))
    return binary_value(element, bulk)


def _read_descriptor(element: Mapping[str, Any]) -> tuple[int, int]:
    """Number of entries (0 stands for 65536) and bits of an entry (PS3.3 C.7.6.3.1.5)."""
    values = element.get("Value", ())
    if len(values) != 3 or not all(isinstance(value, int) for value in values):
        raise ValueError("it has no descriptor of three numbers")
    count, _, bits = values
    if not (0 <= count <= 1 << 16 and 1 <= bits <= 16):
        raise ValueError(f"its descriptor promises {count} entries of {bits} bits")
    return count or 1 << 16, bits


def _expand(words: bytes, eight_bit: bool, count: int) -> list[int]:
    data = words if eight_bit else struct.unpack(f"<{len(words) // 2}H", words[: len(words) // 2 * 2])
    entries = expand_segments(data, eight_bit, count)
    if not entries:
        raise ValueError("it has no segments")
    return entries


def _table_bytes(entries: Sequence[int], bits: int) -> bytes:
    """Entries as Palette Color Lookup Table Data: two of 8 bits in a word, the first one in its lower byte."""
    if bits <= 8:
        return bytes(entries) + bytes(len(entries) % 2)
    return struct.pack(f"<{len(entries)}H", *entries)


def expand_segments(data: Sequence[int], eight_bit: bool, wanted: int) -> list[int]:
    """The entries of a segmented palette (PS3.3 C.7.9.2): discrete, linear and indirect segments.

    Every segment makes an entry or ends the data, so that well-formed ones stay within the budget of segments.

    Args:
        data: the words of the segmented data, bytes where entries have 8 bits.
        eight_bit: whether they are bytes.
        wanted: how many entries the palette has; no more are made.

    Raises:
        ValueError: if a segment is malformed, or there are too many.
    """
    entries: list[int] = []
    budget = wanted + len(data)
    bits, words = (8, 4) if eight_bit else (16, 2)
    offset, left = 0, 0
    after: int | None = None  # where the segments go on after those that an indirect one repeats, `left` of them
    while len(entries) < wanted:
        padding = offset + 1 == len(data) and data[offset] == 0
        if offset >= len(data) or padding or (after is not None and not left):
            if after is None:
                break
            offset, after = after, None
            continue
        operation, length = data[offset], data[offset + 1] if offset + 1 < len(data) else 0
        count = min(length, wanted - len(entries))
        budget, left = budget - 1, left - 1
        if length == 0 or budget < 0:
            raise ValueError(f"an empty palette segment at {offset}, or too many")
        if operation == 0:
            entries += data[offset + 2 : offset + 2 + count]
            offset += 2 + length
        elif operation == 1 and entries and offset + 2 < len(data):
            start, end = entries[-1], data[offset + 2]
            entries += [round(start + (end - start) * step / length) for step in range(1, count + 1)]
            offset += 3
        elif operation == 2 and after is None:
            after, left = offset + 2 + words, length
            target = sum(part << (bits * index) for index, part in enumerate(data[offset + 2 : after]))
            offset = target if eight_bit else target // 2
        else:
            raise ValueError(f"a palette segment of type {operation} at {offset}")
    return entries
