"""Members of .zip archives, read so that no archive can ask for more than its size and the limits here allow.

The directory is parsed by the standard library, from at most `MAX_DIRECTORY_BYTES`. Members are unpacked here, in
blocks: the library asks bzip2 and LZMA for everything that a piece of input may become, which can be gigabytes.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from stillframe.dicom.files import ReadableFile
from stillframe.errors import InputError, blame_machine

MAX_DIRECTORY_BYTES: Final = 32 << 20
"""Bytes of an archive's directory: room for a quarter of a million members with ordinary names."""
MAX_MEMBERS: Final = 250_000
"""Members of an archive, those of archives within it included."""
MAX_DEPTH: Final = 3
"""Archives within each other, the outermost counted."""
MAX_RATIO: Final = 200
"""What all members together may be in sizes of the archive, where that is more than one member may be."""

_BLOCK_BYTES: Final = 1 << 20
_PACKED_BYTES: Final = 1 << 16
_MAX_DICTIONARY: Final = 256 << 20  # of LZMA, which takes that much memory
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_ENCRYPTED: Final = 1
# What the library raises for directories that are damaged or of an unknown kind.
_FAILURES: Final = (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, LookupError, struct.error)


class Member(NamedTuple):
    """What the directory says of one file: `offset` is that of its local header, sizes are in bytes."""

    name: str
    size: int
    packed: int
    offset: int
    method: int
    flags: int
    crc: int


def lies_open(member: Member) -> bool:
    """Whether a member's bytes lie in the archive as they are."""
    return member.method == zipfile.ZIP_STORED and not member.flags & _ENCRYPTED and member.packed == member.size


class _Bounded:
    """A file from which no more can be read at once than the largest directory."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read as the file does.

        Raises:
            InputError: if that is more than a directory may have.
        """
        if size > MAX_DIRECTORY_BYTES:
            raise InputError(f"its directory has {size} bytes, at most {MAX_DIRECTORY_BYTES} are read")
        return self._file.read(size)


def unpack(file: ReadableFile, member: Member, start: int = 0) -> Iterator[bytes]:
    """The bytes of a member in blocks, exactly as many as the directory promises.

    The archive begins at the offset `start` of the file, which may return less than it is asked for.

    Raises:
        InputError: if the member cannot be unpacked, or is not what the directory says. The last block before that may
            be wrong.
    """
    if member.flags & _ENCRYPTED:
        raise InputError("is encrypted")
    left, crc = member.size, 0
    try:
        for block in _unpacked(_read_packed(file, member, start), member):
            if len(block) > left:
                raise InputError("zip member is longer than its directory entry says")
            left -= len(block)
            crc = zlib.crc32(block, crc)
            yield block
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, struct.error) as error:
        reason = _words_of_system(error) or "its compressed data are damaged"
        raise InputError(f"cannot be unpacked: {reason}") from error
    if left:
        raise InputError(f"zip member ends {left} bytes early")
    if crc != member.crc:
        raise InputError("zip member has another CRC-32 than its directory entry says")


def find_packed(file: ReadableFile, member: Member, start: int) -> int:
    """The offset in the file of a member's bytes as they lie in the archive, which begins at the offset `start`.

    Raises:
        InputError: if there is no member.
    """
    file.seek(start + member.offset)
    head = file.read(_LOCAL_HEADER.size)
    if len(head) < _LOCAL_HEADER.size:
        raise InputError("the archive ends before the member")
    magic, name, extra = _LOCAL_HEADER.unpack(head)
    if magic != b"PK\x03\x04":
        raise InputError("no zip member where the directory says one is")
    return int(start + member.offset + _LOCAL_HEADER.size + name + extra)


def _read_packed(file: ReadableFile, member: Member, start: int) -> Iterator[bytes]:
    """The member's bytes as they lie in the archive."""
    file.seek(find_packed(file, member, start))
    left = member.packed
    while left and (piece := file.read(min(_PACKED_BYTES, left))):
        left -= len(piece)
        yield piece


def _words_of_system(error: Exception) -> str:
    """What the operating system says of a file that cannot be read; empty if a library raised the error.

    Raises:
        MachineError: if it is not the file's fault but the machine's.
    """
    blame_machine(error)
    return error.strerror or "" if isinstance(error, OSError) else ""


def read_directory(file: ReadableFile) -> tuple[Member, ...]:
    """The members of an archive, in the order of its directory.

    Raises:
        InputError: if the directory cannot be read, or the archive is made to do harm.
    """
    try:
        with zipfile.ZipFile(_Bounded(file)) as opened:
            members = [
                Member(i.filename, i.file_size, i.compress_size, i.header_offset, i.compress_type, i.flag_bits, i.CRC)
                for i in opened.infolist()
            ]
    except _FAILURES as error:
        reason = _words_of_system(error) or "its directory is damaged, or of a kind that is not read"
        raise InputError(f"cannot be read as a zip archive: {reason}") from error
    if len(members) > MAX_MEMBERS:
        raise InputError(f"holds {len(members)} files, at most {MAX_MEMBERS} are read")
    end = 0
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset < end:
            raise InputError("its members lie over each other, as in archives made to fill disks")
        end = member.offset + _LOCAL_HEADER.size + member.packed
    return tuple(members)


class _Decompressor(Protocol):
    """What the decompressors of bz2 and lzma have in common; `_Inflater` gives the same to zlib's."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Inflater:
    """Deflate (method 8) as the other decompressors are used."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._full

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        block = self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)
        self._full = len(block) == max_length
        return block


def _unpacked(packed: Iterator[bytes], member: Member) -> Iterator[bytes]:
    """The member's bytes, at most one block more than promised, and none behind the end of the compressed stream."""
    if member.method == zipfile.ZIP_STORED:
        yield from packed
        return
    decompressor, data = _decompressor(packed, member)
    left = member.size
    while not decompressor.eof and left >= 0:
        if decompressor.needs_input and not data and not (data := next(packed, b"")):
            return
        # One byte beyond what is promised is enough to know that it is wrong.
        block = decompressor.decompress(data, min(_BLOCK_BYTES, left + 1))
        data = b""
        left -= len(block)
        if block:
            yield block


def _decompressor(packed: Iterator[bytes], member: Member) -> tuple[_Decompressor, bytes]:
    """What unpacks a member, and the packed bytes that were read to find that out."""
    match member.method:
        case zipfile.ZIP_DEFLATED:
            return _Inflater(), b""
        case zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor(), b""
        case zipfile.ZIP_LZMA:
            return _lzma(next(packed, b""), member.size)
        case method:
            raise InputError(f"packed by the method {method} of zip, which is not read")


def _lzma(head: bytes, size: int) -> tuple[_Decompressor, bytes]:
    """LZMA (method 14): 2 bytes of version, 2 of length, 1 that holds lc, lp and pb, 4 of the dictionary's size."""
    length, properties, dictionary = struct.unpack_from("<2xHBL", head)
    properties, lc = divmod(properties, 9)
    pb, lp = divmod(properties, 5)
    dictionary = min(dictionary, max(size, 4096))  # it never has to hold more than there is
    if dictionary > _MAX_DICTIONARY:
        raise InputError(f"its LZMA dictionary has {dictionary} bytes, at most {_MAX_DICTIONARY} are read")
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), head[4 + length :]
