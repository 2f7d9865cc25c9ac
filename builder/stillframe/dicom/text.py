"""Text values to Unicode, by the Specific Character Set in force (PS3.3 C.12.1.1.2, PS3.5 6.1).

Nothing here fails: bytes that mean nothing in the declared character set become U+FFFD, and the caller is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# Defined terms of PS3.3 tables C.12-2 to C.12-5 by ISO registration number, as Python names them.
_SINGLE_BYTE: Final = {
    6: "ascii",
    13: "shift_jis",
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    166: "iso8859_11",
    203: "iso8859_15",
}
# Multi-byte sets with code extensions. The Japanese ones live in G0, so they leave G1 undefined at first; the others
# are designated as G1. Standing first is not allowed for any of them, but is common.
_MULTI_BYTE: Final = {58: "gb2312", 87: "ascii", 149: "euc_kr", 159: "ascii"}
_STAND_ALONE: Final = {
    "ISO_IR 192": "utf_8",
    "ISO IR 192": "utf_8",
    "ISO-IR 192": "utf_8",
    "ISO_IR192": "utf_8",
    "UTF-8": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",
    "ISO 2022 58": "gb2312",
}
_REGISTERED = re.compile(r"ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?([0-9]{1,3})")

# Escape sequences of PS3.3 tables C.12-3 and C.12-4: what they designate as G0 or as G1.
_G0: Final = {
    b"\x1b(B": "ascii",
    b"\x1b(J": "ascii",
    b"\x1b(I": "katakana",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$@": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
}
_G1: Final = {
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "iso8859_11",
    b"\x1b-b": "iso8859_15",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
}
_DESIGNATOR: Final = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
_TOKEN = re.compile(rb"\x1b[\x20-\x2f]*[\x30-\x7e]?|[\x00-\x1a\x1c-\x1f]|[^\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class Charset:
    """A Specific Character Set: the codec of text without escape sequences, and whether there may be any.

    `declared` is False where the data set names no character set, or none that is known.
    """

    codec: str = "ascii"
    extensible: bool = True
    declared: bool = False


# What ends the effect of escape sequences in a person name (PS3.5 6.1.2.5.3).
PN_DELIMITERS: Final = b"\\^="

UNDECLARED: Final = Charset()
UTF8: Final = Charset("utf_8", extensible=False, declared=True)


@lru_cache(maxsize=256)
def parse_charset(value: bytes) -> tuple[Charset, bool]:
    """The character set that a value of (0008,0005) declares, and whether every name in it is known and allowed.

    Common misspellings (`ISO-IR 100`, `ISO_IR100`) are taken for what they mean. Only the first name decides how text
    without escape sequences is read; the others merely announce escape sequences, which speak for themselves. UTF-8
    and the GB sets stand alone: as a later name they are ignored (PS3.3 C.12.1.1.2, PS3.5 6.1.2.5.4).
    """
    names = [name.strip(" \0").upper() for name in value.decode("latin_1").split("\\")]
    first, *others = names
    known = all(not name or _registered_codec(name) for name in others)
    if first in _STAND_ALONE:
        return Charset(_STAND_ALONE[first], extensible=False, declared=True), not others
    codec = _registered_codec(first)
    if codec is None:
        return UNDECLARED, known and not first
    return Charset(codec, extensible=True, declared=codec != "ascii"), known


def _registered_codec(name: str) -> str | None:
    match = _REGISTERED.fullmatch(name)
    number = int(match[1]) if match else 0
    return _SINGLE_BYTE.get(number) or _MULTI_BYTE.get(number)


def decode_text(value: bytes, charset: Charset, delimiters: bytes = b"\\") -> tuple[str, bool]:
    """Decode one value field, and say whether every byte of it had a meaning in the declared character set.

    `delimiters` are the bytes which, beside control characters, end the effect of escape sequences: the value
    delimiter, and for PN `^` and `=` as well (PS3.5 6.1.2.5.3). Text whose character set is not declared is read as
    UTF-8 where it is that; any other byte without a meaning becomes U+FFFD.
    """
    if charset.extensible and b"\x1b" in value:
        return _decode_extended(value, charset, delimiters)
    try:
        return value.decode(charset.codec), True
    except UnicodeDecodeError:
        if not charset.declared:
            return value.decode("utf_8" if _is_utf8(value) else "ascii", "replace"), False
        return value.decode(charset.codec, "replace"), False


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf_8")
    except UnicodeDecodeError:
        return False
    return True


def _decode_extended(value: bytes, charset: Charset, delimiters: bytes) -> tuple[str, bool]:
    """Decode text with ISO 2022 escape sequences, whether they were announced or not.

    Some writers designate a G1 set once and not again after a delimiter, as they should. Where nothing else is
    defined there, that set goes on, and the text counts as doubtful.
    """
    reset = re.compile(b"([" + re.escape(delimiters) + b"])") if delimiters else None
    g0, g1 = "ascii", charset.codec
    designated = g1
    out: list[str] = []
    clean = True
    for token in _TOKEN.findall(value):
        if token[0] == 0x1B:
            if token in _G0:
                g0 = _G0[token]
            elif token in _G1:
                g1 = designated = _G1[token]
            else:
                out.append("\N{REPLACEMENT CHARACTER}")
                clean = False
        elif token[0] < 0x20:
            out.append(token.decode("ascii"))
            g0, g1 = "ascii", charset.codec
        else:
            # In a two-byte G0 set the delimiters' codes are halves of characters.
            for part in filter(None, reset.split(token)) if reset and g0 == "ascii" else [token]:
                stray = g0 == g1 == "ascii" and not part.isascii()
                clean &= _append_run(out, part, g0, designated if stray else g1) and not stray
                if part in delimiters:
                    g0, g1 = "ascii", charset.codec
    return "".join(out), clean


def _append_run(out: list[str], run: bytes, g0: str, g1: str) -> bool:
    """Decode a run of graphic characters under one pair of designations; False if some have no meaning."""
    if g0 == "ascii":
        return _append_decoded(out, run, g1)
    clean = True
    for part in re.findall(rb"[\x20-\x7f]+|[\x80-\xff]+", run):
        if part[0] >= 0x80:
            clean &= _append_decoded(out, part, g1)
        elif g0 == "katakana":
            clean &= _append_decoded(out, bytes(byte | 0x80 for byte in part), "shift_jis")
        else:
            clean &= _append_decoded(out, _DESIGNATOR[g0] + part, g0)
    return clean


def _append_decoded(out: list[str], value: bytes, codec: str) -> bool:
    try:
        out.append(value.decode(codec))
    except UnicodeDecodeError:
        out.append(value.decode(codec, "replace"))
        return False
    return True
