"""What becomes of frames that were compressed with loss, and what the metadata say of that (PS3.3 C.7.6.1.1.5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from stillframe.codec.facts import FrameFacts
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.syntaxes import Family
from stillframe.options import Lossy

LOSSY: Final = "00282110"
RATIO: Final = "00282112"
METHOD: Final = "00282114"
_JPEG_METHOD: Final = "ISO_10918_1"


class Treatment(StrEnum):
    """What becomes of frames that were compressed with loss."""

    KEEP = "kept"
    RESTORE = "given back as the JPEG images that they were made of"
    TRANSCODE = "transcoded"


def treat_lossy(choice: Lossy, facts: FrameFacts, *, signed: bool = False) -> Treatment:
    """What becomes of frames like one of which these are the facts; `signed` tells whether its samples are."""
    if choice is Lossy.AUTO and not _is_shown(facts, signed=signed):
        return Treatment.RESTORE if facts.recompressed else Treatment.TRANSCODE
    return Treatment.TRANSCODE if choice is Lossy.TRANSCODE else Treatment.KEEP


def _is_shown(facts: FrameFacts, *, signed: bool) -> bool:
    """Whether viewers show the frames that keep their bytes.

    Tried in OHIF 3.13.2: all but JPEG XL, and of signed samples JPEG-LS, JPEG 2000 of more than 8 bits, and HTJ2K of
    16. They take signed JPEG for unsigned, 8 bits likewise, and HTJ2K that overshoots its bits comes back from the
    other end of their range.
    """
    family = facts.syntax.family
    if family is Family.JPEG_XL or not signed:
        return family is not Family.JPEG_XL
    return facts.precision > {Family.JPEG: 16, Family.JPEG_2000: 8, Family.HTJ2K: 15}.get(family, 0)


def choices_like(choice: Lossy, facts: FrameFacts, *, signed: bool = False) -> frozenset[Lossy]:
    """The choices by which such frames become the same."""
    treatment = treat_lossy(choice, facts, signed=signed)
    return frozenset(other for other in Lossy if treat_lossy(other, facts, signed=signed) is treatment)


def loss_method(facts: FrameFacts) -> str:
    """The Lossy Image Compression Method of frames: recompressing a JPEG image loses nothing, the loss was JPEG's."""
    return _JPEG_METHOD if facts.recompressed else facts.syntax.loss_method


def lossy_changes(method: str, decoded_bytes: int, encoded_bytes: int) -> JSONDataset:
    """What the metadata say of frames that were compressed with loss by a method, from so many bytes to so many."""
    ratio = float(f"{decoded_bytes / max(encoded_bytes, 1):.3g}")
    changes: JSONDataset = {LOSSY: _element("CS", ["01"]), RATIO: _element("DS", [ratio])}
    if method:
        changes[METHOD] = _element("CS", [method])
    return changes


def with_history(changes: JSONDataset, metadata: JSONDataset) -> JSONDataset:
    """The changes, with a step of lossy compression added to those that the metadata name already.

    Methods and ratios correspond, one of each a step. A method that is named already is this step, with its ratio.
    """
    if LOSSY not in changes:
        return changes
    methods, ratios, ours = _values(metadata, METHOD), _values(metadata, RATIO), _values(changes, METHOD)
    if not set(ours) <= set(methods):
        methods += ours
    if len(ratios) + 1 == max(len(methods), 1) and methods[-1:] == ours:
        ratios += _values(changes, RATIO)
    merged = {tag: element for tag, element in changes.items() if tag not in (METHOD, RATIO)}
    if methods:
        merged[METHOD] = _element("CS", methods)
    if ratios:
        merged[RATIO] = _element("DS", ratios)
    return merged


def _values(dataset: JSONDataset, tag: str) -> list[Any]:
    return list(dataset.get(tag, {}).get("Value", []))


def _element(vr: str, values: list[Any]) -> dict[str, Any]:
    return {"vr": vr, "Value": values}
