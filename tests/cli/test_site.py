"""`stillframe site`: what it says and does, in a folder and in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.store.s3_client import Bucket
from tests.support.command import run
from tests.support.ohif import write_ohif
from tests.support.served_tree import TREE, write_tree

pytestmark = pytest.mark.slow


def test_a_site_in_a_folder_with_an_archive(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", TREE)
    dist = write_ohif(tmp_path / "dist")
    (tmp_path / "link").symlink_to(dist, target_is_directory=True)
    done = run("site", tmp_path / "tree", "--viewer", tmp_path / "link")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/tree: study page and viewer: ")
    assert first.endswith(" files written")
    assert last == f"Look at it: stillframe serve {tmp_path}/tree"
    again = run("site", tmp_path / "tree", "--viewer", dist)
    assert again.stdout.splitlines()[0].endswith(" unchanged")
    without = run("site", tmp_path / "tree")
    assert " removed" in without.stdout
    assert without.stderr == "the viewer that was there is removed; --viewer DIST puts one there\n"
    assert not (tmp_path / "tree/ohif").exists()
    assert {path: (tmp_path / "tree" / path).read_bytes() for path in TREE} == TREE


def test_an_edited_configuration_stays_and_that_is_told(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", TREE)
    command = ("site", tmp_path / "tree", "--viewer", write_ohif(tmp_path / "dist"))
    run(*command)
    config = tmp_path / "tree/app-config.js"
    written = config.read_text()
    config.write_text(f"{written}// mine\n")
    again = run(*command)
    assert again.stderr == "app-config.js has been edited, and stays as it is: --replace-config writes it anew\n"
    assert config.read_text() == f"{written}// mine\n"
    replaced = run(*command, "--replace-config")
    assert (replaced.stderr, config.read_text()) == ("", written)


def test_a_folder_without_an_archive_is_told(tmp_path: Path) -> None:
    done = run("site", tmp_path / "new")
    assert done.returncode == 0
    assert f"there is no archive in {tmp_path}/new yet" in done.stderr
    elsewhere = run("site", tmp_path / "new", "--root", "https://images.example.org/dicomweb/")
    assert elsewhere.stderr == ""
    script = (tmp_path / "new/service.js").read_text()
    assert script == 'window.stillframe = { root: "https://images.example.org/dicomweb" };\n'


@pytest.mark.parametrize("destination", ["studies", "studies/1.2", "studies/1.2/new"])
def test_no_site_goes_into_an_archive(tmp_path: Path, destination: str) -> None:
    write_tree(tmp_path, TREE)
    before = sorted(tmp_path.rglob("*"))
    done = run("site", tmp_path / destination)
    assert done.returncode == 1
    assert f"lies within an archive, whose folder is {tmp_path}" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_no_destination(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"mine")
    done = run("site", tmp_path / "notes")
    assert (done.returncode, done.stderr) == (1, f"stillframe: the destination is not a folder: {tmp_path}/notes\n")


def test_a_command_to_copy_is_quoted(tmp_path: Path) -> None:
    done = run("site", tmp_path / "an archive")
    assert done.stdout.endswith(f"Look at it: stillframe serve '{tmp_path}/an archive'\n")


def test_an_archive_of_unlisted_studies_is_one(tmp_path: Path) -> None:
    write_tree(tmp_path / "abcdefghijklmnopqrstuvwxyz234567", TREE)
    assert run("site", tmp_path).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--viewer", "{}/dist"), "no page of OHIF that is known how to rewrite: its index.html lacks"),
        (("--viewer", "{}"), "not a prebuilt viewer, there is no index.html"),
        (("--viewer", "{}/missing"), "does not exist"),
        (("--root", "images.example.org"), "must begin with http:// or https://"),
        (("--root", "https://me:secret@images.example.org"), "would publish its user and password"),
        (("--root", "https://images.example.org/dicomweb?token=secret"), "may have no query and no fragment"),
        (("--root", "https://images.example.org/dicomweb#top"), "may have no query and no fragment"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: tuple[str, str], reason: str
) -> None:
    write_ohif(tmp_path / "dist", **{"index.html": b"<!doctype html>another viewer"})
    done = run("site", tmp_path / "tree", *(argument.format(tmp_path) for argument in arguments))
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "tree").exists()


def test_somebody_else_s_page_is_left_alone(tmp_path: Path) -> None:
    write_tree(tmp_path, {"index.html": b"<h1>mine</h1>"})
    done = run("site", tmp_path)
    assert done.returncode == 1
    assert "there is a file index.html that is not of Stillframe: move it away" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.s3
def test_a_site_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    endpoint = ("--endpoint-url", bucket.settings.endpoint_url)
    done = run("site", f"s3://{bucket.name}/some/prefix", "--viewer", write_ohif(tmp_path / "dist"), *endpoint)
    assert done.returncode == 0
    assert f"there is no archive in s3://{bucket.name}/some/prefix yet" in done.stderr
    address = f"{bucket.settings.endpoint_url}/{bucket.name}/some/prefix/index.html"
    assert done.stdout.splitlines()[-1] == f"If everybody may read the bucket, open {address}"
    missing = run("site", "s3://no-such-bucket/x", *endpoint)
    assert missing.returncode == 1
    assert "s3://no-such-bucket" in missing.stderr
