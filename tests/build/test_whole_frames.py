"""Frames that are not one whole image: decoders make something up for what is missing, and pass over what is more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from tests.support.dicom_files import encapsulated_value, image_attributes, jpeg, random_samples, write_dicom
from tests.support.frame_encoders import htj2k, htj2k_lossy, j2k, j2k_lossy
from tests.support.published import publish_file, rejected

type Frame = npt.NDArray[Any]
type Encode = Callable[[Frame, int], bytes]

GREY = random_samples((40, 50), "u1", 8)


def write(path: Path, number: int, fragments: list[bytes], table: bytes = b"", **attributes: Any) -> Path:
    """A file of one of the JPEG transfer syntaxes."""
    value = encapsulated_value(fragments, table)
    return write_dicom(path, jpeg(number), image_attributes(GREY, **attributes), value, vr="OB", native=False)


def of_two_tile_parts(codestream: bytes) -> bytes:
    """A codestream that says of its one tile-part that there are two (TNsot, ISO/IEC 15444-1 A.4.2)."""
    place = codestream.index(b"\xff\x90\0\x0a") + 11
    return codestream[:place] + b"\2" + codestream[place + 1 :]


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (91, j2k_lossy), (201, htj2k), (203, htj2k_lossy)])
def test_a_frame_without_its_last_tile_part_is_damaged(tmp_path: Path, number: int, encode: Encode) -> None:
    damaged, whole = of_two_tile_parts(encode(GREY, 8)), encode(GREY, 8)
    reason = "damaged JPEG 2000 codestream: tile 0 has 1 of its 2 tile-parts"
    assert rejected(write(tmp_path / "one", number, [damaged]), tmp_path / "tree") == f"frame 1: {reason}"
    several = write(tmp_path / "several", number, [whole, damaged], NumberOfFrames=2)
    published = publish_file(several, tmp_path / "kept", keep_damaged=True)
    lossless = encode in (j2k, htj2k)
    outcome = "all samples of the frame are 0" if lossless else "the bytes of the frame are kept as they are"
    assert f"damaged: {reason}; {outcome} (frame 2)" in published.built.notes
