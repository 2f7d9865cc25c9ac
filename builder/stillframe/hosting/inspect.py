"""Reads of one published frame only what tells its markers, its tile-parts, and where each resolution ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email import message_from_bytes
from typing import Final

from stillframe.codec.codestream import Resolution, resolutions
from stillframe.codec.markers import SOT_LENGTH, MainHeader, TilePart, parse_header, parse_tile_part
from stillframe.errors import CodestreamError
from stillframe.hosting.byte_source import GetBytes

_FIRST_RANGE: Final = 4096
_LONGEST_HEADER: Final = 1 << 20
_MOST_TILE_PARTS: Final = 64
_SOC: Final = b"\xff\x4f"
_EOC_LENGTH: Final = 2

_DELIMITER = re.compile(rb"(--[0-9A-Za-z'()+_,./:=? -]{1,70})\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReport:
    """What was found in the object of one frame.

    `size` is the object's in bytes, None if unknown. A codestream begins at `offset`, 0 unless it is a part of a
    multipart body. `media_type` is what the part states, empty outside a multipart body. `header` is None if the part
    is no codestream. `tile_parts` and the prefixes of `resolutions` count from the start of the codestream, whose
    `length` is None if unknown. `notes` say why something is missing.
    """

    size: int | None
    offset: int
    length: int | None
    media_type: str = ""
    header: MainHeader | None = None
    tile_parts: tuple[TilePart, ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    notes: tuple[str, ...] = ()


def inspect_frame(get_bytes: GetBytes, size: int | None) -> FrameReport:
    """Read one frame object: a codestream, or a multipart body with one part of any type.

    Args:
        get_bytes: `get_bytes(offset, length)` returns that range of the object, less where the object ends
            (`byte_source.file_source`, `byte_source.http_source`).
        size: of the object in bytes, None if unknown.

    Raises:
        CodestreamError: if it is neither, or its main header is malformed.
        StoreError: from `get_bytes`.
    """
    head = get_bytes(0, _FIRST_RANGE)
    if head.startswith(_SOC):
        return _inspect_codestream(get_bytes, FrameReport(size=size, offset=0, length=size))
    if head.startswith(b"--"):
        return _inspect_multipart(get_bytes, size, head)
    what = "a DICOM file, not one of its frames" if head[128:132] == b"DICM" else f"begins with {head[:8].hex()}"
    raise CodestreamError(f"neither a codestream nor a multipart body: {what}")


def _inspect_multipart(get_bytes: GetBytes, size: int | None, head: bytes) -> FrameReport:
    """A body of one part (RFC 2046 5.1): what the part says it is and, if that is a codestream, what is in it."""
    delimiter = _DELIMITER.match(head)
    end = head.find(b"\r\n\r\n")
    if not delimiter or end < 0:
        raise CodestreamError("a multipart body whose first part has no header")
    offset = end + 4
    length = None if size is None else _part_length(get_bytes, size, offset, delimiter[1])
    fields = message_from_bytes(head[delimiter.end() : end])
    media_type = str(fields.get("Content-Type", "application/octet-stream")).strip()
    part = FrameReport(size=size, offset=offset, length=length, media_type=media_type)
    if get_bytes(offset, 2) != _SOC:
        return replace(part, notes=("the part is not a JPEG 2000 codestream",))
    return _inspect_codestream(get_bytes, part)


def _part_length(get_bytes: GetBytes, size: int, offset: int, delimiter: bytes) -> int | None:
    """Length of the one part: up to the closing delimiter at the end of the body, None if there is none."""
    closing = b"\r\n" + delimiter + b"--"
    start = max(offset, size - len(closing) - 2)
    end = get_bytes(start, size - start).rfind(closing)
    return None if end < 0 else start + end - offset


def _inspect_codestream(get_bytes: GetBytes, part: FrameReport) -> FrameReport:
    """The report of a part that is a codestream, completed with what is in it."""

    def get_part(start: int, count: int) -> bytes:
        return get_bytes(part.offset + start, count)

    header = _read_header(get_part)
    notes = []
    known = (
        part.length if part.length is not None else header.header_length + sum(header.tile_part_lengths) + _EOC_LENGTH
    )
    table: tuple[Resolution, ...] = ()
    tile_parts: tuple[TilePart, ...] = ()
    try:
        table = resolutions(header, known)
    except CodestreamError as error:
        notes.append(str(error))
    try:
        tile_parts = tuple(_read_tile_parts(get_part, header, known))
    except CodestreamError as error:
        notes.append(str(error))
    if len(tile_parts) == _MOST_TILE_PARTS:
        notes.append(f"only the first {_MOST_TILE_PARTS} tile-parts were read")
    return replace(part, header=header, tile_parts=tile_parts, resolutions=table, notes=tuple(notes))


def _read_header(get_bytes: GetBytes) -> MainHeader:
    """The main header, from as few bytes as reach its end."""
    length = _FIRST_RANGE
    while True:
        head = get_bytes(0, length)
        try:
            return parse_header(head)
        except CodestreamError:
            if len(head) < length or length >= _LONGEST_HEADER:
                raise
        length *= 4


def _read_tile_parts(get_bytes: GetBytes, header: MainHeader, length: int) -> Iterator[TilePart]:
    """The SOT segments, one small range each; a tile-part of length 0 reaches to EOC and is the last (A.4.2)."""
    offset = header.header_length
    for _ in range(_MOST_TILE_PARTS):
        if offset + SOT_LENGTH > length:
            return
        part = parse_tile_part(get_bytes(offset, SOT_LENGTH))
        yield replace(part, offset=offset)
        if not part.length:
            return
        offset += part.length


def format_report(report: FrameReport) -> str:
    """The report as lines of text for a terminal, without a line break at the end."""
    lines = [f"object       {_count(report.size)}"]
    if report.media_type:
        lines.append(f"part         {report.media_type}, {_count(report.length)} at offset {report.offset}")
    if report.header:
        lines += _header_lines(report.header)
        lines += ["", *_table(("marker", "offset", "length"), _marker_rows(report.header))]
    if report.tile_parts:
        rows = [(f"{p.tile_index}", f"{p.part_index}", f"{p.offset}", f"{p.length}") for p in report.tile_parts]
        lines += ["", *_table(("tile", "tile-part", "offset", "length"), rows)]
    if report.resolutions:
        lines += ["", *_table(("decode level", "size", "prefix", "percent"), _resolution_rows(report.resolutions))]
    lines += [f"note         {note}" for note in report.notes]
    return "\n".join(lines)


def _count(size: int | None) -> str:
    return "of unknown size" if size is None else f"{size} bytes"


def _header_lines(header: MainHeader) -> Iterator[str]:
    kind = "HTJ2K" if header.high_throughput else "JPEG 2000"
    wavelet = "reversible 5-3" if header.reversible else "irreversible 9-7"
    first, count = header.components[0], len(header.components)
    colour = ", colour transform" if header.colour_transform else ""
    sign = "signed" if first.signed else "unsigned"
    block_width, block_height = header.block_size
    yield f"codestream   {kind}, {wavelet}, {header.progression}, {_plural(header.layers, 'layer')}"
    yield (
        f"image        {header.width} x {header.height}, {_plural(count, 'component')} of {first.precision} bits, "
        + (f"{sign}{colour}")
    )
    yield f"resolutions  {_plural(header.levels, 'decomposition level')}, code blocks {block_width} x {block_height}"
    for comment in header.comments:
        printable = "".join(c if c.isprintable() else "?" for c in comment[:200])
        yield f"comment      {printable}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _marker_rows(header: MainHeader) -> list[tuple[str, ...]]:
    segments = [(segment.name, f"{segment.offset}", f"{segment.length}") for segment in header.segments]
    return [("SOC", "0", "2"), *segments, ("SOT", f"{header.header_length}", f"{SOT_LENGTH}")]


def _resolution_rows(table: Sequence[Resolution]) -> list[tuple[str, ...]]:
    total = table[-1].prefix_length
    return [
        (f"{r.decode_level}", f"{r.width} x {r.height}", f"{r.prefix_length}", f"{100 * r.prefix_length / total:.1f} %")
        for r in table
    ]


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others))
