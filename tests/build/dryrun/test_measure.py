"""What a worker brings back of an input in a dry run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillframe.build.dryrun.estimate import Measured, MeasureTask
from stillframe.build.dryrun.measure import measure_instance
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import Kind
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef
from tests.support.dicom_files import SERIES, STUDY, image, instance_uid, noise, write


def measured(source: Path, *, frames: bool) -> Measured:
    result = measure_instance(
        MeasureTask(
            source=InputRef(path=str(source), size=source.stat().st_size),
            uids=InstanceUIDs(STUDY, SERIES, instance_uid(1)),
            options=BuildOptions(),
            encode=bytes,
            frames=frames,
        )
    )
    assert isinstance(result, Measured)
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path, "in.dcm", image(1, np.stack([noise(number, (64, 64)) for number in range(5)])))


def test_without_frames_no_metadata_come_back(source: Path) -> None:
    result = measured(source, frames=False)
    assert result.made is None
    assert (result.frames, result.weight) == (5, 5 * 64 * 64 * 2)
    assert [kind for kind, _ in result.own] == [Kind.METADATA]


def test_with_frames_one_entry_of_the_lists_comes_back(source: Path) -> None:
    made = measured(source, frames=True).made
    assert made is not None
    assert (made.instances, made.frames, made.weight) == (1, 3, 3 * 64 * 64 * 2)
    assert made.objects.count[Kind.FRAME] == made.objects.count[Kind.REDUCED_FRAME] == 3
    (entry,) = made.entries
    assert len(entry.rows) == 3
    assert instance_uid(1).encode() in entry.metadata
