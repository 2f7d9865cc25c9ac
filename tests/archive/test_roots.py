from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from pathlib import Path

import pytest

from stillframe.archive.roots import Roots, root_token
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from tests.support.dicom_files import image, write
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, build_tree, contents

SECRET = b"a secret of the tests, 32 bytes."
STUDIES = ("1.2.3", "1.2.34", "1.9")


def write_studies(folder: Path) -> Path:
    for number, study in enumerate(STUDIES, 1):
        write(folder, f"{number}.dcm", image(number, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1"))
    return folder


def build_unlisted(store: MemoryStore, source: Path, secret: bytes = SECRET) -> Report:
    request = BuildRequest(sources=(str(source),), options=BuildOptions(), secret=secret)
    return build(request, store, SerialExecutor(), NoProgress())


def test_a_token_is_what_the_format_says() -> None:
    """Computed with the standard library alone."""
    digest = hmac.new(SECRET, b"1.2.3", hashlib.sha256).digest()
    assert root_token(SECRET, "1.2.3") == base64.b32encode(digest)[:32].decode().lower()
    assert len({root_token(SECRET, study) for study in STUDIES} | {root_token(b"other" * 8, "1.2.3")}) == 4


def test_every_study_is_a_service_of_its_own(tmp_path: Path) -> None:
    store = MemoryStore()
    source = write_studies(tmp_path / "in")
    report = build_unlisted(store, source)
    assert report.roots == {study: root_token(SECRET, study) for study in STUDIES}
    assert {key.partition("/")[0] for key in store.objects} == set(report.roots.values())
    for number, study in enumerate(STUDIES, 1):
        build_tree(tmp_path / study, source / f"{number}.dcm")
        alone = {path.replace("/index.json", ""): data for path, data in contents(tmp_path / study).items()}
        inner = store.below(report.roots[study])
        assert {key: inner.get(key).data for key, _ in inner.list("")} == alone  # type: ignore[union-attr]  # it is listed
        assert not [other for other in STUDIES if other != study and f'"{other}"'.encode() in b"".join(alone.values())]


def test_a_rerun_finds_the_roots_again(tmp_path: Path) -> None:
    store = MemoryStore()
    source = write_studies(tmp_path / "in")
    build_unlisted(store, source)
    before = dict(store.objects)
    report = build_unlisted(store, source)
    assert set(report.outcomes) == {Outcome.UNCHANGED}
    assert store.objects == before
    assert len(report.roots) == 3
    build_unlisted(store, source, b"another secret of the tests, too")
    assert len({key.partition("/")[0] for key in store.objects}) == 6


def test_without_a_secret_all_share_one_root(tmp_path: Path) -> None:
    store = MemoryStore()
    assert Roots(store).of("1.2.3") is store
    report = build_unlisted(store, write_studies(tmp_path / "in"), b"")
    assert report.roots == {}
    assert "studies" in store.objects


@pytest.mark.slow
def test_the_command_line_names_roots_in_the_report_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 40 + "\n")
    write_studies(tmp_path / "in")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stillframe", "build", str(tmp_path / "in"), str(tmp_path / "out"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    unlisted = ("--unlisted", "--secret-file", str(tmp_path / "secret"))
    refused = run(*unlisted)
    assert (refused.returncode, (tmp_path / "out").exists()) == (1, False)
    assert "needs --report" in refused.stderr
    done = run(*unlisted, "--report", str(tmp_path / "report.json"))
    assert done.returncode == 0
    roots = json.loads((tmp_path / "report.json").read_text())["roots"]
    assert roots == {study: root_token(b"x" * 40, study) for study in STUDIES}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(roots.values())
    assert not [token for token in roots.values() if token in done.stdout + done.stderr]
    build_tree(tmp_path / "listed", tmp_path / "in")
    again = subprocess.run(
        [
            sys.executable, "-m", "stillframe", "build", str(tmp_path / "in"), str(tmp_path / "listed"), *unlisted,
            "--report", str(tmp_path / "report.json"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert "listed or unlisted as a whole" in again.stderr
    forgotten = run()
    assert forgotten.returncode == 1
    assert "holds unlisted studies" in forgotten.stderr
    assert not (tmp_path / "out" / "studies").exists()
