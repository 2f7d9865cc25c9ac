"""How a report is written: for its owner alone, whole or not at all, wherever its path leads."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from stillframe.cli.report_file import RemoteReport, check_report, write_report
from stillframe.errors import UsageError
from stillframe.store.s3_client import S3Settings

REPORT = {"version": 1, "rejected": [{"path": "in/\u202ea.dcm"}]}


@pytest.mark.parametrize("before", [None, 0o644, 0o600, 0o400])
def test_its_owner_alone_may_read_it(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "report.json"
    if before is not None:
        path.write_text("an old one")
        path.chmod(before)
    mask = os.umask(0)
    try:
        write_report(dict(REPORT), path)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes()) == REPORT
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_a_link_stays_and_leads_to_the_new_report(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "report.json").symlink_to("there/report.json")
    write_report(dict(REPORT), tmp_path / "report.json")
    assert (tmp_path / "report.json").is_symlink()
    assert json.loads((tmp_path / "there/report.json").read_bytes()) == REPORT


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_report(dict(REPORT), tmp_path / "pipe")
    reader.join(30)
    assert json.loads(read[0]) == REPORT


def test_a_full_disk_is_told_and_leaves_the_old_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no room is left on a disk of this machine"):
        write_report(dict(REPORT), Path("/dev/full"))
    (tmp_path / "gone").mkdir()
    with pytest.raises(UsageError, match="the report cannot be written"):
        write_report(dict(REPORT), tmp_path / "gone")
    assert not [*(tmp_path / "gone").iterdir()]


def test_where_it_may_not_be_is_told_before_a_job(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for path, reason in (
        ("missing/report.json", "there is no folder .*/missing: make it first"),
        ("tree/report.json", "would be published with the tree"),
        ("tree", "that is a folder"),
    ):
        with pytest.raises(UsageError, match=reason):
            check_report(tmp_path / path, str(tmp_path / "tree"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o500)
    with pytest.raises(UsageError, match="no permission to write there"):
        check_report(tmp_path / "closed/report.json", "")


def test_where_there_is_no_tree_a_report_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_report(Path("report.json"), "")


def test_a_bucket_that_does_not_answer_is_told() -> None:
    nowhere = S3Settings(endpoint_url="http://127.0.0.1:9", region="us-east-1", patience=0.5)
    with pytest.raises(UsageError, match=r"cannot be written to s3://reports/1\.json: s3://reports/1\.json: "):
        write_report(dict(REPORT), RemoteReport("s3://reports/1.json"), nowhere)
