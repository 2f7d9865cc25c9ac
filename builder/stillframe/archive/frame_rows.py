"""The rows of a frame index from the stored frames themselves: their lengths, resolutions and checksums."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from stillframe.archive.holdings import StoredSeries
from stillframe.archive.record import promised_frames
from stillframe.codec import codestream, htj2k
from stillframe.codec.codestream import FrameRow
from stillframe.codec.markers import parse_header
from stillframe.dicom.json_model import SYNTAX, JSONDataset, first_value
from stillframe.dicom.syntaxes import HTJ2K_RPCL
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CodecError, CodestreamError
from stillframe.layout import frame_key
from stillframe.options import DecoderLimits
from stillframe.parallel import side_by_side
from stillframe.pixels.foreign_codestreams import decode_published
from stillframe.store.base import Store

_ROWS: Final = "00280010"
_COLUMNS: Final = "00280011"
_BITS_ALLOCATED: Final = "00280100"
_PIXEL_REPRESENTATION: Final = "00280103"
_LIMITS: Final = DecoderLimits()


def read_rows(
    store: Store, uids: InstanceUIDs, metadata: JSONDataset, limits: DecoderLimits = _LIMITS
) -> tuple[FrameRow, ...]:
    """The rows of a published instance, one for each frame, decoded within limits; none if its frames are not HTJ2K.

    Raises:
        CodecError, CodestreamError: if a frame that the metadata promise is missing or damaged.
    """
    if first_value(metadata, SYNTAX) != HTJ2K_RPCL:
        return ()
    kind = "i" if first_value(metadata, _PIXEL_REPRESENTATION) == 1 else "u"
    dtype = np.dtype(f"{kind}{int(str(first_value(metadata, _BITS_ALLOCATED))) // 8}")
    keys = (frame_key(uids, number) for number in range(1, promised_frames(metadata) + 1))
    return tuple(_read_row(store, key, dtype, limits) for key in keys)


def _read_row(store: Store, key: str, dtype: np.dtype[Any], limits: DecoderLimits) -> FrameRow:
    stored = store.get(key)
    if stored is None:
        raise CodestreamError(f"{key} is missing")
    header = parse_header(stored.data)
    pixels = decode_published(stored.data, limits).astype(dtype, copy=False)
    return FrameRow(codestream.resolutions(header, len(stored.data)), htj2k.frame_crc32(pixels))


def complete_rows(
    store: Store, stored: StoredSeries, index: Mapping[str, Any]
) -> tuple[frozenset[str], dict[str, tuple[FrameRow, ...]]]:
    """The instances whose rows in a frame index are right, and the rows of the others, from the frames themselves.

    An instance whose frames turn out to be damaged is moved from those that are published to those that are not.
    """
    kept = frozenset(_valid_rows(stored, index))
    syntax = {uid: first_value(metadata, SYNTAX) for uid, metadata in stored.published.items()}
    missing = [uid for uid in stored.published if uid not in kept and syntax[uid] == HTJ2K_RPCL]

    def read(instance: str) -> tuple[FrameRow, ...] | str:
        try:
            return read_rows(store, InstanceUIDs(stored.study, stored.series, instance), stored.published[instance])
        except (CodecError, CodestreamError) as error:
            return f"its frames are damaged: {error}"

    rows = {}
    for instance, result in zip(missing, side_by_side(os.cpu_count() or 1, read, missing), strict=True):
        if isinstance(result, str):
            stored.left[instance] = result
            del stored.published[instance]
        else:
            rows[instance] = result
    return kept, rows


def _valid_rows(stored: StoredSeries, index: Mapping[str, Any]) -> list[str]:
    """The published instances whose rows fit the stored frames: in size, number and the size of the object."""
    valid = []
    for group in index.get("groups", ()):
        last = group["levels"][-1] if group["levels"] else {}
        for uid, rows in group["instances"].items():
            metadata = stored.published.get(uid)
            if metadata is None or first_value(metadata, SYNTAX) != HTJ2K_RPCL:
                continue
            size = {"decodeLevel": 0, "width": first_value(metadata, _COLUMNS), "height": first_value(metadata, _ROWS)}
            sizes = [stored.frames[uid].get(number) for number in range(1, promised_frames(metadata) + 1)]
            if last == size and [row[-1] for row in rows] == sizes and all(row == sorted(row) for row in rows):
                valid.append(uid)
    return valid
