"""Builds from manifests: whatever names the sources, the tree is that of a build of the folder."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.command import run
from tests.support.dicom_files import ROOT, image, write, write_series
from tests.support.faulty_proxy import FaultyProxy
from tests.support.studies import write_studies
from tests.support.trees import build_tree, contents, objects


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def test_a_manifest_of_paths_is_a_build_of_them(tmp_path: Path) -> None:
    names = write_studies(tmp_path / "in")
    (tmp_path / "m.txt").write_text("".join(f"{tmp_path}/in/{name}\n" for name, _ in names))
    done = run("build", "--from", tmp_path / "m.txt", tmp_path / "tree", "--workers", "0")
    assert done.returncode == 0, done.stderr
    build_tree(tmp_path / "same", tmp_path / "in")
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


def test_sources_and_manifests_go_together_and_paths_are_of_the_working_folder(tmp_path: Path) -> None:
    names = write_studies(tmp_path / "in")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1.txt").write_text(f"in/{names[1][0]}\n")
    lines = "".join(f"in/{name}\n" for name, _ in names[2:])
    done = subprocess.run(
        [sys.executable, "-m", "stillframe", "build", f"in/{names[0][0]}", "--from", "m/1.txt", "--from", "-", "tree",
         "--settle", "0", "--workers", "0"],
        cwd=tmp_path, input=lines, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    build_tree(tmp_path / "same", tmp_path / "in")
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


def test_a_line_that_names_nothing_is_rejected_and_the_rest_is_published(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    manifest = tmp_path / "m.txt"
    manifest.write_text(f"{tmp_path}/in\n{tmp_path}/gone\ngs://bucket/x\n{tmp_path}/tree/studies\nrm s3://b/x\n")
    report = tmp_path / "r.json"
    done = run("build", "--from", manifest, tmp_path / "tree", "--report", report, "--workers", "0")
    assert done.returncode == 2
    assert report_of(report)["summary"]["published"] == 2
    rejected = {entry["path"]: entry["reason"] for entry in report_of(report)["rejected"]}
    assert sorted(rejected) == [f"{manifest}, line {number}" for number in (2, 3, 4, 5)]
    assert rejected[f"{manifest}, line 2"] == f"no such file or folder: {tmp_path}/gone"
    assert "only files, folders and s3://bucket/prefix" in rejected[f"{manifest}, line 3"]
    assert "source and destination overlap" in rejected[f"{manifest}, line 4"]
    assert rejected[f"{manifest}, line 5"].startswith("no such file or folder")


def test_an_input_of_another_study_than_the_table_gives_is_rejected(tmp_path: Path) -> None:
    names = write_studies(tmp_path / "in")
    rows = [(f"{tmp_path}/in/{name}", study) for name, study in names]
    rows[0] = (rows[0][0], f"{ROOT}.77")
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("series_aws_url", "StudyInstanceUID"), *rows])
    report = tmp_path / "r.json"
    done = run("build", "--from", tmp_path / "m.csv", tmp_path / "tree", "--report", report, "--workers", "0")
    assert done.returncode == 2
    told = report_of(report)
    assert told["summary"]["published"] == 10
    assert {(entry["study"], entry["reason"]) for entry in told["rejected"]} == {
        (f"{ROOT}.1", f"its Study Instance UID is not the one that the manifest gives: {ROOT}.77")
    }


@pytest.mark.parametrize("shard", [[], ["--shard", "1/1"]])
def test_lines_that_no_file_answers_to_are_rejected_each(shard: list[str], tmp_path: Path) -> None:
    """And the rest is done."""
    write_series(tmp_path / "in", 2)
    (tmp_path / "circle").symlink_to("circle")
    names = [
        b"a\0b",
        str(tmp_path / "circle").encode(),
        b"/x" * 2500,
        b"\xff\xfe/",
        b"circle/x",
        b"/dev/null",
        b"s3://\0",
    ]
    manifest = tmp_path / "m.txt"
    manifest.write_bytes(b"\n".join([*names, str(tmp_path / "in").encode()]))
    report = tmp_path / "r.json"
    done = run("build", "--from", manifest, tmp_path / "tree", "--report", report, "--workers", "0", *shard)
    assert done.returncode == 2, done.stderr
    assert report_of(report)["summary"]["published"] == 2
    reasons = {entry["path"]: entry["reason"] for entry in report_of(report)["rejected"]}
    assert sorted(reasons) == [f"{manifest}, line {number}" for number in range(1, len(names) + 1)]
    assert "its links lead in a circle" in reasons[f"{manifest}, line 2"]
    assert "File name too long" in reasons[f"{manifest}, line 3"]
    assert max(map(len, done.stderr.splitlines())) < 1000


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_a_manifest_in_another_encoding_is_told(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text(f"{tmp_path}\n{tmp_path}/x\n", encoding=encoding)
    done = run("build", "--from", tmp_path / "m.txt", tmp_path / "tree", "--workers", "0")
    assert done.returncode == 2
    assert "line 1: it holds a NUL character, which no name does; a manifest is a text in UTF-8" in done.stderr


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("wrong_first", [True, False])
def test_each_line_of_a_path_is_judged_by_its_own_study(shards: int, wrong_first: bool, tmp_path: Path) -> None:
    """A whole and a split build publish the same: a path under a wrong study takes nothing from the right one."""
    file = write(tmp_path, "a.dcm", image(1, StudyInstanceUID=f"{ROOT}.1"))
    (tmp_path / "b").mkdir()
    write(tmp_path / "b", "b.dcm", image(2, StudyInstanceUID=f"{ROOT}.2"))
    rows = [(file, 1), (tmp_path / "b", 2), (file, 2), (tmp_path / "b", 1)]
    rows = rows[::-1] if wrong_first else rows
    lines = ["series_aws_url,StudyInstanceUID", *(f"{path},{ROOT}.{study}" for path, study in rows)]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    published, rejected = 0, []
    for number in range(1, shards + 1):
        report = tmp_path / f"{number}.json"
        done = run(
            "build", "--from", tmp_path / "m.csv", tmp_path / "tree", "--report", report, "--workers", "0",
            *(["--shard", f"{number}/{shards}"] if shards > 1 else []),
        )  # fmt: skip
        assert done.returncode == (2 if report_of(report)["rejected"] else 0), done.stderr
        published += report_of(report)["summary"]["published"]
        rejected += [entry["path"] for entry in report_of(report)["rejected"]]
    assert published == 2
    assert sorted(rejected) == [f"{file}", f"{tmp_path}/b/b.dcm"]


@pytest.mark.parametrize(
    ("manifests", "message"),
    [
        (["nowhere.txt"], "no such manifest: nowhere.txt"),
        (["/"], "no such manifest: /"),
        (["-", "-"], "standard input is one manifest: it cannot be read twice"),
        (["https://x.example/m.csv"], "only files, folders and s3://bucket/prefix"),
    ],
)
def test_a_manifest_that_is_not_there_is_refused(manifests: list[str], message: str, tmp_path: Path) -> None:
    options = [word for manifest in manifests for word in ("--from", manifest)]
    done = run("build", *options, tmp_path / "tree")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "tree").exists()


def test_a_closed_standard_input_is_told(tmp_path: Path) -> None:
    command = f"exec '{sys.executable}' -m stillframe build --from - '{tmp_path}/tree' <&-"
    done = subprocess.run(["sh", "-c", command], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, "stillframe: no manifest on standard input: it is closed\n")


def upload(bucket: Bucket, folder: Path) -> None:
    for path in folder.rglob("*.dcm"):
        key = str(path.relative_to(folder))
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=path.read_bytes())


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("kind", ["s5cmd", "objects", "csv"])
def test_a_public_bucket_is_built_from_a_manifest(
    kind: str, public: Bucket, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the open buckets of the Imaging Data Commons are: a folder a series, read without credentials.

    The manifest lies in a bucket of one's own, where credentials are needed.
    """
    names = write_studies(tmp_path / "in")
    upload(public, tmp_path / "in")
    urls = [f"s3://{public.name}/{name}/*" for name, _ in names]
    if kind == "csv":
        header = "collection_id,StudyInstanceUID,series_aws_url"
        lines = [header, *(f"tests,{study},{url}" for (_, study), url in zip(names, urls, strict=True))]
    elif kind == "s5cmd":
        lines = ["# s5cmd --no-sign-request run m.s5cmd", *(f'cp {url} "."' for url in urls)]
    else:
        keys = [path.relative_to(tmp_path / "in") for path in sorted((tmp_path / "in").rglob("*.dcm"))]
        lines = [f"cp s3://{public.name}/{key} ." for key in keys]
    lines.append(f"{'x,,' if kind == 'csv' else 'cp '}s3://{public.name}/nothing/*{'' if kind == 'csv' else ' .'}")
    manifest = "\n".join(lines).encode()
    bucket.client.put_object(Bucket=bucket.name, Key="manifests/m", Body=manifest)
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        done = run(
            "build", "--from", f"s3://{bucket.name}/manifests/m", f"s3://{bucket.name}/archive", "--workers", "0",
            "--endpoint-url", proxy.endpoint_url, "--region", "us-east-1", "--source-no-sign-request",
        )  # fmt: skip
        listed = [request.target for request in proxy.requests if f"{public.name}?" in request.target]
    assert done.returncode == 2
    assert f"manifests/m, line {len(lines)}: no such object, and none below it" in done.stderr
    assert len(listed) == (1 if kind == "objects" else len(urls) + 1), "an object is asked for, no list of it"
    build_tree(tmp_path / "same", tmp_path / "in")
    assert objects(S3Store(bucket, "archive")) == objects_of_folder(tmp_path / "same")


def objects_of_folder(tree: Path) -> dict[str, bytes]:
    from stillframe.store.directory import DirectoryStore

    return objects(DirectoryStore(str(tree)))
