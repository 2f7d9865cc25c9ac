"""Claims: one holder at a time, waited for while it lives, taken over when it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from stillframe.archive import claims
from stillframe.archive.claims import (
    _PROCESS,
    LEASE_SECONDS,
    ClaimHeld,
    CommitState,
    Lease,
    _this_process,
    settled_state,
)
from stillframe.archive.delete import Scope, delete
from stillframe.archive.record import Record, claimed, holder_of, with_record
from stillframe.archive.roots import Roots
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.dicom.json_model import JSONDataset, dumps, parse_datasets
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import ClaimLost, StoreError
from stillframe.execute import SerialExecutor
from stillframe.layout import metadata_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import STUDY, write_series
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, objects

UIDS = InstanceUIDs("1.2", "1.2.3", "1.2.3.4")
KEY = metadata_key(UIDS.study, UIDS.series, UIDS.instance)
METADATA: JSONDataset = {
    "00080018": {"vr": "UI", "Value": [UIDS.instance]},
    "0020000D": {"vr": "UI", "Value": [UIDS.study]},
    "0020000E": {"vr": "UI", "Value": [UIDS.series]},
}
PUBLISHED = dumps([with_record(METADATA, Record(f"sha256:{'0' * 64}", "options"))])
NOTHING = CommitState(None, None)


def put_claim(store: MemoryStore, process: str, metadata: JSONDataset | None = None) -> None:
    store.put(KEY, dumps([claimed(metadata or {}, f"name {process} 0")]))


def test_nobody_is_waited_for_where_nobody_writes() -> None:
    store = MemoryStore()
    assert settled_state(store, UIDS) == NOTHING
    store.put(KEY, PUBLISHED)
    record = settled_state(store, UIDS)
    assert (record.metadata is not None, record.abandoned) == (True, False)
    store.put(KEY, b'[{"0008')  # damaged: what is beside it may be anything
    record = settled_state(store, UIDS)
    assert (record.metadata, record.abandoned) == (None, True)


def test_of_two_who_begin_one_holds_the_claim() -> None:
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING) as lease:
        with pytest.raises(ClaimLost):
            Lease(store, UIDS, NOTHING)
        lease.commit(PUBLISHED)
    assert store.objects[KEY].data == PUBLISHED


@pytest.mark.slow
def test_a_waiter_waits_while_the_claim_is_renewed_and_sees_the_commit() -> None:
    store = MemoryStore()
    seen: list[CommitState] = []
    with Lease(store, UIDS, NOTHING) as lease:
        waiter = threading.Thread(target=lambda: seen.append(settled_state(store, UIDS, lease=0.2)))
        waiter.start()
        for _ in range(40):
            lease.renew()
            time.sleep(0.02)
        assert seen == []
        lease.commit(PUBLISHED)
    waiter.join()
    assert [(record.metadata is not None, record.abandoned) for record in seen] == [(True, False)]


@pytest.mark.slow
def test_claims_are_renewed_beside_the_work() -> None:
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING, seconds=0.5):
        first = store.objects[KEY].etag
        deadline = time.monotonic() + 60
        while store.objects[KEY].etag == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_claim_that_nobody_renews_is_taken_over_and_its_holder_cannot_commit() -> None:
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING) as late:
        record = settled_state(store, UIDS, lease=0.05)
        assert record.abandoned
        with Lease(store, UIDS, record) as lease:
            for act in (late.renew, late.check, late.give_up, late.remove):
                with pytest.raises(ClaimLost):
                    act()
            with pytest.raises(ClaimLost):
                late.commit(b"[]")
            lease.commit(PUBLISHED)
    assert store.objects[KEY].data == PUBLISHED


def test_a_holder_that_lost_its_claim_finds_out_when_it_commits() -> None:
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING) as late:
        with Lease(store, UIDS, settled_state(store, UIDS, lease=0.01)) as lease:
            lease.commit(PUBLISHED)
        with pytest.raises(ClaimLost):
            late.commit(dumps([METADATA]))
    assert store.objects[KEY].data == PUBLISHED


def test_a_process_that_has_ended_is_not_waited_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from stillframe.archive.claims import _this_process; print(_this_process())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    store = MemoryStore()
    put_claim(store, ended)
    record = settled_state(store, UIDS, lease=3600)
    assert (record.metadata, record.abandoned) == (None, True)
    put_claim(store, ended, METADATA)
    assert settled_state(store, UIDS, lease=3600).metadata is not None  # what had been published before


@pytest.mark.parametrize(
    "process",
    [
        "unknown",
        "another-machine.1.2",
        "0123abcd.1.2",
        "",
        "in a stranger's own words",
        pytest.param(_this_process(), id="this process"),
    ],
)
def test_a_process_that_may_live_is_waited_for(process: str) -> None:
    store = MemoryStore()
    put_claim(store, process)
    seen: list[CommitState] = []
    waiter = threading.Thread(target=lambda: seen.append(settled_state(store, UIDS, lease=3600)))
    waiter.start()
    waiter.join(0.3)
    assert seen == []
    store.put(KEY, PUBLISHED)
    waiter.join()
    assert seen[0].metadata is not None


def test_a_process_that_is_hidden_is_waited_for_until_its_lease_has_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc shows no processes of others, one that is not there has not ended for that."""
    store = MemoryStore()
    put_claim(store, _this_process())
    monkeypatch.setattr(claims, "_PROCESSES", tmp_path)
    begun = time.monotonic()
    assert settled_state(store, UIDS, lease=0.3).abandoned
    assert time.monotonic() - begun > 0.25


def test_a_hidden_process_that_has_ended_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    store = MemoryStore()
    machine = _this_process().partition(".")[0]
    put_claim(store, f"{machine}.{ended.pid}.1")
    monkeypatch.setattr(claims, "_PROCESSES", tmp_path)
    assert settled_state(store, UIDS, lease=3600).abandoned


class FakeClock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(claims, "time", clock)
    return clock


def test_a_claim_that_was_seen_before_is_waited_for_from_then_on(clock: FakeClock) -> None:
    store = MemoryStore()
    put_claim(store, "another-machine.1.2")
    with pytest.raises(ClaimHeld) as held:
        settled_state(store, UIDS, 30, patient=False)
    assert clock.now < 1001
    clock.sleep(20)
    assert settled_state(store, UIDS, 30, held.value.watch).abandoned
    assert clock.now == pytest.approx(1030, abs=2)
    put_claim(store, "another-machine.1.3")  # renewed meanwhile, or another's: it counts from now on
    assert settled_state(store, UIDS, 30, held.value.watch).abandoned
    assert clock.now == pytest.approx(1060, abs=3)


def claim_all(store: Store, *sources: Path) -> None:
    for source in sources:
        dataset = dcmread(source)
        uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        store.put(metadata_key(*uids), dumps([claimed({}, "name another-machine.1.2 0")]))


def test_the_claims_of_a_dead_machine_are_waited_for_all_at_once(tmp_path: Path, clock: FakeClock) -> None:
    source = write_series(tmp_path / "in", 8)
    store = DirectoryStore(str(tmp_path / "tree"))
    claim_all(store, *source.iterdir())
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), lease=30)
    report = build(request, store, SerialExecutor(), NoProgress())
    assert report.outcomes.total() == 8
    assert clock.now < 1000 + 2 * 30
    clean = DirectoryStore(str(tmp_path / "clean"))
    build(request, clean, SerialExecutor(), NoProgress())
    assert objects(store) == objects(clean)


def test_a_deletion_waits_for_the_claims_of_a_dead_machine_all_at_once(tmp_path: Path, clock: FakeClock) -> None:
    source = write_series(tmp_path / "in", 8)
    store = DirectoryStore(str(tmp_path / "tree"))
    build_tree(tmp_path / "tree", source)
    claim_all(store, *source.iterdir())
    report = delete(Roots(store), Scope(STUDY), "", NoProgress())
    assert report.instances == 8
    assert clock.now < 1000 + 2 * LEASE_SECONDS


def test_what_is_given_up_is_told_to_the_next_and_keeps_what_was_published() -> None:
    store = MemoryStore()
    store.put(KEY, PUBLISHED)
    with Lease(store, UIDS, settled_state(store, UIDS)) as lease:
        lease.give_up()
    record = settled_state(store, UIDS, lease=3600)
    assert record.metadata is not None
    assert record.metadata["00080018"] == METADATA["00080018"]
    with Lease(store, UIDS, record) as lease:
        lease.remove()
    assert store.objects == {}


@pytest.mark.parametrize("last", ["commit", "give_up"])
def test_an_answer_that_gets_lost_costs_no_claim(last: str) -> None:
    """Each write takes place and is then refused, as one is that is made again after its answer got lost."""
    inner = MemoryStore()
    store = FaultyStore(inner, dict.fromkeys(range(1000), Fault.LOST))
    with Lease(store, UIDS, NOTHING) as lease:
        lease.renew()
        lease.renew()
        if last == "commit":
            lease.commit(PUBLISHED)
        else:
            lease.give_up()
    assert len(store.injected) == 4
    assert (inner.objects[KEY].data == PUBLISHED) == (last == "commit")


def test_a_renewal_whose_answer_never_came_costs_no_claim() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, {1: Fault.CUT_OFF, 5: Fault.CUT_OFF})
    with Lease(store, UIDS, NOTHING) as lease:
        with pytest.raises(StoreError):
            lease.renew()  # it took place
        lease.renew()
        lease.renew_if_due()
        with pytest.raises(StoreError):
            lease.renew()
        lease.commit(PUBLISHED)
    assert inner.objects[KEY].data == PUBLISHED


def test_many_who_want_one_instance_hold_it_one_after_the_other() -> None:
    store = MemoryStore()
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        while True:
            try:
                with Lease(store, UIDS, settled_state(store, UIDS)) as lease:
                    inside.append(number)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.remove(number)
                    lease.commit(PUBLISHED)
                return
            except ClaimLost:
                continue

    jobs = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert most == [1] * 8


def test_a_claim_names_its_holder_in_the_document() -> None:
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING):
        record = settled_state(store, UIDS, lease=0.01)
        assert record.etag == store.objects[KEY].etag
    (document,) = parse_datasets(store.objects[KEY].data) or []
    name, process, renewed = holder_of(document).split(" ")
    assert (len(name), process, renewed) == (32, _this_process(), "0")


def test_a_claim_names_the_process_that_holds_it() -> None:
    """What a lease writes is what `_has_ended` reads: this process is alive, and known to be one of this machine."""
    store = MemoryStore()
    with Lease(store, UIDS, NOTHING):
        stored = store.get(KEY)
        assert stored is not None
        (metadata,) = json.loads(stored.data)
        process = _PROCESS.fullmatch(holder_of(metadata))
        assert process is not None
        assert process["pid"] == str(os.getpid())
