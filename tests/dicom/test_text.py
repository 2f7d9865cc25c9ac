"""Character sets: the examples of PS3.5 annexes H to K, pydicom's decoding, and bytes that mean nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes

from stillframe.dicom.text import PN_DELIMITERS, decode_text, parse_charset

# What the standard prints, byte for byte: (Specific Character Set, encoded, expected).
STANDARD = {
    "H.3.1": (
        rb"\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "H.3.2": (
        rb"ISO 2022 IR 13\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "I.2": (
        rb"\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "J.1": (
        b"ISO_IR 192",
        b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1=",
        "Wang^XiaoDong=王^小東=",
    ),
    "J.3": (
        b"GB18030",
        b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=",
        "Wang^XiaoDong=王^小东=",
    ),
    "K.2": (
        rb"\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
}


@pytest.mark.parametrize("example", STANDARD)
def test_names_of_the_standard(example: str) -> None:
    charset, encoded, expected = STANDARD[example]
    assert decode_text(encoded, parse_charset(charset)[0], PN_DELIMITERS) == (expected, True)


@pytest.mark.parametrize(
    ("charset", "line", "expected"),
    [
        (rb"\ISO 2022 IR 149", b"line includes \x1b$)C\xb1\xe6\xb5\xbf.\r\n", "line includes 길동.\r\n"),  # I.3
        (rb"\ISO 2022 IR 58", b"line includes \x1b$)A\xd6\xd0\xce\xc4.\r\n", "line includes 中文.\r\n"),  # K.3
        (b"GB18030", b"line includes \xd6\xd0\xce\xc4.\r\n", "line includes 中文.\r\n"),  # J.4
        (b"GBK", b"line includes \x96|.\r\n", "line includes 東.\r\n"),
    ],
)
def test_texts_of_several_lines(charset: bytes, line: bytes, expected: str) -> None:
    """Each line designates its set anew (PS3.5 6.1.2.5.3)."""
    text = b"The 1st " + line + b"The 2nd " + line + b"The 3rd line."
    want = f"The 1st {expected}The 2nd {expected}The 3rd line."
    assert decode_text(text, parse_charset(charset)[0], b"") == (want, True)


SINGLE_BYTE = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 203": "iso8859_15",
}


@pytest.mark.parametrize("name", SINGLE_BYTE)
@pytest.mark.parametrize("extended", [False, True])
def test_every_letter_of_the_single_byte_sets(name: str, extended: bool) -> None:
    """PS3.3 tables C.12-2 and C.12-3, with and without code extensions."""
    term = name.replace("ISO_IR", "ISO 2022 IR") if extended else name
    charset, known = parse_charset(term.encode())
    assert known
    for byte in range(0xA0, 0x100):
        text, clean = decode_text(bytes([byte]), charset)
        try:
            expected = bytes([byte]).decode(SINGLE_BYTE[name])
        except UnicodeDecodeError:
            assert (text, clean) == ("\ufffd", False)
        else:
            assert (text, clean) == (expected, True)


def test_every_letter_of_half_width_katakana() -> None:
    charset, _ = parse_charset(b"ISO_IR 13")
    text, clean = decode_text(bytes(range(0xA1, 0xE0)), charset)
    assert clean
    assert all(unicodedata.name(char).startswith(("HALFWIDTH", "KATAKANA")) for char in text)


# Terms with code extensions, each with a word under the escape sequence that it announces. Without ISO 2022 IR 58:
# pydicom leaves its escape sequences in the text.
WORDS = {
    "": b"\x1b(Babc",
    "ISO 2022 IR 100": b"\x1b-A\xe9",
    "ISO 2022 IR 101": b"\x1b-B\xb1",
    "ISO 2022 IR 126": b"\x1b-F\xe1",
    "ISO 2022 IR 127": b"\x1b-G\xc7",
    "ISO 2022 IR 138": b"\x1b-H\xe0",
    "ISO 2022 IR 144": b"\x1b-L\xd0",
    "ISO 2022 IR 148": b"\x1b-M\xd0",
    "ISO 2022 IR 149": b"\x1b$)C\xb1\xe8",
    "ISO 2022 IR 87": b"\x1b$B;3ED\x1b(B",
    "ISO 2022 IR 159": b"\x1b$(D0!\x1b(B",
}


@given(st.data())
def test_announced_extensions_decode_as_pydicom_does(data: st.DataObject) -> None:
    others = data.draw(st.lists(st.sampled_from(sorted(filter(None, WORDS))), min_size=1, max_size=3, unique=True))
    terms = ["", *others]
    value = b"".join(WORDS[term] for term in data.draw(st.lists(st.sampled_from(terms), min_size=1, max_size=5)))
    text, clean = decode_text(value, parse_charset("\\".join(terms).encode())[0])
    assert text == decode_bytes(value, convert_encodings(terms), {0x5C})
    assert clean


TERMS = ["", "KLINGON", "ISO_IR 13", "ISO_IR 100", "ISO 2022 IR 87", "\\ISO 2022 IR 159", "GBK", "ISO_IR 192", "\\"]
ESCAPES = [*(word[:4] for word in WORDS.values()), b"\x1b(I", b"\x1b)I", b"\x1b$)A", b"\x1b"]


@given(
    st.lists(st.one_of(st.binary(max_size=8), st.sampled_from(ESCAPES)), max_size=8),
    st.sampled_from(TERMS),
    st.sampled_from([b"", b"\\", PN_DELIMITERS]),
)
def test_no_bytes_are_too_strange(parts: list[bytes], term: str, delimiters: bytes) -> None:
    value = b"".join(parts)
    text, clean = decode_text(value, parse_charset(term.encode())[0], delimiters)
    assert text.encode().decode() == text
    assert not (clean and "\N{REPLACEMENT CHARACTER}" in text and b"\xef\xbf\xbd" not in value)


@pytest.mark.parametrize(
    "term", [b"ISO_IR 999", b"iso-8859-1", b"\xff\xfe", b"ISO_IR 192\\ISO_IR 100", b"GB18030\\GBK"]
)
def test_terms_that_may_not_stand_there_are_told(term: bytes) -> None:
    assert parse_charset(term)[1] is False
