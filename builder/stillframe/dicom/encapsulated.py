"""Encapsulated pixel data (PS3.5 A.4): which bytes of the file make up which frame."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.syntaxes import Family
from stillframe.dicom.walk import MAX_PARTS
from stillframe.errors import PixelDataError

_ITEM: Final = 0xFFFEE000
_DELIMITER: Final = b"\xfe\xff\xdd\xe0"
_PADDING: Final = b"\xfc\xff\xfc\xff"
_SOI = (b"\xff\xd8", b"\xff\x4f")  # JPEG and JPEG-LS start of image; JPEG 2000 start of codestream
_EOI: Final = b"\xff\xd9"
RLE_HEADER_BYTES: Final = 64
"""Bytes of the header of an RLE frame (PS3.5 G.5)."""
_MOST_SEGMENTS: Final = 15


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment: `offset` of its first byte in the file, its `length`, and its item's offset behind the table."""

    offset: int
    length: int
    item_offset: int


@dataclass(frozen=True, slots=True)
class Fragments:
    """The Basic Offset Table (empty if it has no entries) and every fragment, in file order.

    `end` is the offset behind them and what ends them. `delimited` says whether something does, `note` whether it is
    something else than a sequence delimiter.
    """

    basic_offsets: tuple[int, ...]
    items: tuple[Fragment, ...]
    delimited: bool
    end: int
    note: str = ""


def read_fragments(file: ReadableFile, offset: int, size: int, most: int = MAX_PARTS) -> Fragments:
    """Walk the items of encapsulated pixel data; values are skipped, not read.

    `offset` is where the element's value begins, `size` the file's length, `most` how many fragments there may be: each
    takes eight bytes in a file, which may be deflated, and more in memory.

    Raises:
        PixelDataError: if something stands where an item must begin that is none, an item ends beyond the file, or
            there are too many.
    """
    table: tuple[int, ...] | None = None
    items: list[Fragment] = []
    base = offset
    while True:
        file.seek(offset)
        head = file.read(min(8, size - offset))
        if (ending := _find_ending(head)) is not None:
            delimited, length, note = ending
            return Fragments(table or (), tuple(items), delimited, offset + length, note)
        group, element, length = struct.unpack("<HHL", head)
        if group << 16 | element != _ITEM:
            raise PixelDataError(
                f"encapsulated pixel data: ({group:04X},{element:04X}) at offset {offset} where an item must be"
            )
        if offset + 8 + length > size:
            raise PixelDataError(f"truncated: a fragment of {length} bytes at offset {offset} ends beyond the file")
        if table is None:
            count = length // 4
            table = struct.unpack(f"<{count}L", file.read(count * 4))
            base = offset + 8 + length
        else:
            if len(items) == most:
                raise PixelDataError(f"the pixel data have more than {most} fragments")
            items.append(Fragment(offset + 8, length, offset - base))
        offset += 8 + length


def _find_ending(head: bytes) -> tuple[bool, int, str] | None:
    """What ends fragments where an item must begin: whether it is a delimiter, its length, and a note; None if nothing.

    Zeros and padding (FFFC,FFFC) stand there in files of some writers; others leave the delimiter out, or half of it.
    """
    if len(head) == 8 and head[:4] == _DELIMITER:
        return True, 8, ""
    if not head:
        return False, 0, "the pixel data end without a sequence delimiter"
    if not any(head):
        return True, len(head), "the pixel data end with zeros instead of a sequence delimiter"
    if head.startswith(_PADDING):
        return True, 0, "the pixel data end with padding instead of a sequence delimiter"
    if len(head) < 8:
        if _DELIMITER.startswith(head[:4]):
            return True, len(head), "the file ends inside the sequence delimiter of the pixel data"
        raise PixelDataError("truncated: the file ends inside the head of a fragment")
    return None


def join_fragments(value: bytes, *, little: bool) -> bytes:
    """What is in the items of a value of undefined length; the value if there is anything but items.

    Only pixel data have one of bytes (PS3.5 A.4), whose first item is a table of offsets.
    """
    parts = []
    offset = 0
    while offset + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHL" if little else ">HHL", value, offset)
        if group << 16 | element != _ITEM:
            return value
        parts.append(value[offset + 8 : offset + 8 + length])
        offset += 8 + length
    return b"".join(parts) if offset == len(value) else value


def group_frames(
    fragments: Fragments,
    frames: int,
    extended_offsets: Sequence[int],
    file: ReadableFile,
    *,
    family: Family,
    single: bool = False,
) -> list[tuple[Fragment, ...]]:
    """The fragments of each frame, in order; as many groups as `frames` promises, or as there are if it is 0.

    The Extended Offset Table counts first, then the Basic Offset Table, where they fit the fragments; then one
    fragment a frame; then where frames begin, as frames of that `family` show. None of them may leave out whole
    images: a frame is one (PS3.5 A.4). `single` means that objects of this kind have one frame: where nothing says how
    many there are, all fragments are its own, unless they show that they are not.

    Raises:
        PixelDataError: if the fragments cannot be divided into that many frames, or nothing says how many there are.
    """
    items = fragments.items
    if not items:
        raise PixelDataError("the pixel data hold no fragments")
    tables = [
        groups for offsets in (extended_offsets, fragments.basic_offsets) if (groups := _by_offsets(items, offsets))
    ]
    if len(items) != frames:  # what holds nothing is no frame, and parts none
        items = tuple(item for item in items if item.length) or items
    if not frames:
        return _count_frames(items, tables, _by_images(items, file, family), single=single)
    if len(items) > frames and family is not Family.ITEMS:
        images = _by_images(items, file, family)
        if len(images) > frames:
            raise PixelDataError(f"Number of Frames is {frames}, the pixel data hold {len(images)} images")
    for groups in tables:
        if len(groups) == frames:
            return groups
    if len(items) == frames:
        return [(item,) for item in items]
    groups = _by_images(items, file, family) or _by_markers(items, file)
    if frames == 1 and family is Family.ITEMS:
        return [items]
    if len(groups) == frames:
        return groups
    raise PixelDataError(f"Number of Frames is {frames}, the pixel data hold {len(groups)}")


def _count_frames(
    items: tuple[Fragment, ...],
    tables: list[list[tuple[Fragment, ...]]],
    images: list[tuple[Fragment, ...]],
    *,
    single: bool,
) -> list[tuple[Fragment, ...]]:
    """The fragments of each frame where nothing says how many frames there are; every sign has to say the same."""
    signs = [*tables, *([images] if images else [])]
    counts = {len(groups) for groups in signs}
    if len(counts) == 1:
        return signs[0]
    if single and len(images) < 2:
        return [items]
    evidence = (
        f"say {' or '.join(map(str, sorted(counts)))}" if counts else f"are {len(items)} fragments that do not say it"
    )
    raise PixelDataError(f"Number of Frames is missing, and the pixel data {evidence}")


def _by_images(items: tuple[Fragment, ...], file: ReadableFile, family: Family) -> list[tuple[Fragment, ...]]:
    """Groups as the fragments themselves show them; empty if these do not tell.

    A frame of native samples has one fragment (PS3.5 A.4.11, A.4.13). So should one of RLE have (A.4.2), but its header
    tells more.
    """
    if len(items) == 1:
        return [items]
    if family is Family.ITEMS:
        return [(item,) for item in items]
    if family is Family.RLE:
        begins = [
            index for index, item in enumerate(items) if begins_rle(_read_at(file, item.offset, RLE_HEADER_BYTES))
        ]
        return _split(items, begins) if begins[:1] == [0] else []
    return _by_markers(items, file) if _begins_image(items[0], file) else []


def begins_rle(data: bytes) -> bool:
    """Whether bytes begin with the header of an RLE frame: 1 to 15 segments, the first right behind it (PS3.5 G.5)."""
    if len(data) < RLE_HEADER_BYTES:
        return False
    count, *offsets = struct.unpack("<16L", data[:RLE_HEADER_BYTES])
    if not 1 <= count <= _MOST_SEGMENTS or offsets[0] != RLE_HEADER_BYTES or any(offsets[count:]):
        return False
    return all(one < other for one, other in pairwise(offsets[:count]))


def _by_offsets(items: tuple[Fragment, ...], offsets: Sequence[int]) -> list[tuple[Fragment, ...]]:
    """Groups that begin at the given item offsets; empty if the table does not fit the fragments."""
    indices = {item.item_offset: index for index, item in enumerate(items)}
    if not offsets or offsets[0] != 0 or list(offsets) != sorted(set(offsets)) or not indices.keys() >= set(offsets):
        return []
    return _split(items, [indices[offset] for offset in offsets])


def _by_markers(items: tuple[Fragment, ...], file: ReadableFile) -> list[tuple[Fragment, ...]]:
    """Groups that end where one fragment closes an image and the next opens one."""
    pairs = enumerate(pairwise(items), 1)
    begins = [index for index, (last, first) in pairs if _ends_image(last, file) and _begins_image(first, file)]
    return _split(items, [0, *begins])


def _split(items: tuple[Fragment, ...], begins: list[int]) -> list[tuple[Fragment, ...]]:
    return [items[begin:end] for begin, end in pairwise((*begins, len(items)))]


def _begins_image(item: Fragment, file: ReadableFile) -> bool:
    return _read_at(file, item.offset, 2) in _SOI


def _ends_image(item: Fragment, file: ReadableFile) -> bool:
    tail = _read_at(file, item.offset + max(0, item.length - 3), min(3, item.length))
    return tail.endswith((_EOI, _EOI + b"\0"))


def _read_at(file: ReadableFile, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def read_frame(
    file: ReadableFile, group: Sequence[Fragment], length: int | None = None, *, end_marker: bool = True
) -> bytes:
    """The bytes of one frame, its fragments joined, the pad byte behind an end marker cut (PS3.18 8.7.3.3.2).

    `end_marker` says that frames of this encoding end with one; others may look so by chance. `length` is the frame's
    own, without padding, where the Extended Offset Table Lengths give it (PS3.3 C.7.6.3.1.8).
    """
    data = b"".join(_read_at(file, item.offset, item.length) for item in group)
    if length is not None and length == len(data) - 1:
        return data[:length]
    return data[:-1] if end_marker and data.endswith(_EOI + b"\0") else data
