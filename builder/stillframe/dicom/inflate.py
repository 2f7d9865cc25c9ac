"""Deflated data sets (PS3.5 A.5): raw deflate, or what some writers make of it, with the head of zlib or of gzip."""

from __future__ import annotations

import struct
import tempfile
import zlib
from typing import IO, Final

from stillframe.dicom.files import ReadableFile
from stillframe.errors import InputError

_BLOCK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b\x08"


def inflate(file: ReadableFile, max_unpacked: int) -> tuple[ReadableFile, list[str]]:
    """What is deflated from the file's offset on, inflated into an unnamed temporary file, and notes.

    Raises:
        InputError: if it is damaged, ends early, or has more than `max_unpacked` bytes.
    """
    window, kind = find_window(_peek(file, 8))
    notes = [f"the deflated data set has a {kind} head; it was read through it"] if kind else []
    inflated = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the instance)
    try:
        behind = _inflate_into(inflated, file, zlib.decompressobj(window), max_unpacked)
    except BaseException:
        inflated.close()
        raise
    if behind:
        notes.append(f"{behind} bytes behind the deflated data set are not published")
    inflated.seek(0)
    return inflated, notes


def inflate_head(file: ReadableFile, size: int) -> bytes:
    """The first `size` bytes of what is deflated from the file's offset on, where it stays; fewer if nothing is."""
    head = _peek(file, _BLOCK)
    window, _ = find_window(head[:8])
    try:
        return zlib.decompressobj(window).decompress(head, size)
    except zlib.error:
        return b""


def _peek(file: ReadableFile, size: int) -> bytes:
    head = file.read(size)
    file.seek(file.tell() - len(head))
    return head


def find_window(head: bytes) -> tuple[int, str]:
    """How zlib has to be told what begins with `head`, and the name of what it has in front of the raw stream.

    In a raw stream (RFC 1951), which PS3.5 A.5 and A.4.13 ask for, the first byte of a zlib head (RFC 1950) begins a
    stored block, whose length would follow twice, the second time inverted; that of a gzip head (RFC 1952) begins
    nothing.
    """
    if head.startswith(_GZIP):
        return 16 + zlib.MAX_WBITS, "gzip"
    stored = len(head) >= 5 and int.from_bytes(head[1:3]) ^ int.from_bytes(head[3:5]) == 0xFFFF
    if len(head) >= 2 and head[0] & 0x8F == 8 and int.from_bytes(head[:2]) % 31 == 0 and not stored:
        return zlib.MAX_WBITS, "zlib"
    return -zlib.MAX_WBITS, ""


def _inflate_into(inflated: IO[bytes], file: ReadableFile, inflater: zlib._Decompress, max_unpacked: int) -> int:
    """Inflate into a file; how many bytes follow in the other, beside padding and what gzip ends with."""
    total = check = 0
    try:
        while not inflater.eof and (block := file.read(_BLOCK)):
            while block and not inflater.eof:
                piece = inflater.decompress(block, 1 << 24)
                block = inflater.unconsumed_tail
                total, check = total + len(piece), zlib.crc32(piece, check)
                if total > max_unpacked:
                    raise InputError(f"its deflated data set has more than {max_unpacked} bytes (--max-unpacked)")
                inflated.write(piece)
    except zlib.error as error:
        reason = f"the deflated data set is damaged before offset {file.tell()}, or its checksum is wrong"
        raise InputError(reason) from error
    if not inflater.eof:
        raise InputError("truncated: the deflated data set ends early")
    behind = inflater.unused_data + file.read(_BLOCK)
    behind = behind.removeprefix(struct.pack("<LL", check, total & 0xFFFFFFFF))  # RFC 1952 2.3.1
    count, padding = len(behind), not any(behind)
    while block := file.read(_BLOCK):
        count, padding = count + len(block), padding and not any(block)
    return 0 if padding else count
