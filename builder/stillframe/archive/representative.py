"""Which instance stands for a series and for a study: a function of their metadata, however they were built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from stillframe.archive.record import may_be_shown, promised_frames
from stillframe.dicom.json_model import (
    NUMBER_OF_FRAMES,
    SERIES_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_UID,
    SYNTAX,
    JSONDataset,
    text_value,
)
from stillframe.dicom.sop_classes import FETCHED_WHOLE, OVERLAYS, WHOLE_SLIDE

_MODALITY: Final = "00080060"
_INSTANCE_NUMBER: Final = "00200013"
# OHIF shows each of these by itself, and stacks others of one SOP class.
_SINGLE: Final = frozenset({"CR", "DX", "MG"})
DECISIVE: Final = frozenset({
    STUDY_UID, SERIES_UID, SOP_INSTANCE_UID, SOP_CLASS_UID, SYNTAX, NUMBER_OF_FRAMES,
    _MODALITY, _INSTANCE_NUMBER, "00200011",
})  # fmt: skip
"""The attributes that decide whose thumbnails there are, beside the record."""
_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]+)")


def decisive_metadata(metadata: JSONDataset) -> JSONDataset:
    """What of an instance's metadata decides whose thumbnails there are."""
    return {tag: element for tag, element in metadata.items() if tag in DECISIVE or tag.startswith("0099")}


def series_candidates(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The instances that may stand for a series, best first: those that may be shown, from the middle outwards.

    `metadata` are sorted as in the document of the series, by Instance Number and then UID.
    """
    return _from_the_middle([instance for instance in metadata if may_be_shown(instance)])


def _from_the_middle(images: Sequence[JSONDataset]) -> list[JSONDataset]:
    middle = len(images) // 2
    return [images[index] for index in sorted(range(len(images)), key=lambda index: abs(index - middle))]


def study_candidates(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The instances that may stand for a study, best first: of the series with the most frames, the first of equals.

    What nothing can draw has no thumbnail, so the others follow.
    Segmentations, parametric maps and doses come only where nothing else does. `metadata` are sorted as in the
    document of the study.
    """
    series: dict[str, list[JSONDataset]] = {}
    for instance in metadata:
        if may_be_shown(instance):
            series.setdefault(text_value(instance, SERIES_UID), []).append(instance)
    by_weight = sorted(series.values(), key=_weight, reverse=True)  # equals stay in their order
    return [instance for instances in by_weight for instance in _from_the_middle(instances)]


def _weight(instances: Sequence[JSONDataset]) -> tuple[bool, int]:
    overlay = any(text_value(instance, SOP_CLASS_UID) in OVERLAYS for instance in instances)
    return not overlay, sum(promised_frames(instance) for instance in instances)


def asked_for(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The instances of a series whose thumbnails viewers ask for by themselves, of those that may be shown.

    OHIF 3.13 does for its panel of series: of each of its display sets it asks for the middle one. It makes them of the
    instances of one SOP class (`getDisplaySetsFromSeries`, `makeDisplaySet`): each of several frames is one, each of
    CR, DX and MG; all others are one together. Of whole slides, the one with the fewest frames is asked for; of what
    it fetches whole, none.
    """
    classes: dict[str, list[JSONDataset]] = {}
    for instance in metadata:
        if promised_frames(instance):
            classes.setdefault(text_value(instance, SOP_CLASS_UID), []).append(instance)
    asked = [
        instance
        for sop_class, instances in classes.items()
        if sop_class not in FETCHED_WHOLE
        for instance in _middles(sop_class, instances)
    ]
    return [instance for instance in asked if may_be_shown(instance)]


def _middles(sop_class: str, instances: list[JSONDataset]) -> list[JSONDataset]:
    """The instance in the middle of each display set that one SOP class makes."""
    if sop_class == WHOLE_SLIDE:
        return [min(instances, key=promised_frames)]
    single: list[JSONDataset] = []
    stacked: list[JSONDataset] = []
    for instance in instances:
        alone = promised_frames(instance) > 1 or text_value(instance, _MODALITY) in _SINGLE
        (single if alone else stacked).append(instance)
    # By number, none being 0, then by the UID as text: `sortByInstanceNumber`.
    stacked.sort(key=lambda item: (_stack_number(item), text_value(item, SOP_INSTANCE_UID)))
    return single + stacked[len(stacked) // 2 :][:1]


def _stack_number(instance: JSONDataset) -> int:
    match = _INTEGER.match(text_value(instance, _INSTANCE_NUMBER))
    return int(match[1]) if match else 0
