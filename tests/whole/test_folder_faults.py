"""Builds into a folder that are stopped or killed at any of their system calls: nothing is mixed, nothing left over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillframe.build.report import Report
from stillframe.layout import parse_key
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from tests.support.consistency import check_consistency
from tests.support.dicom_files import image, noise, write
from tests.support.forked import forked_process
from tests.support.halted_jobs import publish_and_halt, publish_leased
from tests.support.moments import EVERY
from tests.support.trees import contents, objects

pytestmark = pytest.mark.slow
LEASE = 0.3
# Long enough for a whole build behind a claim that runs out: what takes longer waits for a lock of the stopped one.
PATIENCE = 5.0


def publish(source: Path, store: Store, **changes: Any) -> Report:
    return publish_leased(source, store, LEASE, **changes)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def clean_tree(folder: Path, *sources: Path) -> Path:
    for source in sources:
        assert publish(source, DirectoryStore(str(folder))).exit_code == 0
    return folder


def by_instance(found: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    grouped: dict[str, dict[str, bytes]] = defaultdict(dict)
    for key, data in found.items():
        if parse_key(key).instance:
            grouped[parse_key(key).instance][key] = data
    return grouped


def check_unmixed(tree: Path, clean: Sequence[Path]) -> None:
    """See that each instance is wholly one job's, that lists are right, and that nothing else is in the folder."""
    store = DirectoryStore(str(tree))
    check_consistency(store)
    made = by_instance(objects(store))
    wanted = [by_instance(objects(DirectoryStore(str(one)))) for one in clean]
    assert set(made) == set(wanted[0])
    for instance, found in made.items():
        assert found in [one[instance] for one in wanted]
    assert not [path for path in tree.rglob(".*") if path.is_dir()]


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """The same SOP Instance UID three times, with frames of one size and other pixels."""
    for seed in (0, 1, 2):
        frames = np.stack([noise(10 * seed + frame, (20, 30)) for frame in range(4)]).astype("u4")
        write(tmp_path, f"{seed}.dcm", image(1, frames))
    return [tmp_path / f"{seed}.dcm" for seed in (0, 1, 2)]


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_a_process_that_stood_still_while_its_claim_ran_out_mixes_nothing(
    tmp_path: Path, sources: list[Path], before: bool
) -> None:
    """Stopped at any system call, it goes on when another job has published other pixels."""
    clean = [clean_tree(tmp_path / f"clean{number}", sources[number]) for number in (0, 1)]
    overtaken = 0
    for moment in range(0, 1000, 1 if EVERY else 5):
        tree, code = tmp_path / f"tree{moment}", tmp_path / f"code{moment}"
        if before:
            clean_tree(tree, sources[2])
        arguments = (tree, sources[0], LEASE, moment, signal.SIGSTOP, code, before)
        job = forked_process(publish_and_halt, *arguments)
        job.start()
        assert job.pid is not None
        while job.is_alive() and not is_stopped(job.pid):
            time.sleep(0.01)
        if not job.is_alive():
            break
        reports: list[Report] = []

        def overtake(tree: Path = tree, reports: list[Report] = reports) -> None:
            reports.append(publish(sources[1], DirectoryStore(str(tree)), replace=before))

        other = threading.Thread(target=overtake)
        other.start()
        other.join(PATIENCE)
        overtaken += not other.is_alive()
        os.kill(job.pid, signal.SIGCONT)
        job.join()
        other.join()
        check_unmixed(tree, clean)
        assert {reports[0].exit_code, int(code.read_text())} <= {0, 2}
    assert moment > 20
    assert overtaken > 3


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_a_killed_job_and_a_rerun_leave_what_one_alone_leaves(
    tmp_path: Path, sources: list[Path], before: bool
) -> None:
    clean = clean_tree(tmp_path / "clean", *sources[2:] if before else sources[:0])
    assert publish(sources[0], DirectoryStore(str(clean)), replace=before).exit_code == 0
    for moment in range(0, 1000, 1 if EVERY else 4):
        tree, code = tmp_path / f"tree{moment}", tmp_path / f"code{moment}"
        if before:
            clean_tree(tree, sources[2])
        job = forked_process(publish_and_halt, tree, sources[0], LEASE, moment, signal.SIGKILL, code, before)
        job.start()
        job.join()
        if code.exists():
            break
        assert publish(sources[0], DirectoryStore(str(tree)), replace=before).exit_code == 0
        assert contents(tree) == contents(clean)
        check_consistency(DirectoryStore(str(tree)))
    assert moment > 20
