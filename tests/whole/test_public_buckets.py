"""Buckets that everybody may read: without credentials, with some that are good elsewhere, and with the wrong ones."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from stillframe.errors import Refused
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support import command
from tests.support.archives import publish
from tests.support.dicom_files import write_series
from tests.support.faulty_proxy import FaultyProxy
from tests.support.scripted_store import header, of_obstore
from tests.support.trees import build_tree, contents, objects

pytestmark = [pytest.mark.slow, pytest.mark.s3]

run = partial(command.run, AWS_REGION="us-east-1")


@pytest.fixture
def prefix(public: Bucket, tmp_path: Path) -> str:
    """Where three instances lie in it."""
    name = uuid.uuid4().hex
    for path in write_series(tmp_path / "in", 3).iterdir():
        public.client.put_object(Bucket=public.name, Key=f"{name}/{path.name}", Body=path.read_bytes())
    return name


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


def test_sources_are_read_without_credentials(public: Bucket, prefix: str, tmp_path: Path, nobody: None) -> None:
    url = public.settings.endpoint_url
    source = f"s3://{public.name}/{prefix}"
    done = run("build", source, tmp_path / "tree", "--endpoint-url", url, "--source-no-sign-request", "--workers", "2")
    assert done.returncode == 0, done.stderr
    build_tree(tmp_path / "same", tmp_path / "in")
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")
    done = run("build", source, tmp_path / "tree", "--endpoint-url", url, "--workers", "0")
    assert done.returncode == 1
    assert "Unable to locate credentials" in done.stderr


def test_sources_and_destination_are_signed_apart(public: Bucket, prefix: str, bucket: Bucket, tmp_path: Path) -> None:
    """The destination needs the credentials that the sources are read without."""
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        done = run(
            "build", f"s3://{public.name}/{prefix}", f"s3://{bucket.name}/archive", "--workers", "0",
            "--endpoint-url", proxy.endpoint_url, "--source-no-sign-request",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 published" in done.stdout
    signed = {(request.target.split("/")[1], bool(header(request, "Authorization"))) for request in proxy.requests}
    assert {(name.partition("?")[0], signs) for name, signs in signed} == {(public.name, False), (bucket.name, True)}


def test_what_is_not_public_stays_shut(public: Bucket, bucket: Bucket, tmp_path: Path) -> None:
    """Credentials that would open it are not used."""
    write_series(tmp_path / "in", 1)
    url = bucket.settings.endpoint_url
    for place, option, where in (
        (f"s3://{bucket.name}/archive", "--no-sign-request", bucket.name),
        (f"s3://{public.name}/archive", "--no-sign-request", public.name),  # to be read by all, not written
    ):
        done = run("build", tmp_path / "in", place, "--endpoint-url", url, option, "--workers", "0")
        assert done.returncode == 1
        assert f"s3://{where}/archive" in done.stderr
        assert "403 AccessDenied" in done.stderr
    done = run("build", f"s3://{bucket.name}/x", tmp_path / "tree", "--endpoint-url", url, "--source-no-sign-request")
    assert done.returncode == 1
    assert "403" in done.stderr


def test_an_archive_is_read_without_credentials_by_both_clients(public: Bucket, tmp_path: Path) -> None:
    """obstore reads objects, boto3 lists."""
    name = uuid.uuid4().hex
    signing = S3Store(public, name)
    publish(signing, write_series(tmp_path / "in", 2))
    with FaultyProxy(public.settings.endpoint_url) as proxy:
        settings = replace(public.settings, endpoint_url=proxy.endpoint_url, no_sign_request=True)
        store = S3Store(replace(public, settings=settings), name)
        assert objects(store) == objects(signing)
        assert store.head("studies") == signing.head("studies")
        frame = next(key for key, _ in store.list("") if key.endswith("/frames/1"))
        assert store.get_range(frame, 0, 2) == b"\xff\x4f"
        with pytest.raises(Refused, match="AccessDenied"):
            store.put("studies", b"[]")
    assert {of_obstore(request) for request in proxy.requests if request.method == "GET"} == {True, False}
    assert not any(header(request, "Authorization") for request in proxy.requests)


def test_a_dry_run_against_a_public_archive(public: Bucket, tmp_path: Path, nobody: None) -> None:
    name = uuid.uuid4().hex
    source = write_series(tmp_path / "in", 2)
    place = ("build", source, f"s3://{public.name}/{name}", "--endpoint-url", public.settings.endpoint_url)
    done = run(*place, "--dry-run", "--no-sign-request", "--workers", "0")
    assert done.returncode == 0, done.stderr
    assert "2 would be published" in done.stdout
