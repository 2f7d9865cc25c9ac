"""One job in 16 shards: in any order, at once, killed and run again, they make the tree of one build."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import batched
from pathlib import Path
from typing import Any

import pytest

from stillframe.build.shard import Shard
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.command import run
from tests.support.dicom_files import ROOT, image, write
from tests.support.jobs import Job
from tests.support.studies import write_studies
from tests.support.trees import build_tree, contents, objects

SHARDS = 16
STUDIES = 24


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies and what is none, with the tree that one build makes of them, and its report."""
    folder = tmp_path_factory.mktemp("shards")
    write_studies(folder / "in", STUDIES, series=2, instances=2)
    (folder / "in" / "notes.txt").write_text("no DICOM")
    (folder / "in" / "damaged.dcm").write_bytes(bytes(128) + b"DICM and then nothing")
    (folder / "in" / "empty.zip").write_bytes(b"")
    stranger = image(7, StudyInstanceUID=f"{ROOT}.1", SeriesInstanceUID=f"{ROOT}.1.1", PatientID="another")
    write(folder / "in", "stranger.dcm", stranger)
    done = run("build", folder / "in", folder / "tree", "--report", folder / "report.json", "--workers", "0")
    assert done.returncode == 2, done.stderr
    return folder


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def shards() -> Iterator[str]:
    return (f"{number}/{SHARDS}" for number in range(1, SHARDS + 1))


def in_bucket(bucket: Bucket) -> list[str | Path]:
    return [f"s3://{bucket.name}/a", "--endpoint-url", bucket.settings.endpoint_url, "--region", "us-east-1"]


@pytest.mark.slow
def test_shards_in_a_folder_are_one_build_and_report_it_once(archive: Path, tmp_path: Path) -> None:
    reports = []
    for number, shard in enumerate(shards()):
        path = tmp_path / f"{number}.json"
        done = run("build", archive / "in", tmp_path / "tree", "--shard", shard, "--report", path, "--workers", "0")
        reports.append(report_of(path))
        assert done.returncode == (2 if reports[-1]["rejected"] else 0), done.stderr
    assert contents(tmp_path / "tree") == contents(archive / "tree")
    whole = report_of(archive / "report.json")
    for member in ("studies", "rejected", "passedOver", "duplicates", "notes"):
        assert sorted(map(str, whole[member])) == sorted(str(entry) for report in reports for entry in report[member])
    for count in ("published", "rejected", "passedOver", "studies", "series", "frames", "bytesRead"):
        assert whole["summary"][count] == sum(report["summary"][count] for report in reports)
    others = [report["shard"]["inOtherShards"]["inputs"] for report in reports]
    # What is an instance, the stranger among them, is another's in all shards but one.
    assert sum(others) == (SHARDS - 1) * (4 * STUDIES + 1)


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("at_once", [1, 4])
def test_shards_in_a_bucket_are_one_build(at_once: int, archive: Path, bucket: Bucket) -> None:
    for several in batched(shards(), at_once):
        jobs = [Job([archive / "in", *in_bucket(bucket), "--shard", shard], workers=0) for shard in several]
        assert {job.wait() for job in jobs} <= {0, 2}
        for job in jobs:
            job.told()
    assert objects(S3Store(bucket, "a")) == objects(DirectoryStore(str(archive / "tree")))


@pytest.mark.slow
@pytest.mark.s3
def test_killed_shards_that_run_again_are_one_build(archive: Path, bucket: Bucket) -> None:
    """Every third is killed, at another moment of its run each."""
    killed = 0
    for several in batched(enumerate(shards()), 4):
        jobs = {number: Job([archive / "in", *in_bucket(bucket), "--shard", shard]) for number, shard in several}
        for number, job in jobs.items():
            if number % 3 == 0:
                time.sleep(0.4 * (number + 2))
                killed += job.kill()
            else:
                assert job.wait() in (0, 2), job.told()
    assert killed
    for shard in shards():
        done = run("build", archive / "in", *in_bucket(bucket), "--shard", shard, "--workers", "0")
        assert done.returncode in (0, 2), done.stderr
    assert objects(S3Store(bucket, "a")) == objects(DirectoryStore(str(archive / "tree")))


@pytest.mark.slow
def test_a_table_spares_a_shard_the_headers_of_the_others(archive: Path, tmp_path: Path) -> None:
    """No line of another shard's study is followed, and all shards together come to one build."""
    named = [(path.name, f"{ROOT}.{int(path.name[:8], 16)}") for path in sorted((archive / "in").glob("*-*"))]
    rows = [f"{archive}/in/{name},{study}\n" for name, study in named]
    (tmp_path / "m.csv").write_text("series_aws_url,StudyInstanceUID\n" + "".join(rows))
    for number in range(1, 4):
        path = tmp_path / "r.json"
        done = run(
            "build", "--from", tmp_path / "m.csv", tmp_path / "tree", "--shard", f"{number}/3", "--report", path,
            "--workers", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        own = [study for _, study in named if Shard(number, 3).holds(study)]
        assert report_of(path)["shard"] == {
            "number": number, "of": 3, "inOtherShards": {"inputs": 0, "manifestLines": len(named) - len(own)},
        }  # fmt: skip
        assert report_of(path)["summary"]["published"] == 2 * len(own)
    build_tree(tmp_path / "same", *(archive / "in" / name for name, _ in named))
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


@pytest.mark.slow
def test_shards_of_unlisted_studies_find_the_roots_of_one_build(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of more than sixteen bytes")
    (tmp_path / "secret").chmod(0o600)
    options = ["--unlisted", "--secret-file", str(tmp_path / "secret"), "--workers", "0"]
    run("build", archive / "in", tmp_path / "one", *options, "--report", tmp_path / "one.json")
    roots: dict[str, str] = {}
    for number in range(1, 4):
        path = tmp_path / f"{number}.json"
        run("build", archive / "in", tmp_path / "tree", *options, "--shard", f"{number}/3", "--report", path)
        roots |= report_of(path)["roots"]
    assert roots == report_of(tmp_path / "one.json")["roots"]
    assert contents(tmp_path / "tree") == contents(tmp_path / "one")
    assert "shard" not in report_of(tmp_path / "one.json")


def test_nothing_is_read_from_the_environment_without_auto(tmp_path: Path) -> None:
    write_studies(tmp_path / "in", 2, 1, 1)
    array = {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "1000"}
    done = run("build", tmp_path / "in", tmp_path / "tree", "--workers", "0", **array)
    assert "2 published" in done.stdout
    done = run("build", tmp_path / "in", tmp_path / "tree", "--workers", "0", "--shard", "auto", **array)
    assert done.returncode == 0
    assert "2 published" not in done.stdout
    done = run("build", tmp_path / "in", tmp_path / "tree", "--shard", "auto")
    assert done.returncode == 1
    assert "no variable of a scheduler is there" in done.stderr


@pytest.mark.slow
def test_the_reports_of_all_shards_merge_into_that_of_one_build(archive: Path, tmp_path: Path) -> None:
    """All but how long it took."""
    (tmp_path / "reports").mkdir()
    for number in range(1, 4):
        report = tmp_path / "reports" / f"{number}.json"
        run("build", archive / "in", tmp_path / "tree", "--shard", f"{number}/3", "--report", report, "--workers", "0")
    merged = tmp_path / "merged.json"
    done = run("merge-reports", tmp_path / "reports", "--report", merged)
    assert done.returncode == 2, done.stderr
    assert f"3 reports: {4 * STUDIES} published, 3 rejected" in done.stdout
    one, all_of_it = report_of(archive / "report.json"), report_of(merged)
    assert all_of_it.pop("shards") == {"of": 3, "reports": 3}
    for report_json in (one, all_of_it):
        for measured in ("seconds", "cpuSeconds"):
            del report_json["summary"][measured]
    # No list of studies, nor others, is a shard's own alone, so bytes of lists differ.
    for report_json in (one, all_of_it):
        del report_json["summary"]["bytesWritten"]
    assert all_of_it == one
    again = run("merge-reports", tmp_path / "reports/1.json", tmp_path / "reports/3.json", "--report", merged)
    assert again.returncode == 1
    assert "no report of shard 2 of 3" in again.stderr


@pytest.mark.slow
def test_a_shard_that_is_asked_to_stop_says_so_and_goes_on_when_it_runs_again(archive: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    job = Job([archive / "in", tmp_path / "tree", "--shard", "1/2", "--report", report])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "tree").rglob("frames/*")) and job.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGTERM)
    code, told = job.wait(), report_of(report)
    if code == 1:  # else it was done before
        assert told["failure"]["reason"] == "the job was asked to stop (SIGTERM)"
        done = told["summary"]["published"]
        assert done + len(told["failure"]["notPublished"]) == 4 * told_studies(archive, "1/2")
        merged = run("merge-reports", report)
        assert merged.returncode == 1
        assert "shard 1: the job was asked to stop (SIGTERM); no report of shard 2 of 2" in merged.stderr
    job.told()
    for shard in ("1/2", "2/2"):
        assert run("build", archive / "in", tmp_path / "tree", "--shard", shard).returncode in (0, 2)
    assert contents(tmp_path / "tree") == contents(archive / "tree")


def told_studies(archive: Path, shard: str) -> int:
    number, count = map(int, shard.split("/"))
    return sum(Shard(number, count).holds(study) for study in report_of(archive / "report.json")["studies"])


@pytest.mark.slow
def test_a_shard_that_is_killed_leaves_a_report_that_says_so(archive: Path, tmp_path: Path) -> None:
    """Whatever an earlier run had written there."""
    report = tmp_path / "report.json"
    report.write_text("{}")
    job = Job([archive / "in", tmp_path / "tree", "--shard", "1/2", "--report", report])
    deadline = time.monotonic() + 120
    while report.read_text() == "{}":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if job.kill():
        assert report_of(report)["failure"]["reason"] == "the job has not ended: it is under way, or it was killed"
        assert run("merge-reports", report).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("shard", [[], ["--shard", "1/2"]])
def test_what_a_first_attempt_changed_is_in_the_report_of_the_next(
    shard: list[str], archive: Path, tmp_path: Path
) -> None:
    """For the next attempt it is unchanged, and caches hold what was before."""
    report = tmp_path / "report.json"
    key = f"studies/{ROOT}.1/series/{ROOT}.1.1/instances/{ROOT}.1.1.1/frames/1"
    told = {"version": 1, "summary": {"published": 1}, "failure": {"reason": "SIGTERM"}, "changed": [key]}
    report.write_text(json.dumps(told))
    build: list[str | Path] = ["build", archive / "in", tmp_path / "tree", "--report", report, "--workers", "0", *shard]
    assert run(*build).returncode in (0, 2)
    assert report_of(report)["changed"] == [key]
    assert "failure" not in report_of(report)
    assert run(*build).returncode in (0, 2)
    assert report_of(report)["changed"] == [], "told once"
    report.write_text(json.dumps(told)[:-4])
    done = run(*build)
    assert done.returncode in (0, 2)
    assert f"what an earlier attempt changed is not in the new report: {report} cannot be used: " in done.stderr


@pytest.mark.slow
@pytest.mark.s3
def test_reports_lie_in_a_bucket_and_are_merged_there(archive: Path, bucket: Bucket, tmp_path: Path) -> None:
    """A container has no folder that stays."""
    where = in_bucket(bucket)
    reports = f"s3://{bucket.name}/reports/run-1"
    for number in (1, 2):
        done = run("build", archive / "in", *where, "--shard", f"{number}/2", "--report", f"{reports}/{number}.json")
        assert done.returncode in (0, 2), done.stderr
    done = run("merge-reports", f"{reports}/", "--report", f"s3://{bucket.name}/reports/run-1-merged.json", *where[1:])
    assert done.returncode == 2, done.stderr
    stored = bucket.client.get_object(Bucket=bucket.name, Key="reports/run-1-merged.json")
    assert json.loads(stored["Body"].read())["summary"]["published"] == 4 * STUDIES
    assert stored["ContentType"] == "application/json"
    for wrong, message in (
        (f"s3://{bucket.name}/a/report.json", "the report would be published with the tree"),
        (f"s3://{bucket.name}/reports/", "its key has no name at the end"),
        ("s3://", "expected s3://bucket/prefix"),
    ):
        done = run("build", archive / "in", *where, "--report", wrong)
        assert done.returncode == 1
        assert message in done.stderr
