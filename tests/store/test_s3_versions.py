"""What a bucket with versions keeps of what was deleted, and that deleting says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stillframe.cli.main import cli
from stillframe.store.base import KeptVersions
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_versions import days_kept
from tests.support.archives import publish
from tests.support.dicom_files import STUDY, image, write
from tests.support.moto_server import run_moto_bucket

_KEY = "studies/1.2/metadata"
_DAYS: dict[str, Any] = {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "somebody")
    with run_moto_bucket() as bucket:
        yield S3Store(bucket, "some/prefix")


def keep(store: S3Store, *rules: dict[str, Any]) -> None:
    client = store.bucket.client
    client.put_bucket_versioning(Bucket="archive", VersioningConfiguration={"Status": "Enabled"})
    filled_in = [
        {"ID": str(number), "Status": "Enabled", "Filter": {"Prefix": ""}} | rule for number, rule in enumerate(rules)
    ]
    if rules:
        client.put_bucket_lifecycle_configuration(Bucket="archive", LifecycleConfiguration={"Rules": filled_in})


def test_a_bucket_without_versions_keeps_nothing(store: S3Store) -> None:
    assert store.kept_versions(_KEY) is None
    store.put(_KEY, b"[]")
    assert store.kept_versions(_KEY) is None
    store.delete(_KEY)
    assert store.kept_versions(_KEY) is None


@pytest.mark.parametrize(
    ("rules", "days"), [((), None), ((_DAYS,), 7), ((_DAYS | {"Filter": {"Prefix": "other/"}},), None)]
)
def test_what_a_bucket_with_versions_keeps_and_for_how_long(
    store: S3Store, rules: tuple[dict[str, Any], ...], days: int | None
) -> None:
    keep(store, *rules)
    store.put(_KEY, b"[]")
    assert store.kept_versions(_KEY) is None
    store.delete(_KEY)
    assert store.kept_versions(_KEY) == KeptVersions(days)
    assert store.kept_versions("studies/never/metadata") is None


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ({"Filter": {"Prefix": "some/prefix/"}}, 7), ({"Filter": {}}, 7), ({"Prefix": "some"}, 7), ({}, 7),
        ({"Filter": {"Prefix": "some/prefix/x"}}, None), ({"Prefix": "x"}, None), ({"Status": "Disabled"}, None),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, None), ({"Filter": {"ObjectSizeGreaterThan": 9}}, None),
        ({"Filter": {"And": {"Prefix": "some/", "Tags": []}}}, None),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2}}, None),
        ({"NoncurrentVersionExpiration": {}}, None),
    ],
)  # fmt: skip
def test_rules_that_end_older_versions_of_every_object(rule: dict[str, Any], days: int | None) -> None:
    name = f"some/prefix/{_KEY}"
    assert days_kept([{"Status": "Enabled"} | _DAYS | rule], name) == days
    sooner = {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}}
    assert days_kept([{"Status": "Enabled"} | _DAYS | rule, sooner], name) == 3


def test_a_folder_keeps_nothing(tmp_path: Path) -> None:
    assert DirectoryStore(str(tmp_path)).kept_versions(_KEY) is None


def delete_study(store: S3Store) -> Result:
    url = store.bucket.settings.endpoint_url
    arguments = ["delete", str(store), "--study", STUDY, "--endpoint-url", url]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize(("rules", "text"), [([_DAYS], "for 7 days,"), ([], "until its lifecycle rules end them,")])
def test_the_command_says_what_it_leaves(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]], text: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    keep(store, *rules)
    write(tmp_path, "1.dcm", image(1))
    publish(store, tmp_path)
    done = delete_study(store)
    assert done.return_value == 0, done.output
    assert f"The bucket keeps older versions of what was deleted {text} patient data among them." in done.stdout


@pytest.mark.slow
def test_the_command_says_nothing_where_nothing_is_left(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    write(tmp_path, "1.dcm", image(1))
    publish(store, tmp_path)
    done = delete_study(store)
    assert done.return_value == 0, done.output
    assert "older versions" not in done.output
