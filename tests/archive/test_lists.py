"""Lists that are written while other jobs publish the same instances."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.layout import STUDIES
from tests.support.archives import Interrupted, publish
from tests.support.dicom_files import SERIES, STUDY, image, instance_uid, noise, write
from tests.support.memory_store import MemoryStore
from tests.support.trees import objects

MIDDLE = f"{instance_uid(1)}/thumbnail"
LISTS = (
    MIDDLE,
    "/frame-index", f"{SERIES}/metadata", f"{SERIES}/thumbnail", f"{SERIES}/instances", f"{STUDY}/metadata",
    f"{STUDY}/thumbnail", f"{STUDY}/series", f"{STUDY}/instances", STUDIES,
)  # fmt: skip


@pytest.mark.parametrize("late", LISTS)
def test_a_job_that_lists_late_does_not_list_what_another_one_replaced(tmp_path: Path, late: str) -> None:
    """Both replace one instance: the last one's pixels are there, so its record and rows have to be listed."""
    first, second, third = (
        write(tmp_path, f"{name}.dcm", image(1, noise(20, (24, size)), StudyDescription=name, SeriesDescription=name))
        for name, size in (("first", 20), ("second", 21), ("third", 22))
    )
    shared = MemoryStore()
    publish(shared, first)
    late_job = Interrupted(late, lambda _: publish(shared, third, replace=True), shared)
    publish(late_job, second, replace=True)
    assert late_job.acted
    clean = MemoryStore()
    publish(clean, third)
    assert objects(shared) == objects(clean)
