"""Instances of one task in turn: what they wrote gets onto the disk together, and is committed after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import override

import pytest

from stillframe.archive.claims import Watch
from stillframe.build.batch import build_batch
from stillframe.build.results import Built, Outcome
from stillframe.build.sharing import make_alone
from stillframe.build.tasks import InstanceTask
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import StoreError
from stillframe.layout import instance_key
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef, Rejected
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import image, noise, write
from tests.support.published import UIDS
from tests.support.trees import contents


class _Disk(DirectoryStore):
    """A folder that tells how many instances had their place when it was synced, and fails on request."""

    def __init__(self, root: str, *, fails: bool = False) -> None:
        super().__init__(root)
        self.seen: list[int] = []
        self.fails = fails

    @override
    def sync(self) -> None:
        self.seen.append(len(list(Path(self.root).rglob("metadata"))))
        if self.fails:
            raise StoreError("the disk is full")


def _tasks(store: DirectoryStore, folder: Path, count: int) -> list[InstanceTask]:
    store.create()
    tasks = []
    for number in range(1, count + 1):
        uids = replace(UIDS, instance=f"{UIDS.instance}.{number}")
        path = write(folder, f"{number}.dcm", image(number, noise(number), SOPInstanceUID=uids.instance))
        tasks.append(InstanceTask(store=store, source=InputRef(path=str(path)), uids=uids, options=BuildOptions()))
    return tasks


def _outcomes(results: Sequence[object]) -> list[object]:
    return [result.outcome if isinstance(result, Built) else result for result in results]


def test_what_several_instances_wrote_is_synced_once_and_then_committed(tmp_path: Path) -> None:
    store = _Disk(str(tmp_path / "tree"))
    tasks = _tasks(store, tmp_path, 3)
    assert _outcomes(build_batch(tasks, make_alone)) == [Outcome.PUBLISHED] * 3
    assert store.seen == [0]
    one_by_one = DirectoryStore(str(tmp_path / "other"))
    for task in _tasks(one_by_one, tmp_path, 3):
        build_batch([task], make_alone)
    assert contents(tmp_path / "tree") == contents(tmp_path / "other")


def test_a_disk_that_takes_nothing_fails_every_instance_and_leaves_no_draft(tmp_path: Path) -> None:
    store = _Disk(str(tmp_path / "tree"), fails=True)
    results = build_batch(_tasks(store, tmp_path, 3), make_alone)
    assert [str(result) for result in results] == ["the disk is full"] * 3
    assert contents(tmp_path / "tree") == {}


def test_an_input_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    store = _Disk(str(tmp_path / "tree"))
    tasks = _tasks(store, tmp_path, 3)
    Path(tasks[1].source.path).write_bytes(b"no DICOM at all")
    first, second, third = build_batch(tasks, make_alone)
    assert _outcomes([first, third]) == [Outcome.PUBLISHED] * 2
    assert isinstance(second, Rejected)


def test_nothing_is_held_back_while_another_job_is_waited_for(tmp_path: Path) -> None:
    """Two jobs, each with instances that the other waits for, would wait for ever."""
    store = _Disk(str(tmp_path / "tree"))
    tasks = _tasks(store, tmp_path, 3)
    tasks[2] = replace(tasks[2], watched=Watch("", 0.0))
    assert _outcomes(build_batch(tasks, make_alone)) == [Outcome.PUBLISHED] * 3
    assert store.seen == [0, 2]


def test_an_instance_that_another_job_took_over_is_looked_at_again(tmp_path: Path) -> None:
    """Its draft is gone when it is to be committed: the other job's stays."""

    class _Overtaken(_Disk):
        @override
        def sync(self) -> None:
            super().sync()
            if len(self.seen) == 1:
                resource = instance_key(tasks[0].uids)
                other = DirectoryStore(self.root).draft(resource, DirectoryStore(self.root).drafted(resource))
                assert other is not None
                other.put(f"{resource}/metadata", _metadata_of(tmp_path / "whole", tasks[0].uids))
                other.commit()
                other.close()

    whole = DirectoryStore(str(tmp_path / "whole"))
    build_batch(_tasks(whole, tmp_path, 1), make_alone)
    store = _Overtaken(str(tmp_path / "tree"))
    tasks = _tasks(store, tmp_path, 2)
    results = build_batch(tasks, make_alone)
    assert _outcomes(results) == [Outcome.REBUILT, Outcome.PUBLISHED]


def _metadata_of(tree: Path, uids: InstanceUIDs) -> bytes:
    return (tree / instance_key(uids) / "metadata").read_bytes()


def test_memory_that_is_not_there_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = _Disk(str(tmp_path / "tree"))
    tasks = _tasks(store, tmp_path, 2)

    def make(work: object, indices: Sequence[int]) -> object:  # the second one finds none
        if work.uids == tasks[1].uids:  # type: ignore[attr-defined]
            raise MemoryError
        return make_alone(work, indices)  # type: ignore[arg-type]

    with pytest.raises(MemoryError):
        build_batch(tasks, make)  # type: ignore[arg-type]
    assert contents(tmp_path / "tree") == {}
