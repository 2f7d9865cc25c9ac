"""The transfer syntaxes (PS3.5 Annex A, PS3.6 Table A-1): one table, and all that is special about each.

Needs no DICOM library, since keys and media types are made of it; the tests compare the names with pydicom's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from stillframe.dicom.walk import Encoding

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED_FRAMES: Final = "1.2.840.10008.1.2.8.1"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
HTJ2K_RPCL: Final = "1.2.840.10008.1.2.4.202"


class Family(StrEnum):
    """How the pixel data of a transfer syntax are written."""

    NATIVE = "native samples"
    ITEMS = "native samples, each frame an item"  # as they are (PS3.5 A.4.11), or deflated by themselves (A.4.13)
    RLE = "RLE"
    JPEG = "JPEG"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    HTJ2K = "HTJ2K"
    JPEG_XL = "JPEG XL"
    VIDEO = "video"  # one stream holds all frames (PS3.5 8.2.5 to 8.2.8)
    JPIP = "JPIP"  # at a provider, whose URL the data set holds instead (PS3.5 A.6, A.7)
    NO_FRAMES = "no frames"  # a live flow (SMPTE ST 2110), or a retired encoding of whole data sets
    UNKNOWN = "unknown"  # frames, each in its own fragments, that nothing here decodes


_WITHOUT_FRAMES: Final = frozenset({Family.VIDEO, Family.JPIP, Family.NO_FRAMES})
_USUAL: Final = Encoding(implicit=False, little=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSyntax:
    """One transfer syntax.

    `encoding` is that of its data sets, once one that is `deflated` as a whole is inflated (PS3.5 A.5). `lossless`
    means that it allows no loss. `media_type` is that of a frame (PS3.18 8.7.3.3, 8.7.3.5), `loss_method` the Lossy
    Image Compression Method (PS3.3 C.7.6.1.1.5.1).
    """

    uid: str
    name: str
    family: Family
    encoding: Encoding = _USUAL
    deflated: bool = False
    lossless: bool = False
    media_type: str = "application/octet-stream"
    loss_method: str = ""

    def __str__(self) -> str:
        """The transfer syntax as messages call it: its UID, and its name if it has one."""
        return f"transfer syntax {self.uid} ({self.name})" if self.name else f"transfer syntax {self.uid}"

    @property
    def is_native(self) -> bool:
        """Whether frames are neither compressed nor encapsulated."""
        return self.family is Family.NATIVE

    @property
    def has_frames(self) -> bool:
        """Whether the pixel data are still frames, native or each in its own fragments."""
        return self.family not in _WITHOUT_FRAMES

    @property
    def is_passed_through(self) -> bool:
        """Whether encapsulated frames are published as they are, for want of a decoder."""
        return self.family is Family.UNKNOWN

    @property
    def is_jpeg_2000(self) -> bool:
        """Whether frames are JPEG 2000 codestreams, of high throughput or not."""
        return self.family in (Family.JPEG_2000, Family.HTJ2K)

    @property
    def compresses_cells(self) -> bool:
        """Whether samples beyond Bits Stored may be unused bits, since their precision is often that of the cells."""
        return self.family is Family.JPEG and self.lossless


@lru_cache(maxsize=256)
def transfer_syntax(uid: str) -> TransferSyntax:
    """The transfer syntax with a UID; one that DICOM does not define has no name, and what is usual."""
    family = Family.NO_FRAMES if f"{uid}.".startswith(_ROOTS_WITHOUT_FRAMES) else Family.UNKNOWN
    return TRANSFER_SYNTAXES.get(uid) or TransferSyntax(uid=uid, name="", family=family)


_ROOT: Final = "1.2.840.10008.1."
# Videos, SMPTE ST 2110 and retired encodings: whatever DICOM may yet define below these has no frames either.
_ROOTS_WITHOUT_FRAMES: Final = tuple(
    f"{_ROOT}2.{branch}." for branch in ("6", "7", *(f"4.{number}" for number in range(100, 110)))
)


_OF_FAMILY: Final[dict[Family, dict[str, Any]]] = {
    Family.RLE: {"media_type": "image/dicom-rle"},
    Family.JPEG: {"media_type": "image/jpeg", "loss_method": "ISO_10918_1"},
    Family.JPEG_LS: {"media_type": "image/jls", "loss_method": "ISO_14495_1"},
    Family.JPEG_2000: {"media_type": "image/jp2", "loss_method": "ISO_15444_1"},
    Family.HTJ2K: {"media_type": "image/jphc", "loss_method": "ISO_15444_15"},
    Family.JPEG_XL: {"media_type": "image/jxl", "loss_method": "ISO_18181_1"},
}


def _row(suffix: str, name: str, family: Family = Family.UNKNOWN, **rest: Any) -> TransferSyntax:
    return TransferSyntax(uid=_ROOT + suffix, name=name, family=family, **(_OF_FAMILY.get(family, {}) | rest))


_ROWS: Final = (
    _row("2", "Implicit VR Little Endian", Family.NATIVE, encoding=Encoding(implicit=True, little=True)),
    _row("2.1", "Explicit VR Little Endian", Family.NATIVE),
    _row("2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", Family.ITEMS),
    _row("2.1.99", "Deflated Explicit VR Little Endian", Family.NATIVE, deflated=True),
    _row("2.2", "Explicit VR Big Endian", Family.NATIVE, encoding=Encoding(implicit=False, little=False)),
    _row("2.4.50", "JPEG Baseline (Process 1)", Family.JPEG),
    _row("2.4.51", "JPEG Extended (Process 2 and 4)", Family.JPEG),
    _row("2.4.52", "JPEG Extended (Process 3 and 5)"),
    _row("2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)"),
    _row("2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)"),
    _row("2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)"),
    _row("2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)"),
    _row("2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", Family.JPEG, lossless=True),
    _row("2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)"),
    _row("2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)"),
    _row("2.4.60", "JPEG Extended, Hierarchical (Process 17 and 19)"),
    _row("2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)"),
    _row("2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)"),
    _row("2.4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)"),
    _row("2.4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)"),
    _row("2.4.65", "JPEG Lossless, Hierarchical (Process 28)"),
    _row("2.4.66", "JPEG Lossless, Hierarchical (Process 29)"),
    _row(
        "2.4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        Family.JPEG,
        lossless=True,
    ),
    _row("2.4.80", "JPEG-LS Lossless Image Compression", Family.JPEG_LS, lossless=True),
    _row("2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", Family.JPEG_LS),
    _row("2.4.90", "JPEG 2000 Image Compression (Lossless Only)", Family.JPEG_2000, lossless=True),
    _row("2.4.91", "JPEG 2000 Image Compression", Family.JPEG_2000),
    _row("2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", media_type="image/jpx"),
    _row("2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression", media_type="image/jpx"),
    _row("2.4.94", "JPIP Referenced", Family.JPIP),
    _row("2.4.95", "JPIP Referenced Deflate", Family.JPIP, deflated=True),
    _row("2.4.100", "MPEG2 Main Profile / Main Level", Family.VIDEO),
    _row("2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", Family.VIDEO),
    _row("2.4.101", "MPEG2 Main Profile / High Level", Family.VIDEO),
    _row("2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", Family.VIDEO),
    _row("2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", Family.VIDEO),
    _row("2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", Family.VIDEO),
    _row("2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Family.VIDEO),
    _row("2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Family.VIDEO),
    _row("2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Family.VIDEO),
    _row("2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Family.VIDEO),
    _row("2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Family.VIDEO),
    _row("2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Family.VIDEO),
    _row("2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Family.VIDEO),
    _row("2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Family.VIDEO),
    _row("2.4.107", "HEVC/H.265 Main Profile / Level 5.1", Family.VIDEO),
    _row("2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", Family.VIDEO),
    _row("2.4.110", "JPEG XL Lossless", Family.JPEG_XL, lossless=True),
    # Recompressing a JPEG image as JPEG XL loses nothing: the loss was JPEG's.
    _row("2.4.111", "JPEG XL JPEG Recompression", Family.JPEG_XL, loss_method="ISO_10918_1"),
    _row("2.4.112", "JPEG XL", Family.JPEG_XL),
    _row("2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", Family.HTJ2K, lossless=True),
    _row(
        "2.4.202",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        Family.HTJ2K,
        lossless=True,
    ),
    _row("2.4.203", "High-Throughput JPEG 2000 Image Compression", Family.HTJ2K),
    _row("2.4.204", "JPIP HTJ2K Referenced", Family.JPIP),
    _row("2.4.205", "JPIP HTJ2K Referenced Deflate", Family.JPIP, deflated=True),
    _row("2.5", "RLE Lossless", Family.RLE, lossless=True),
    _row("2.6.1", "RFC 2557 MIME encapsulation", Family.NO_FRAMES),
    _row("2.6.2", "XML Encoding", Family.NO_FRAMES),
    _row("2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", Family.NO_FRAMES),
    _row("2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", Family.NO_FRAMES),
    _row("2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", Family.NO_FRAMES),
    _row("2.8.1", "Deflated Image Frame Compression", Family.ITEMS),
    _row("20", "Papyrus 3 Implicit VR Little Endian"),
)

TRANSFER_SYNTAXES: Final = {row.uid: row for row in _ROWS}
"""All of them, by their UIDs."""
