"""What a worker does with one input, where another job comes in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stillframe.build.frame_work import FrameWork, MadeFrame
from stillframe.build.instance import build_instance
from stillframe.build.sharing import make_alone
from stillframe.build.tasks import InstanceTask
from stillframe.errors import InputError
from stillframe.layout import instance_key
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef, Rejected
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import image, noise, write
from tests.support.published import UIDS
from tests.support.trees import contents, objects


def test_an_input_that_fails_leaves_alone_what_another_job_committed_meanwhile(tmp_path: Path) -> None:
    """A job stands still; another one takes its draft over and commits; then the first goes on, and its input fails."""
    frames = np.stack([noise(number) for number in range(3)])
    path = write(tmp_path, "in.dcm", image(2, frames, SOPInstanceUID=UIDS.instance))
    store, whole = DirectoryStore(str(tmp_path / "tree")), DirectoryStore(str(tmp_path / "whole"))

    def task(store: DirectoryStore) -> InstanceTask:
        store.create()
        return InstanceTask(store=store, source=InputRef(path=str(path)), uids=UIDS, options=BuildOptions())

    build_instance(task(whole))
    committed = contents(tmp_path / "whole")
    assert committed

    def make(work: FrameWork, indices: Sequence[int]) -> Iterator[MadeFrame]:
        yield from make_alone(work, indices[:1])
        other = store.draft(instance_key(UIDS), store.drafted(instance_key(UIDS)))
        assert other is not None
        for key, data in objects(whole).items():
            other.put(key, data)
        other.commit()
        other.close()
        raise InputError("its second frame is damaged")

    assert isinstance(build_instance(task(store), make), Rejected)
    assert contents(tmp_path / "tree") == committed
