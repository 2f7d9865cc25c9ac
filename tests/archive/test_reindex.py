"""Every list made anew from what is stored: the archive is the one that its build made."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from stillframe.archive.claims import Lease, retract, settled_state
from stillframe.archive.reindex import IndexReport, index_archive
from stillframe.archive.roots import Roots
from stillframe.build.results import Outcome
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import UsageError
from stillframe.layout import STUDIES, frame_index_key, instance_key, instances_key, metadata_key, parse_key
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
)
from tests.support.command import run
from tests.support.dicom_files import SERIES, STUDY, instance_uid
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, contents, objects

UIDS = InstanceUIDs(STUDY, SERIES, instance_uid(2))


def index(store: Store, base_url: str = "") -> IndexReport:
    return index_archive(store, base_url, NoProgress())


def lists(store: Store) -> list[str]:
    """The keys of all that can be made anew, deepest first."""
    found = [key for key, _ in store.list("") if not parse_key(key).instance]
    return sorted(found, key=lambda key: (-key.count("/"), key))


def test_lists_with_values_that_clients_cannot_read_are_made_anew(make_store: Making, source: Path) -> None:
    store = make_store()
    publish(store, source)
    before = objects(store)
    for key in (STUDIES, instances_key(STUDY)):
        spoilt = [item | {"00100010": {"vr": "PN", "Value": [None]}} for item in json.loads(before[key])]
        store.put(key, json.dumps(spoilt).encode())
    index(store)
    assert objects(store) == before


@pytest.mark.parametrize("base_url", ["", URL])
def test_an_archive_without_its_lists_gets_them_back(make_store: Making, source: Path, base_url: str) -> None:
    """Also where a key that is a prefix of others cannot be created under a condition any more."""
    store = make_store()
    publish(store, source, base_url=base_url)
    before = objects(store)
    store.delete_many(lists(store))
    assert set(objects(store)) == {key for key in before if parse_key(key).instance}
    report = index(store, base_url)
    assert objects(store) == before
    assert (report.studies, report.series, report.instances, report.left) == (2, 3, 6, {})
    assert publish(store, source, base_url=base_url).outcomes == {Outcome.UNCHANGED: 6}


def test_an_archive_that_is_right_is_not_written(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    before = dict(store.objects)
    index(store)
    assert store.objects == before


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"{}", b"[{}]", b"null", b'{"groups":[{}]}', b"[[]]"])
def test_damaged_lists_are_made_anew(tmp_path: Path, source: Path, content: bytes) -> None:
    store = DirectoryStore(str(tmp_path / "tree"))
    publish(store, source)
    before = objects(store)
    for key in lists(store):
        store.put(key, content)
        index(store)
        assert objects(store) == before, key
    for key in lists(store):
        store.put(key, content)
    index(store)
    assert objects(store) == before


@pytest.mark.parametrize("what", ["instance", "series", "study"])
def test_what_is_not_there_any_more_is_not_listed(make_store: Making, source: Path, what: str) -> None:
    store, clean = make_store(), make_store()
    publish(store, source)
    prefix = {
        "instance": instance_key(UIDS),
        "series": f"{instances_key(STUDY, SERIES)}/",
        "study": f"studies/{STUDY}/",
    }[what]
    kept = {instances_key(STUDY, SERIES)}
    store.delete_many([key for key, _ in store.list(prefix) if key not in kept])
    inputs = {"instance": ["a/1.dcm", "a/3.dcm", "b", "c"], "series": ["b", "c"], "study": ["c"]}[what]
    publish(clean, *(source / name for name in inputs))
    report = index(store)
    assert objects(store) == objects(clean)
    assert report.left == {}


def test_only_what_is_whole_is_listed(make_store: Making, source: Path) -> None:
    """The rest stays as it is, and a build takes it from there."""
    store = make_store()
    publish(store, source)
    before = objects(store)
    numbers = {number: InstanceUIDs(STUDY, SERIES, instance_uid(number)) for number in (1, 2, 3)}
    store.delete(f"{instance_key(numbers[1])}/reduced/2/frames/1")
    retract(store, numbers[2], settled_state(store, numbers[2]))
    lost = next(key for key in before if key.startswith(f"studies/{OTHER_STUDY}/") and key.endswith("/metadata")
                and parse_key(key).instance)  # fmt: skip
    store.delete(lost)
    with Lease(store, numbers[3], settled_state(store, numbers[3])) as lease:
        report = index(store)
        reasons = {parse_key(key).instance: reason for key, reason in report.left.items()}
        assert reasons[instance_uid(1)].startswith("1 objects of")
        assert "its metadata promise 2 objects" in reasons[instance_uid(1)]
        assert "given up" in reasons[instance_uid(2)]
        assert "being written" in reasons[instance_uid(3)]
        assert "metadata are missing" in reasons[f"{OTHER_STUDY}.1.1"]
        assert (report.studies, report.series, report.instances) == (1, 1, 2)
        assert len(names_in_lists(store)) == 2
        assert set(report.left) == {*(instance_key(uids) for uids in numbers.values()), lost[:-9]}
        lease.give_up()
    publish(store, source)
    assert objects(store) == before


def test_an_instance_that_was_only_drafted_is_told(tmp_path: Path, source: Path) -> None:
    """A job made it ready where no key leads to."""
    store = DirectoryStore(str(tmp_path))
    publish(store, source)
    new = InstanceUIDs(STUDY, SERIES, instance_uid(9))
    draft = store.draft(instance_key(new))
    assert draft is not None
    assert index(store).left == {instance_key(new): "it is being written, or was when a job ended"}
    draft.close()
    assert index(store).left == {}


def test_a_damaged_metadata_document_or_frame_is_told(source: Path) -> None:
    store = MemoryStore()
    publish(store, source)
    store.put(metadata_key(STUDY, SERIES, instance_uid(1)), b"[{")
    frame = store.objects[f"{instance_key(UIDS)}/frames/1"].data
    store.put(f"{instance_key(UIDS)}/frames/1", bytes(len(frame)))
    store.delete(frame_index_key(STUDY, SERIES))
    reasons = {parse_key(key).instance: reason for key, reason in index(store).left.items()}
    assert reasons[instance_uid(1)] == "its metadata are damaged"
    assert reasons[instance_uid(2)].startswith("its frames are damaged: ")
    assert len(names_in_lists(store)) == 4


@pytest.mark.parametrize("change", ["offset", "levels", "stranger", "size"])
def test_rows_that_do_not_fit_their_frames_are_read_anew(source: Path, change: str) -> None:
    store = MemoryStore()
    publish(store, source)
    key = frame_index_key(STUDY, SERIES)
    before = store.objects[key].data
    document = json.loads(before)
    (group,) = document["groups"]
    if change == "offset":
        group["instances"][instance_uid(1)][0][-1] += 1
    elif change == "levels":
        group["levels"][-1]["width"] += 1
    elif change == "size":
        group["instances"][instance_uid(1)] *= 2
        group["crc32"][instance_uid(1)] *= 2
    else:
        group["instances"]["1.2.3"] = group["instances"][instance_uid(1)]
        group["crc32"]["1.2.3"] = group["crc32"][instance_uid(1)]
    store.put(key, json.dumps(document).encode())
    index(store)
    assert store.objects[key].data == before


def test_every_root_of_unlisted_studies_is_indexed(make_store: Making, source: Path) -> None:
    store = make_store()
    publish(store, source, secret=SECRET, base_url=URL)
    before = objects_of_roots(store)
    for name in before:
        root = store.below(name)
        root.delete_many(lists(root))
    store.below("a-strangers-folder").put(f"{instance_key(UIDS)}/frames/1", b"\xff\x4f")
    report = index(store, URL)
    assert (report.roots, report.studies) == (2, 2)
    made = objects_of_roots(store)
    assert made.pop("a-strangers-folder")
    assert made == before
    assert Roots(store, SECRET).name(STUDY) in made


def test_nothing_is_no_archive(make_store: Making, tmp_path: Path) -> None:
    store = make_store()
    with pytest.raises(UsageError, match="no archive"):
        index(store)
    assert objects(store) == {}


@pytest.mark.slow
def test_an_index_beside_builds_drops_nothing(make_store: Making, source: Path) -> None:
    clean = make_store()
    publish(clean, source)
    for _ in range(3):
        store = make_store()
        publish(store, source / "a" / "1.dcm")
        failures: list[BaseException] = []
        ended = threading.Event()

        def index_again(store: Store = store, ended: threading.Event = ended) -> None:
            while not ended.is_set():
                index(store)

        beside = threading.Thread(target=catching, args=(failures, index_again))
        beside.start()
        jobs = [
            threading.Thread(target=catching, args=(failures, publish, store, *inputs))
            for inputs in ((source / "a", source / "c"), (source / "b",))
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        ended.set()
        beside.join()
        assert failures == []
        assert objects(store) == objects(clean)


LATE = ("/frame-index", f"{SERIES}/metadata", f"{SERIES}/thumbnail", f"{SERIES}/instances", f"{STUDY}/metadata",
        f"{STUDY}/thumbnail", f"{STUDY}/series", f"{STUDY}/instances", STUDIES)  # fmt: skip


@pytest.mark.parametrize("late", LATE)
def test_a_build_within_any_write_of_the_index_is_listed(source: Path, late: str) -> None:
    clean = MemoryStore()
    publish(clean, source)
    store = Interrupted(late, lambda store: publish(store, source))
    store.acted = True
    publish(store, source / "a" / "1.dcm")
    store.delete_many(lists(store))
    store.acted = False
    index(store)
    assert store.acted
    assert objects(store) == objects(clean)


@pytest.mark.parametrize("late", ["/frames/1", "/reduced/2/frames/1", f"{instance_uid(2)}/thumbnail", *LATE])
def test_an_index_within_any_write_of_a_build_drops_nothing(source: Path, late: str) -> None:
    clean = MemoryStore()
    publish(clean, source)
    store = Interrupted(late, index)
    store.acted = True
    publish(store, source / "c")
    store.acted = False
    publish(store, source)
    assert store.acted
    assert objects(store) == objects(clean)


@pytest.mark.slow
def test_the_command_indexes_and_tells(tmp_path: Path, source: Path) -> None:
    tree = tmp_path / "tree"
    run("build", source, tree)
    before = contents(tree)
    for path in before:
        if "/instances/1" not in path.replace("index.json", ""):
            (tree / path).unlink()
    (tree / f"{instance_key(UIDS)}/reduced/2/frames/1").unlink()
    done = run("index", tree, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{tree}: 2 studies, 3 series, 5 instances listed, 1 not listed"
    assert f"not listed {instance_key(UIDS)}: 1 objects of" in done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["summary"] | {"seconds": 0} == {
        "studies": 2, "series": 3, "instances": 5, "roots": 0, "notListed": 1, "seconds": 0
    }  # fmt: skip
    assert [item["key"] for item in report["notListed"]] == [instance_key(UIDS)]
    assert run("build", source, tree).returncode == 0
    assert contents(tree) == before


@pytest.mark.slow
def test_the_command_makes_no_archive_where_there_is_none(tmp_path: Path) -> None:
    done = run("index", tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr == f"stillframe: there is no archive at {tmp_path / 'none'}: no such folder\n"
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: no archive" in run("index", tmp_path / "empty").stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_command_indexes_a_bucket(bucket: Bucket, source: Path) -> None:
    store = S3Store(bucket, "archive")
    publish(store, source)
    before = objects(store)
    store.delete_many(lists(store))
    done = run("index", str(store), "--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1")
    assert done.returncode == 0, done.stderr
    assert objects(store) == before
