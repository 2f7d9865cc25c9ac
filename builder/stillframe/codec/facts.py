"""What can be known of a compressed frame without decoding it."""

from __future__ import annotations

from dataclasses import dataclass, field

from stillframe.codec.colour import NO_MARKERS, ColourMarkers
from stillframe.dicom.syntaxes import TransferSyntax, transfer_syntax


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts:
    """Width and height in pixels, `samples` a pixel, `precision` in bits, and whether decoding gives back the original.

    `samples` and `precision` are 0 where the encoding does not say (RLE, native samples). `signed` is what the encoding
    says, which only that of JPEG 2000 does. `decodable` is False for forms of JPEG XL that are no upright still images
    of integer colour channels only. `recompressed` says that a JPEG XL image has what brings back the JPEG image that
    it was made of. `syntax` is what the bytes are: the transfer syntax that the file names if it allows them, `process`
    a process of JPEG that no transfer syntax in use allows. `markers` say what the colours are. `followed` says that
    other bytes than padding stand behind the image.
    """

    width: int
    height: int
    samples: int
    precision: int
    lossless: bool
    signed: bool = False
    decodable: bool = True
    recompressed: bool = False
    syntax: TransferSyntax = field(default=transfer_syntax(""), compare=False)
    process: str = ""
    markers: ColourMarkers = field(default=NO_MARKERS, compare=False)
    followed: bool = False
