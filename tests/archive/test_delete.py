"""Deleting: the archive that is left is the one that was built without, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stillframe.archive.delete import DeletionReport, Scope
from stillframe.archive.roots import Roots
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.dicom.uids import InstanceUIDs
from stillframe.execute import SerialExecutor
from stillframe.layout import STUDIES, instance_key, is_fixed
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.archives import (
    OTHER_STUDY,
    SECRET,
    URL,
    Interrupted,
    Making,
    catching,
    names_in_lists,
    objects_of_roots,
    publish,
    remove,
    uid_of,
)
from tests.support.command import run
from tests.support.dicom_files import ROOT, SERIES, STUDY, image, instance_uid, noise, write
from tests.support.dying_store import DyingStore
from tests.support.forked import forked_process
from tests.support.halted_jobs import delete_and_die
from tests.support.memory_store import MemoryStore
from tests.support.moments import EVERY, moments
from tests.support.trees import NoProgress, contents, objects

# What is deleted, and what is built where it is not to be.
SCOPES = {
    "an instance": (Scope(STUDY, SERIES, instance_uid(2)), ["a/1.dcm", "a/3.dcm", "b", "c"]),
    "the last instance of a study": (Scope(OTHER_STUDY, f"{OTHER_STUDY}.1", f"{OTHER_STUDY}.1.1"), ["a", "b"]),
    "a series": (Scope(STUDY, SERIES), ["b", "c"]),
    "a study": (Scope(STUDY), ["c"]),
}


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize("base_url", ["", URL])
def test_what_is_left_is_what_a_build_without_it_makes(
    make_store: Making, source: Path, name: str, base_url: str
) -> None:
    scope, left = SCOPES[name]
    store, clean = make_store(), make_store()
    publish(store, source, base_url=base_url)
    before = objects(store)
    publish(clean, *(source / part for part in left), base_url=base_url)
    report = remove(store, scope)
    assert objects(store) == objects(clean)
    assert report.found
    assert report.changed
    assert set(report.changed) == {key for key in before if is_fixed(key) and f"{key}/".startswith(f"{scope.prefix}/")}
    instances = {key for key in before if key.startswith(f"{scope.prefix}/") and key.endswith("/metadata")}
    assert report.instances == len([key for key in instances if "/instances/" in key])
    assert not remove(store, scope).found
    assert objects(store) == objects(clean)


def test_the_list_of_studies_stays_without_studies(make_store: Making, source: Path) -> None:
    store = make_store()
    publish(store, source / "a")
    report = remove(store, Scope(STUDY))
    assert objects(store) == {STUDIES: b"[]"}
    assert (report.studies, report.series, report.instances) == (1, 1, 3)
    publish(store, source)
    clean = make_store()
    publish(clean, source)
    assert objects(store) == objects(clean)


def test_the_root_of_an_unlisted_study_goes_whole(make_store: Making, source: Path) -> None:
    store, clean = make_store(), make_store()
    publish(store, source, secret=SECRET, base_url=URL)
    publish(clean, source / "c", secret=SECRET, base_url=URL)
    report = remove(store, Scope(STUDY), SECRET)
    assert report.root == Roots(store, SECRET).name(STUDY)
    assert objects_of_roots(store) == objects_of_roots(clean)
    assert list(objects_of_roots(store)) == [Roots(store, SECRET).name(OTHER_STUDY)]
    assert not remove(store, Scope(STUDY), SECRET).found


def test_a_series_of_an_unlisted_study_keeps_the_urls_of_its_root(make_store: Making, source: Path) -> None:
    store, clean = make_store(), make_store()
    publish(store, source / "a", source / "b", secret=SECRET, base_url=URL)
    publish(clean, source / "b", secret=SECRET, base_url=URL)
    remove(store, Scope(STUDY, SERIES), SECRET)
    assert objects_of_roots(store) == objects_of_roots(clean)
    (record,) = json.loads(next(iter(objects_of_roots(store).values()))[STUDIES])
    assert record["00081190"]["Value"] == [f"{URL}/{Roots(store, SECRET).name(STUDY)}/studies/{STUDY}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCOPES)
def test_a_deletion_killed_at_any_of_its_writes_can_be_run_again(tmp_path: Path, source: Path, name: str) -> None:
    """Or be overtaken by a build of the same input: all of it is published and listed then."""
    scope, left = SCOPES[name]
    start, clean = (DirectoryStore(str(tmp_path / tree)) for tree in ("start", "clean"))
    inputs = [source / "a" / "1.dcm", source / "a" / "2.dcm", source / "b" / "1.dcm", source / "c"]
    publish(start, *inputs)
    publish(clean, *(path for path in inputs if any(path.is_relative_to(source / part) for part in left)))
    shutil.copytree(start.root, tmp_path / "whole")
    whole = DyingStore(str(tmp_path / "whole"), sys.maxsize)
    remove(whole, scope)
    tried = moments(whole.writes)[:: 1 if scope.instance else 2]
    assert len(tried) > 8
    for halfway in (False, True):
        for number, moment in enumerate(tried[:: 3 if halfway else 1]):
            tree, other = tmp_path / "tree", tmp_path / "other"
            shutil.copytree(start.root, tree)
            job = forked_process(delete_and_die, scope, str(tree), moment, halfway)
            job.start()
            job.join()
            assert job.exitcode == (-signal.SIGKILL if moment < len(whole.writes) else 0)
            names_in_lists(DirectoryStore(str(tree)))
            if number % 2 or EVERY:
                shutil.copytree(tree, other)
                publish(DirectoryStore(str(other)), *inputs)
                built = {path: data for path, data in contents(other).items() if not path.endswith(".part")}
                assert built == contents(Path(start.root)), f"killed at {[*whole.writes, None][moment]}, then built"
                shutil.rmtree(other)
            remove(DirectoryStore(str(tree)), scope)
            assert contents(tree) == contents(Path(clean.root)), f"killed at {[*whole.writes, None][moment]}"
            shutil.rmtree(tree)


def test_what_a_killed_build_was_about_to_write_goes_too(tmp_path: Path, source: Path) -> None:
    store = DirectoryStore(str(tmp_path / "tree"))
    publish(store, source / "a", source / "c")
    folder = tmp_path / "tree" / instance_key(InstanceUIDs(STUDY, SERIES, instance_uid(2)))
    (folder / "frames" / ".2.part").write_bytes(b"half a frame")
    (folder / "bulkdata").mkdir()
    (folder / "bulkdata" / ".00420011.part").write_bytes(b"half a document")
    remove(store, Scope(STUDY))
    clean = DirectoryStore(str(tmp_path / "clean"))
    publish(clean, source / "c")
    assert contents(tmp_path / "tree") == contents(tmp_path / "clean")
    assert not (tmp_path / "tree" / "studies" / STUDY).exists()


def leave_draft(tree: Path, uids: InstanceUIDs) -> None:
    """What a job leaves that is killed while it writes a new instance (note 33)."""
    place = tree / instance_key(uids)
    frames = place.parent / f".{place.name}.part" / "0123456789abcdef" / "frames"
    frames.mkdir(parents=True)
    (frames / "1").write_bytes(b"a frame")


NEW = InstanceUIDs(STUDY, SERIES, instance_uid(9))


@pytest.mark.parametrize("scope", [Scope(STUDY), Scope(STUDY, SERIES), Scope(STUDY, SERIES, NEW.instance)], ids=str)
@pytest.mark.parametrize("others", ["a", "c"])
def test_a_draft_that_a_killed_build_left_goes_too(tmp_path: Path, source: Path, scope: Scope, others: str) -> None:
    """Whether there are other instances of its series, or nothing else of its study."""
    store, clean = DirectoryStore(str(tmp_path / "tree")), DirectoryStore(str(tmp_path / "clean"))
    publish(store, source / others)
    leave_draft(tmp_path / "tree", NEW)
    publish(clean, source / others)
    if others == "a" and not scope.instance:
        remove(clean, scope)
    report = remove(store, scope)
    assert report.found
    assert report.instances == 1 + (3 if others == "a" and not scope.instance else 0)
    assert contents(tmp_path / "tree") == contents(tmp_path / "clean")


def test_the_deletion_waits_for_who_makes_a_draft(tmp_path: Path, source: Path) -> None:
    store = DirectoryStore(str(tmp_path / "tree"))
    publish(store, source / "c")
    before = contents(tmp_path / "tree")
    draft = store.draft(instance_key(NEW))
    assert draft is not None
    draft.put(f"{instance_key(NEW)}/frames/1", b"a frame")
    reports: list[DeletionReport] = []
    other = threading.Thread(target=lambda: reports.append(remove(store, Scope(STUDY))))
    other.start()
    other.join(0.3)
    assert other.is_alive()
    draft.close()
    other.join(60)
    assert reports[0].found
    assert contents(tmp_path / "tree") == before


def test_deleting_what_is_not_there_writes_nothing(make_store: Making, source: Path) -> None:
    store = make_store()
    assert not remove(store, Scope(STUDY)).found
    assert objects(store) == {}
    publish(store, source)
    before = objects(store)
    for scope in (Scope(f"{ROOT}.77"), Scope(STUDY, f"{ROOT}.77"), Scope(STUDY, SERIES, f"{ROOT}.77"),
                  Scope(OTHER_STUDY, SERIES), Scope(STUDY[:-1])):  # fmt: skip
        assert not remove(store, scope).found
    assert objects(store) == before


def test_a_stale_entry_of_the_list_of_studies_can_be_deleted(make_store: Making, source: Path) -> None:
    store, clean = make_store(), make_store()
    publish(store, source)
    publish(clean, source / "c")
    store.delete_many([key for key, _ in store.list(f"studies/{STUDY}")])
    assert remove(store, Scope(STUDY)).found
    assert objects(store) == objects(clean)


def test_builds_and_deletions_side_by_side_lose_nothing(make_store: Making, source: Path) -> None:
    """One job deletes a series while others publish other instances of it, another series, another study."""
    expected = make_store()
    publish(expected, source / "a" / "3.dcm", source / "b", source / "c")
    for _ in range(4 if isinstance(make_store(), MemoryStore) else 2):
        store = make_store()
        publish(store, source / "a" / "1.dcm", source / "a" / "2.dcm", source / "b" / "1.dcm")
        failures: list[BaseException] = []
        jobs = [
            threading.Thread(target=catching, args=(failures, remove, store, Scope(STUDY, SERIES, instance_uid(1)))),
            threading.Thread(target=catching, args=(failures, remove, store, Scope(STUDY, SERIES, instance_uid(2)))),
            threading.Thread(target=catching, args=(failures, publish, store, source / "a" / "3.dcm")),
            threading.Thread(target=catching, args=(failures, publish, store, source / "b", source / "c")),
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        assert failures == []
        assert objects(store) == objects(expected)


def test_a_build_and_a_deletion_of_the_same_instances_do_not_mix(make_store: Making, source: Path) -> None:
    """Each instance is there whole and listed, or gone and in no list."""
    for _ in range(4 if isinstance(make_store(), MemoryStore) else 2):
        store = make_store()
        publish(store, source / "a" / "1.dcm", source / "c")
        failures: list[BaseException] = []
        jobs = [
            threading.Thread(target=catching, args=(failures, remove, store, Scope(STUDY))),
            threading.Thread(target=catching, args=(failures, publish, store, source / "a", source / "b")),
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        assert failures == []
        numbers = [key.split("/")[5] for key, _ in store.list(f"studies/{STUDY}") if key.endswith("/metadata")
                   and "/instances/" in key]  # fmt: skip
        left = [path for path in [*(source / "a").iterdir(), *(source / "b").iterdir()] if uid_of(path) in numbers]
        clean = make_store()
        publish(clean, *left, source / "c")
        assert objects(store) == objects(clean)


def test_a_job_that_lists_late_does_not_list_what_was_deleted(source: Path) -> None:
    """Its instance is published, then deleted by another job, before its own lists are written."""
    store = Interrupted("/frame-index", lambda store: remove(store, Scope(STUDY, SERIES, instance_uid(1))))
    publish(store, source / "a")
    assert store.acted
    clean = MemoryStore()
    publish(clean, source / "a" / "2.dcm", source / "a" / "3.dcm")
    assert objects(store) == objects(clean)


LATE = (
    "/frame-index", f"{SERIES}/metadata", f"{SERIES}/thumbnail", f"{SERIES}/instances", f"{STUDY}/metadata",
    f"{STUDY}/thumbnail", f"{STUDY}/series", f"{STUDY}/instances", STUDIES,
)  # fmt: skip


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("scope", [Scope(STUDY, SERIES, instance_uid(1)), Scope(STUDY)])
def test_a_deletion_within_any_write_of_a_list_leaves_no_trace(source: Path, late: str, scope: Scope) -> None:
    """The deletion finds nothing to change in a list that is about to be written: who writes it looks once more."""
    store = Interrupted(late, lambda store: remove(store, scope))
    publish(store, source / "a", source / "c")
    assert store.acted
    clean = MemoryStore()
    publish(clean, *((source / "a" / name for name in ("2.dcm", "3.dcm")) if scope.instance else ()), source / "c")
    names_in_lists(store)
    made, expected = objects(store), objects(clean)
    # The job may leave documents of a study that is no more; they say nothing.
    empty = {key: made.pop(key) for key in set(made) - set(expected)}
    assert made == expected
    assert all(data == b"[]" or key.endswith("/frame-index") for key, data in empty.items())
    assert not (empty and scope.instance)


def test_the_deletion_waits_for_who_is_building(source: Path) -> None:
    store, clean = MemoryStore(parallel=4), MemoryStore()
    publish(store, source / "c")
    publish(clean, source / "c")
    building, go_on = threading.Event(), threading.Event()

    def wait(_: Store) -> None:
        building.set()
        assert go_on.wait(60)

    slow = Interrupted("/reduced/2/frames/1", wait, store)
    job = threading.Thread(target=publish, args=(slow, source / "a" / "1.dcm"))
    job.start()
    assert building.wait(60)
    reports: list[DeletionReport] = []
    other = threading.Thread(target=lambda: reports.append(remove(store, Scope(STUDY))))
    other.start()
    other.join(0.3)
    assert other.is_alive()
    go_on.set()
    job.join()
    other.join()
    assert (reports[0].found, reports[0].instances) == (True, 1)
    assert not [key for key, _ in store.list(f"studies/{STUDY}") if "/instances/" in key]
    assert objects(store)[STUDIES] == objects(clean)[STUDIES]


def test_what_was_taken_back_is_rebuilt_by_the_next_build(tmp_path: Path, source: Path) -> None:
    from stillframe.archive.claims import retract, settled_state

    store = DirectoryStore(str(tmp_path / "tree"))
    publish(store, source)
    before = objects(store)
    uids = InstanceUIDs(STUDY, SERIES, instance_uid(1))
    retract(store, uids, settled_state(store, uids))
    assert publish(store, source).outcomes == {Outcome.UNCHANGED: 5, Outcome.REBUILT: 1}
    assert objects(store) == before


def test_replacing_tells_the_fixed_keys_that_changed_and_no_others(
    make_store: Making, tmp_path: Path, source: Path
) -> None:
    store = make_store()
    publish(store, source)
    newcomer = write(tmp_path, "new.dcm", image(1, noise(77)))
    request = BuildRequest(sources=(str(newcomer),), options=BuildOptions(reduced=(1,)), replace=True)
    before = set(objects(store))
    report = build(request, store, SerialExecutor(), NoProgress())
    assert report.outcomes == {Outcome.REPLACED: 1}
    prefix = instance_key(InstanceUIDs(STUDY, SERIES, instance_uid(1)))
    assert sorted(report.changed) == sorted(key for key in before if key.startswith(f"{prefix}/") and is_fixed(key))
    assert f"{prefix}/reduced/2/frames/1" in report.changed  # removed
    assert f"{prefix}/reduced/1/frames/1" not in report.changed  # new
    assert publish(store, source / "b").changed == []


@pytest.mark.slow
def test_the_command_deletes_and_tells(tmp_path: Path, source: Path) -> None:
    tree = tmp_path / "tree"
    assert run("build", source, tree).returncode == 0
    done = run("delete", tree, "--study", STUDY, "--series", SERIES, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"{tree}: 1 series, 3 instances deleted"
    assert second.startswith("10 objects, 0.")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["summary"] | {"seconds": 0} == {
        "studies": 0, "series": 1, "instances": 3, "kept": 0, "objects": 10, "bytes": report["summary"]["bytes"],
        "seconds": 0,
    }  # fmt: skip
    assert len(report["changed"]) == 6
    run("build", source / "b", source / "c", tmp_path / "clean")
    assert contents(tree) == contents(tmp_path / "clean")
    again = run("delete", tree, "--study", STUDY, "--series", SERIES)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1] == f"stillframe: no series {SERIES} of study {STUDY} in {tree}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--study", "../.."), "Study Instance UID is not a UID"),
        (("--study", STUDY, "--series", "x"), "Series Instance UID is not a UID"),
        (("--study", STUDY, "--instance", "1.2"), "--instance needs --series"),
        (("--study", STUDY, "--base-url", "ftp://x"), "must begin with http"),
        (("--study", STUDY, "--invalidate", "x y"), "not the ID of a CloudFront distribution"),
        (("--study", STUDY, "--unlisted"), "must hold a secret"),
        (("--study", STUDY), "no such folder"),
        ((), "Missing option '--study'"),
    ],
)
def test_what_cannot_be_deleted_is_said_and_nothing_made(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run("delete", tmp_path / "none", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()


def test_the_command_deletes_from_a_bucket(bucket: Bucket, source: Path, tmp_path: Path) -> None:
    place = f"s3://{bucket.name}/archive"
    endpoint = ("--endpoint-url", str(bucket.settings.endpoint_url), "--region", "us-east-1")
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    options = (*endpoint, "--unlisted", "--secret-file", secret, "--report", tmp_path / "report.json")
    assert run("build", source, place, *options).returncode == 0
    done = run("delete", place, "--study", STUDY, *options)
    assert done.returncode == 0, done.stderr
    assert run("delete", place, "--study", STUDY, *options).returncode == 1
    assert list(objects_of_roots(S3Store(bucket, "archive"))) == [Roots(MemoryStore(), SECRET).name(OTHER_STUDY)]


@pytest.mark.slow
def test_a_deletion_that_is_stopped_says_how_to_go_on(tmp_path: Path, source: Path) -> None:
    """It waits for a process that lives and holds the claim."""
    tree = tmp_path / "tree"
    store = DirectoryStore(str(tree))
    publish(store, source / "c")
    from stillframe.archive.claims import Lease, settled_state

    uids = InstanceUIDs(STUDY, SERIES, instance_uid(1))
    with Lease(store, uids, settled_state(store, uids)):
        command = [sys.executable, "-m", "stillframe", "delete", str(tree), "--study", STUDY]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as job:
            assert job.stderr is not None
            assert job.stderr.readline() == "withdrawing: 1\n"
            os.kill(job.pid, signal.SIGINT)
            told = job.stderr.read()
        assert job.returncode == 1
        assert told.lstrip() == "stillframe: stopped; run it again to go on from here\n"
