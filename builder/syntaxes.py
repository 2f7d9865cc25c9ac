"""Transfer syntaxes by how their pixel data are read (PS3.5 Annex A, PS3.6 Annex A)."""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG})

# Each frame an item of native samples: as they are (PS3.5 A.4.11), or deflated by themselves (A.4.13).
ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_FRAMES: Final = "1.2.840.10008.1.2.8.1"
UNCOMPRESSED_ITEMS: Final = frozenset({ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAMES})

RLE: Final = "1.2.840.10008.1.2.5"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LS: Final = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_FAMILY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
JPEG_2000_FAMILY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
JPEG_XL_LOSSLESS: Final = "1.2.840.10008.1.2.4.110"
JPEG_XL_FAMILY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))

LOSSLESS_ONLY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 90, 201, 202))

# Codestreams that carry their own precision; there, samples beyond Bits Stored are a contradiction, not padding.
SELF_DESCRIBING: Final = JPEG_2000_FAMILY | JPEG_LS | JPEG_XL_FAMILY | {JPEG_EXTENDED}

DECODED: Final = JPEG_FAMILY | JPEG_2000_FAMILY | JPEG_XL_FAMILY | UNCOMPRESSED_ITEMS | {RLE}
"""Those whose frames are decoded here."""

# Syntaxes without still frames in their pixel data: JPIP (a provider's URL), MPEG and HEVC video, SMPTE ST 2110 (a
# live flow), and the retired encodings of whole data sets.
_JPIP = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205))
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 110))
_OTHER = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")


def is_jpip(syntax: str) -> bool:
    """Whether the pixel data are at a JPIP provider, whose URL the data set holds instead (PS3.5 A.6, A.7)."""
    return syntax in _JPIP


def has_no_frames(syntax: str) -> bool:
    """Whether pixel data of this syntax are something else than frames, each in its own fragments."""
    return is_jpip(syntax) or syntax.startswith(_OTHER) or any(f"{syntax}.".startswith(f"{uid}.") for uid in _VIDEO)


def is_passed_through(syntax: str) -> bool:
    """Whether encapsulated frames of this syntax are published as they are, for want of a decoder."""
    return syntax not in NATIVE and syntax not in DECODED and not has_no_frames(syntax)


# Those that pydicom 3.0 does not name (PS3.6 Table A-1).
_NAMES: Final = {
    ENCAPSULATED_UNCOMPRESSED: "Encapsulated Uncompressed Explicit VR Little Endian",
    DEFLATED_FRAMES: "Deflated Image Frame Compression",
    JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
}


def syntax_name(syntax: str) -> str:
    """The name of a transfer syntax, or its UID if it has none."""
    return _NAMES.get(syntax) or UID(syntax).name


def describe_syntax(syntax: str) -> str:
    """A transfer syntax as messages call it: its UID, and its name if it is known."""
    name = syntax_name(syntax)
    return f"transfer syntax {syntax}" if name == syntax else f"transfer syntax {syntax} ({name})"
