"""Decoded samples brought into what the data set says of them (PS3.5 8.1.1), or found to contradict it (8.2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillframe.codec.colour import Colour, Space
from stillframe.codec.facts import FrameFacts
from stillframe.codec.htj2k import sample_range, samples_fit
from stillframe.errors import PixelDataError
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, keep_bits
from stillframe.pixels.overlays import EmbeddedOverlay


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """One frame as pixels: `array` as `PixelDescription.shape` and `.dtype` say, colour as RGB.

    `masked` tells that bits above Bits Stored were set and are not part of the samples (PS3.5 8.1.1); `colour` what
    three components were, before those that are not RGB became RGB; `signed` that unsigned samples of a codestream were
    read as two's complement. `facts` are what a compressed frame says of itself, `remarks` what was done beside that
    its owner should know. `cells` are the samples with the unused bits, where those hold overlays.
    """

    array: Frame
    masked: bool = False
    colour: Colour | None = None
    signed: bool = False
    facts: FrameFacts | None = None
    remarks: tuple[str, ...] = ()
    cells: Frame | None = None

    @property
    def converted(self) -> bool:
        """Whether samples became RGB by PS3.3 C.7.6.3.1.2, with its rounding."""
        return self.colour is not None and self.colour.space is not Space.RGB


class Contradiction(PixelDataError):
    """Samples of a codestream that the data set does not allow; `description` is what the codestream says instead.

    In decoding, the codestream counts (PS3.5 8.2.4, A.4.4).
    """

    def __init__(self, message: str, description: PixelDescription) -> None:
        super().__init__(message)
        self.description = description


def mask_samples(
    frame: Frame, description: PixelDescription, overlays: Sequence[EmbeddedOverlay], shift: int = 0
) -> DecodedFrame:
    """Samples with unused bits: those are cleared, or filled with the sign; what `overlays` need of them is kept.

    `shift` is how many unused bits lie below the samples.
    """
    if (
        description.dtype.itemsize * 8 == description.bits_stored
        or description.floating
        or description.bits_allocated == 1
    ):
        return DecodedFrame(array=frame)
    if overlays or shift:
        return _mask_overlays(frame, description, overlays, shift)
    if samples_fit(frame, description.bits_stored):
        return DecodedFrame(array=frame)
    return DecodedFrame(array=keep_bits(frame, description.bits_stored), masked=True)


def _mask_overlays(
    frame: Frame, description: PixelDescription, overlays: Sequence[EmbeddedOverlay], shift: int
) -> DecodedFrame:
    """Unused bits beside those of the overlays count as masked where they are more than the sign."""
    cells = frame.view(f"u{frame.itemsize}")
    others = (1 << 8 * frame.itemsize) - (1 << description.bits_stored + shift)
    for overlay in overlays:
        others &= ~(1 << overlay.bit)
    rest = cells & others
    stray = (rest != 0) & (rest != others) if description.pixel_representation else rest != 0
    samples = keep_bits((cells >> shift).view(frame.dtype), description.bits_stored)
    return DecodedFrame(array=samples, masked=bool(stray.any()), cells=cells if overlays else None)


def reconcile_samples(frame: Frame, description: PixelDescription, facts: FrameFacts) -> DecodedFrame:
    """The samples of a codestream that has its own precision and sign, as the data set says, if it allows them.

    A precision above Bits Stored is common and harmless as long as the samples fit. Unsigned samples under Pixel
    Representation 1 are two's complement: only JPEG 2000 could say that they are signed, and encoders exist that do
    not let it.

    Raises:
        Contradiction: if the data set does not allow the samples.
        PixelDataError: if nothing that can be published does.
    """
    least, most = sample_range(description.bits_stored, signed=description.pixel_representation == 1)
    candidates = [frame]
    if description.pixel_representation and not facts.signed:
        signed = frame.astype(f"i{max(frame.itemsize, description.dtype.itemsize)}", copy=False)
        candidates = [keep_bits(signed, facts.precision)]
        if frame.max() < 1 << description.bits_stored:
            candidates.append(keep_bits(signed, description.bits_stored))
    for candidate in candidates:
        if candidate.min() >= least and candidate.max() <= most:
            turned = bool(candidate.min() < 0) and candidate is not frame
            return DecodedFrame(array=candidate.astype(description.dtype, copy=False), signed=turned)
    raise _contradiction(frame, description, facts)


def _contradiction(frame: Frame, description: PixelDescription, facts: FrameFacts) -> PixelDataError:
    signed = description.pixel_representation == 1 or (facts.signed and int(frame.min()) < 0)
    stored = max(facts.precision, description.bits_stored)
    allocated = max(description.bits_allocated, 8 if stored <= 8 else 16 if stored <= 16 else 32)
    corrected = replace(description, bits_stored=stored, bits_allocated=allocated, pixel_representation=int(signed))
    message = f"the codestream has {'signed' if signed else 'unsigned'} samples of {stored} bits"
    if (signed and description.samples > 1) or corrected == description or description.bits_allocated == 1:
        return PixelDataError(
            f"{message}, the data set says {description.bits_stored} bits, {description.samples} samples a pixel"
        )
    return Contradiction(message, corrected)
