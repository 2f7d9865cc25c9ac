"""Text values to Unicode, by the Specific Character Set in force (PS3.3 C.12.1.1.2, PS3.5 6.1).

Nothing here fails. Bytes without a meaning in the declared character set become U+FFFD, and the result says so.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# Character sets of PS3.3 tables C.12-2 to C.12-5: ISO registration number, the escape sequence that designates the set
# as G1, and Python's name. The last two have several bytes a character; standing first is not allowed for them, but is
# common.
_G1_SETS: Final = (
    (13, b"\x1b)I", "shift_jis"),
    (100, b"\x1b-A", "latin_1"),
    (101, b"\x1b-B", "iso8859_2"),
    (109, b"\x1b-C", "iso8859_3"),
    (110, b"\x1b-D", "iso8859_4"),
    (126, b"\x1b-F", "iso8859_7"),
    (127, b"\x1b-G", "iso8859_6"),
    (138, b"\x1b-H", "iso8859_8"),
    (144, b"\x1b-L", "iso8859_5"),
    (148, b"\x1b-M", "iso8859_9"),
    (166, b"\x1b-T", "iso8859_11"),
    (203, b"\x1b-b", "iso8859_15"),
    (149, b"\x1b$)C", "euc_kr"),
    (58, b"\x1b$)A", "gb2312"),
)
_G1: Final = {escape: codec for _, escape, codec in _G1_SETS}
# The Japanese sets of two bytes (87, 159) live in G0, so they leave G1 undefined at first.
_CODECS: Final = {number: codec for number, _, codec in _G1_SETS} | {6: "ascii", 87: "ascii", 159: "ascii"}
# What escape sequences of PS3.3 tables C.12-3 and C.12-4 designate as G0.
_G0: Final = {
    b"\x1b(B": "ascii",
    b"\x1b(J": "ascii",
    b"\x1b(I": "katakana",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$@": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
}
_STAND_ALONE: Final = {
    **dict.fromkeys(("ISO_IR 192", "ISO IR 192", "ISO-IR 192", "ISO_IR192", "UTF-8"), "utf_8"),
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",
    "ISO 2022 58": "gb2312",
}
_REGISTERED = re.compile(r"ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?([0-9]{1,3})")
_DESIGNATOR: Final = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
_UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
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
    return _CODECS.get(int(match[1])) if match else None


def decode_text(value: bytes, charset: Charset, delimiters: bytes = b"\\") -> tuple[str, bool]:
    """Decode one value field, and say whether every byte of it had a meaning in the declared character set.

    `delimiters` are the bytes which, beside control characters, end the effect of escape sequences: the value
    delimiter, and for PN `^` and `=` as well (PS3.5 6.1.2.5.3). Text whose character set is not declared is read as
    UTF-8 where it is that; any other byte without a meaning becomes U+FFFD.
    """
    if charset.extensible and b"\x1b" in value:
        return _decode_extended(value, charset, delimiters)
    with suppress(UnicodeDecodeError):
        return value.decode(charset.codec), True
    if not charset.declared:
        with suppress(UnicodeDecodeError):
            return value.decode("utf_8"), False
    return value.decode(charset.codec, "replace"), False


def _decode_extended(value: bytes, charset: Charset, delimiters: bytes) -> tuple[str, bool]:
    """Decode text with ISO 2022 escape sequences, whether they were announced or not.

    Some writers designate a G1 set once and not again after a delimiter, as they should. Where nothing else is
    defined there, that set goes on, and the text counts as doubtful.
    """
    reset = re.compile(b"([" + re.escape(delimiters) + b"])") if delimiters else None
    g0, g1 = "ascii", charset.codec
    designated = g1
    decoded: list[str] = []
    clean = True
    for token in _TOKEN.findall(value):
        if token in _G0:
            g0 = _G0[token]
        elif token in _G1:
            g1 = designated = _G1[token]
        elif token[0] == 0x1B:
            decoded.append(_UNKNOWN)
        elif token[0] < 0x20:
            decoded.append(token.decode("ascii"))
            g0, g1 = "ascii", charset.codec
        else:
            # In a two-byte G0 set the delimiters' codes are halves of characters.
            for part in filter(None, reset.split(token)) if reset and g0 == "ascii" else [token]:
                stray = g0 == g1 == "ascii" and not part.isascii()
                decoded.append(_decode_run(part, g0, designated if stray else g1))
                clean &= not stray
                if part in delimiters:
                    g0, g1 = "ascii", charset.codec
    text = "".join(decoded)
    return text, clean and _UNKNOWN not in text


def _decode_run(run: bytes, g0: str, g1: str) -> str:
    """A run of graphic characters under one pair of designations."""
    if g0 == "ascii":
        return run.decode(g1, "replace")
    decoded = ""
    for part in re.findall(rb"[\x20-\x7f]+|[\x80-\xff]+", run):
        if part[0] >= 0x80:
            decoded += part.decode(g1, "replace")
        elif g0 == "katakana":
            decoded += bytes(byte | 0x80 for byte in part).decode("shift_jis", "replace")
        else:
            decoded += (_DESIGNATOR[g0] + part).decode(g0, "replace")
    return decoded
