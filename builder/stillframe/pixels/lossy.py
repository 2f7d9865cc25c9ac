"""Lossy Image Compression and its companions (PS3.3 C.7.6.1.1.5): the step that a source's frames went through."""

from __future__ import annotations

from typing import Any, Final

from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.syntaxes import TransferSyntax

LOSSY: Final = "00282110"
RATIO: Final = "00282112"
METHOD: Final = "00282114"


def lossy_changes(syntax: TransferSyntax, decoded_bytes: int, encoded_bytes: int) -> JSONDataset:
    """What the metadata say of frames that were compressed with loss in `syntax`, from so many bytes to so many."""
    ratio = float(f"{decoded_bytes / max(encoded_bytes, 1):.3g}")
    changes: JSONDataset = {LOSSY: _element("CS", ["01"]), RATIO: _element("DS", [ratio])}
    if syntax.loss_method:
        changes[METHOD] = _element("CS", [syntax.loss_method])
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
