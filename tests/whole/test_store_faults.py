"""A store that fails at any request of a build: told, never a list of what is not there, and made good by a rerun."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.dicom.json_model import named_uids
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import StoreError
from stillframe.execute import SerialExecutor
from stillframe.layout import Kind, parse_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from tests.support.consistency import check_consistency, missing_objects
from tests.support.dicom_files import ROOT, image, noise, write
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.memory_store import MemoryStore
from tests.support.moments import EVERY, moments
from tests.support.trees import NoProgress, objects

SHAPE = (12, 10)


class NearStore(MemoryStore):
    """Memory that is treated as a disk is: one request after the other."""


class FarStore(MemoryStore):
    """Memory that is treated as a store far away is: several requests at once."""

    def __init__(self, parallel: int = 4) -> None:
        super().__init__(parallel)


def publish(source: Path, store: Store, **changes: Any) -> Report:
    """A claim that a failed build left is taken over soon: here its process lives on."""
    request = BuildRequest(
        sources=(str(source),), options=changes.pop("options", BuildOptions()), lease=0.02, **changes
    )
    return build(request, store, SerialExecutor(), NoProgress())


def write_inputs(folder: Path, seed: int = 0, instances: int = 2) -> Path:
    """A series, a multi-frame image of a second one, and a second study."""
    for number in range(1, instances + 1):
        write(folder, f"{number}.dcm", image(number, noise(number + seed, SHAPE)))
    frames = noise(9 + seed, (2, *SHAPE))
    write(folder, "multi.dcm", image(9, frames, SeriesInstanceUID=f"{ROOT}.1.2", SeriesNumber=2))
    write(folder, "other.dcm", image(1, noise(8 + seed, SHAPE), StudyInstanceUID=f"{ROOT}.2", PatientID="P2"))
    return folder


# What is there before: nothing, some of it, all with other options, all with other pixels.
SCENARIOS: dict[str, Callable[[Path, Store], object]] = {
    "nothing": lambda folder, store: None,
    "one instance": lambda folder, store: publish(folder / "in" / "1.dcm", store),
    "other options": lambda folder, store: publish(folder / "in", store, options=BuildOptions(reduced=(1, 2))),
    "other pixels": lambda folder, store: publish(write_inputs(folder / "before", 50), store),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.CUT_OFF, Fault.LOST])
@pytest.mark.parametrize("before", SCENARIOS)
@pytest.mark.parametrize("make_store", [NearStore, FarStore])
def test_a_fault_at_any_request_is_made_good_by_a_rerun(
    tmp_path: Path, make_store: Callable[[], MemoryStore], before: str, fault: Fault
) -> None:
    """At requests of every kind into an empty store, and at some of a build into one that holds something."""
    source = write_inputs(tmp_path / "in")
    clean, start = make_store(), make_store()
    publish(source, clean)
    SCENARIOS[before](tmp_path, start)
    watched = make_store()
    watched.objects |= start.objects
    whole = FaultyStore(watched)
    publish(source, whole, replace=True)
    tried = 0
    for moment in moments(whole.calls)[:: 1 if EVERY or before == "nothing" else 3]:
        inner = make_store()
        inner.objects |= start.objects
        problems: list[str] = []
        store = FaultyStore(inner, {moment: fault}, partial(look, inner, problems))
        judge(source, store, inner, fault)
        assert publish(source, inner, replace=True).exit_code == 0
        assert objects(inner) == objects(clean), store.calls[-1]
        assert problems == [] or before == "other pixels", store.calls[-1]
        tried += bool(store.injected)
    assert tried > 5 or before != "nothing"


def look(store: MemoryStore, problems: list[str]) -> None:
    held = {key: stored.data for key, stored in dict(store.objects).items()}
    problems += missing_objects(held)


def judge(source: Path, store: FaultyStore, inner: Store, fault: Fault) -> None:
    """Build with a fault, and see that the report tells the truth."""
    try:
        report = publish(source, store, replace=True)
    except StoreError:
        assert not any(call.startswith("put") for call in store.calls), "it failed after something was published"
        return
    if not store.injected or fault in (Fault.LOST, Fault.SLOW):
        assert report.exit_code == 0, store.calls[-1]
        return
    assert report.exit_code == 1
    assert report.failure
    check_unfinished(report, source, inner)


def check_unfinished(report: Report, source: Path, store: Store) -> None:
    """Every input is published or missing; what is published is in the store; what is listed is in lists."""
    left = report.unfinished
    inputs = {str(path) for path in source.iterdir()}
    assert set(left.missing) <= inputs
    assert len(left.missing) + report.outcomes.total() == len(inputs)
    committed, listed = set(), set()
    for key, data in objects(store).items():
        place = parse_key(key)
        if place.kind is Kind.METADATA and place.instance and b"sha256:unknown" not in data:
            committed.add(InstanceUIDs(place.study, place.series, place.instance))
        elif place.kind is Kind.METADATA and place.series and not place.instance:
            listed |= {InstanceUIDs(*named_uids(item)) for item in json.loads(data)}
    assert report.outcomes.total() <= len(committed)
    assert set(left.unlisted) <= committed
    assert report.outcomes.total() - len(left.unlisted) <= len(listed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["near", "far", "directory"])
def test_many_faults_in_a_row_are_made_good(tmp_path: Path, kind: str) -> None:
    def make_store(folder: Path) -> Store:
        return DirectoryStore(str(folder)) if kind == "directory" else FarStore() if kind == "far" else NearStore()

    source = write_inputs(tmp_path / "in")
    clean = make_store(tmp_path / "clean")
    publish(source, clean)
    injected = 0
    for seed in range(100 if EVERY else 3):
        inner = make_store(tmp_path / f"{seed}")
        randomly = random.Random(seed)
        for _ in range(100):
            plan = {call: randomly.choice([*Fault]) for call in range(1000) if randomly.random() < 0.05}
            store = FaultyStore(inner, plan)
            try:
                done = publish(source, store).exit_code == 0
            except StoreError:
                done = False
            injected += len(store.injected)
            check_consistency(inner)
            if done:
                break
        assert publish(source, inner).exit_code == 0
        assert objects(inner) == objects(clean)
    assert injected > 5


def test_a_fault_while_an_input_turns_out_to_be_bad_is_made_good(tmp_path: Path) -> None:
    """Frames are taken back, and so is the claim; what was published before stays."""
    frames = np.stack([noise(1, SHAPE), noise(2, SHAPE)])
    bad = image(1, frames, NumberOfFrames=3)
    source = write(tmp_path, "bad.dcm", bad)
    for fault in Fault:
        for moment in range(1000):
            inner = FarStore()
            store = FaultyStore(inner, {moment: fault})
            try:
                report = publish(source, store)
                assert report.exit_code == (2 if fault in (Fault.LOST, Fault.SLOW) or not store.injected else 1)
            except StoreError:
                assert fault in (Fault.REFUSED, Fault.CUT_OFF)
            assert publish(source, inner).exit_code == 2
            assert set(objects(inner)) <= {"studies"}, store.calls[moment]
            if moment >= len(store.calls):
                break
