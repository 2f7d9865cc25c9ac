"""Which instance stands for a series and for a study: a function of their metadata, however they were built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stillframe.archive.record import has_thumbnail, promised_frames
from stillframe.dicom.json_model import SERIES_UID, SOP_CLASS_UID, JSONDataset, text_value
from stillframe.dicom.sop_classes import OVERLAYS


def series_candidates(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The instances that may stand for a series, best first: those with a thumbnail, from the middle outwards.

    `metadata` are sorted as in the document of the series, by Instance Number and then UID.
    """
    images = [instance for instance in metadata if has_thumbnail(instance)]
    middle = len(images) // 2
    return [images[index] for index in sorted(range(len(images)), key=lambda index: abs(index - middle))]


def study_candidates(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The instances that may stand for a study, best first: of the series with the most frames, the first of equals.

    An image that nothing can draw has no thumbnail, so the others follow.
    Segmentations, parametric maps and doses come only where nothing else does. `metadata` are sorted as in the
    document of the study.
    """
    series: dict[str, list[JSONDataset]] = {}
    for instance in metadata:
        if has_thumbnail(instance):
            series.setdefault(text_value(instance, SERIES_UID), []).append(instance)
    by_weight = sorted(series.values(), key=_weight, reverse=True)  # equals stay in their order
    return [instance for instances in by_weight for instance in series_candidates(instances)]


def _weight(instances: Sequence[JSONDataset]) -> tuple[bool, int]:
    overlay = any(text_value(instance, SOP_CLASS_UID) in OVERLAYS for instance in instances)
    return not overlay, sum(promised_frames(instance) for instance in instances)
