from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillframe.build.shared_places import SharedPlaces, check_places, listed_paths, see_places
from stillframe.errors import MachineError
from stillframe.source.text_file import TextFile
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3_client import S3Settings
from tests.support.trees import contents

type Change = Callable[[SharedPlaces], SharedPlaces]


def worker(change: Change = lambda places: places) -> Callable[..., dict[str, Any]]:
    """A worker that sees other places than it was told of."""

    def ask(fn: Callable[[SharedPlaces], Any], places: SharedPlaces) -> dict[str, Any]:
        return {"tcp://worker:1": fn(change(places))}

    return ask


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "1.dcm").write_bytes(b"one")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    made = DirectoryStore(str(tmp_path / "tree"))
    made.create()
    return made


def check(ask: Callable[..., dict[str, Any]], source: Path, store: DirectoryStore | None) -> None:
    check_places(ask, (str(source),), S3Settings(), store)


def test_what_is_shared_passes_and_nothing_stays(source: Path, store: DirectoryStore) -> None:
    asked: list[SharedPlaces] = []

    def note(places: SharedPlaces) -> SharedPlaces:
        asked.append(places)
        return places

    check(worker(note), source, store)
    ((_, path, state),) = asked[0].samples
    assert (path, state.size) == (str(source / "below/1.dcm"), 3)
    assert contents(Path(store.root)) == {}


def test_where_nothing_is_written_sources_count_alone(source: Path) -> None:
    check(worker(), source, None)


def test_another_folder_as_destination_is_refused(source: Path, store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = DirectoryStore(str(tmp_path / "other"))
    with pytest.raises(MachineError, match="other is another folder than this machine's: the destination has to lie"):
        check(worker(lambda places: replace(places, store=other)), source, store)
    assert contents(Path(store.root)) == contents(tmp_path / "other") == {}


def test_a_worker_whose_writes_do_not_arrive_is_refused(source: Path, store: DirectoryStore) -> None:
    def ask(fn: Callable[[SharedPlaces], Any], places: SharedPlaces) -> dict[str, Any]:
        return {"tcp://worker:1": f"{places.token}elsewhere"}

    with pytest.raises(MachineError, match=r"worker tcp://worker:1: its .* is another folder"):
        check(ask, source, store)
    assert contents(Path(store.root)) == {}


@pytest.mark.parametrize("case", ["gone", "written to"])
def test_a_source_that_the_worker_sees_otherwise_is_refused(case: str, source: Path, store: DirectoryStore) -> None:
    def change(places: SharedPlaces) -> SharedPlaces:
        file = source / "below/1.dcm"
        if case == "gone":
            file.unlink()
        else:
            file.write_bytes(b"another")
        return places

    with pytest.raises(MachineError, match=r"it does not see .*/below/1\.dcm of the source .*/in as it is"):
        check(worker(change), source, store)
    assert contents(Path(store.root)) == {}


def test_a_store_of_sources_that_the_worker_does_not_reach_is_refused(free_port: int, store: DirectoryStore) -> None:
    settings = S3Settings(endpoint_url=f"http://127.0.0.1:{free_port}", region="us-east-1", patience=0.0)
    with pytest.raises(MachineError, match="it does not reach a source: s3://nowhere"):
        check_places(worker(), ("s3://nowhere/in",), settings, store)


def test_a_worker_sees_the_places_itself(source: Path) -> None:
    assert see_places(SharedPlaces(sources=(str(source),))) == ""


def test_paths_of_manifests_are_asked_about(source: Path, tmp_path: Path) -> None:
    """Those that are here; what is not, or lies in a store, is told of by whoever reads the manifest."""
    (tmp_path / "m.txt").write_text(f"s3://bucket/x\n{tmp_path}/gone\na\0\n{source}\n" + f"{source}/below\n" * 30)
    paths = listed_paths([TextFile(str(tmp_path / "m.txt")), TextFile("-"), TextFile(str(tmp_path / "none"))])
    assert paths == (str(source), *[f"{source}/below"] * 15)


def test_many_sources_are_asked_about_from_all_over(tmp_path: Path) -> None:
    asked: list[SharedPlaces] = []

    def note(places: SharedPlaces) -> SharedPlaces:
        asked.append(places)
        return places

    sources = [tmp_path / f"{number:03}" for number in range(160)]
    for path in sources:
        path.write_bytes(b"x")
    check_places(worker(note), tuple(map(str, sources)), S3Settings(), None)
    assert asked[0].sources == tuple(map(str, sources[::10]))
    check_places(worker(note), (), S3Settings(), None)
    assert asked[1].sources == ()
