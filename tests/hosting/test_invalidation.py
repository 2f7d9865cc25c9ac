"""What a CDN is told when objects change that never do otherwise: few paths, and none that covers other UIDs."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from stillframe.cli.main import cli
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import UsageError
from stillframe.hosting.cloudfront import (
    MOST_PATHS,
    MOST_WILDCARDS,
    batches,
    check_distribution,
    invalidate,
    make_client,
)
from stillframe.hosting.invalidation import Invalidation, invalidation_paths, is_wildcard, url_prefixes
from stillframe.layout import frame_key, instance_key
from tests.support.dicom_files import SERIES, STUDY, image, instance_uid, noise, write, write_series
from tests.support.lazy import lazy_module

moto = lazy_module("moto")

UIDS = st.sampled_from(["1.2", "1.2.3", "1.22", "1.2.34", "9"])
KEYS = st.lists(st.builds(InstanceUIDs, UIDS, UIDS, UIDS), min_size=1, max_size=40)
DISTRIBUTION = "E2QWRUHAPOMQZL"


def paths(*uids: InstanceUIDs, root: str = "", prefixes: tuple[str, ...] = ("",)) -> tuple[str, ...]:
    return invalidation_paths([(root, frame_key(one, 1)) for one in uids], prefixes)


def test_an_instance_is_its_own_path_and_all_below_it() -> None:
    uids = InstanceUIDs("1.2", "1.3", "1.4")
    place = "/studies/1.2/series/1.3/instances/1.4"
    assert paths(uids) == (place, f"{place}/*")
    assert invalidation_paths([("", instance_key(uids)), ("", frame_key(uids, 7))], [""]) == (place, f"{place}/*")


def test_many_instances_are_their_series_and_many_series_their_study() -> None:
    series = [InstanceUIDs("1.2", "1.3", f"1.4.{number}") for number in range(30)]
    assert paths(*series) == ("/studies/1.2/series/1.3/instances/*",)
    study = [InstanceUIDs("1.2", f"1.3.{number}", "1.4") for number in range(30)]
    assert paths(*study) == ("/studies/1.2/series/*",)


def test_roots_and_prefixes_come_first() -> None:
    uids = [InstanceUIDs("1.2", "1.3", f"1.4.{number}") for number in range(30)]
    assert paths(*uids, root="token", prefixes=("/dicomweb", "/some/prefix")) == (
        "/dicomweb/token/studies/1.2/series/1.3/instances/*",
        "/some/prefix/token/studies/1.2/series/1.3/instances/*",
    )


@pytest.mark.parametrize(
    ("base_url", "key_prefix", "expected"),
    [
        ("", "", ("",)),
        ("", "some/prefix", ("", "/some/prefix")),
        ("https://images.example.org", "archive", ("", "/archive")),
        ("https://images.example.org/dicomweb/", "archive", ("/dicomweb", "/archive")),
        ("https://images.example.org/dicomweb", "dicomweb", ("/dicomweb",)),
        ("https://images.example.org/dicomweb", "", ("/dicomweb", "")),
    ],
)
def test_paths_are_named_as_viewers_ask_and_as_the_edge_rewrites_them(
    base_url: str, key_prefix: str, expected: tuple[str, ...]
) -> None:
    assert url_prefixes(base_url, key_prefix) == expected


@given(KEYS)
def test_every_key_is_covered_and_no_other_study_is(changed: list[InstanceUIDs]) -> None:
    told = paths(*changed)
    keys = [f"/{frame_key(uids, 1)}" for uids in changed] + [f"/{instance_key(uids)}" for uids in changed]
    assert all(any(fnmatch.fnmatchcase(key, path) for path in told) for key in keys)
    for study in {"1.2", "1.2.3", "1.22", "1.2.34", "9"} - {uids.study for uids in changed}:
        other = f"/{frame_key(InstanceUIDs(study, '1.2', '1.2'), 1)}"
        assert not any(fnmatch.fnmatchcase(other, path) for path in told)
    assert all(path.endswith("/*") or "*" not in path for path in told)
    assert sorted(set(told)) == list(told)


@given(st.lists(st.sampled_from(["/a", "/b/*"]), max_size=200))
def test_batches_keep_to_what_a_distribution_takes(told: list[str]) -> None:
    made = list(batches(told))
    assert [path for batch in made for path in batch] == told
    assert all(sum(map(is_wildcard, batch)) <= MOST_WILDCARDS for batch in made)
    assert all(batch for batch in made)


def test_batches_of_thousands_of_paths() -> None:
    made = list(batches(f"/{number}" for number in range(2 * MOST_PATHS + 1)))
    assert [len(batch) for batch in made] == [MOST_PATHS, MOST_PATHS, 1]


@pytest.mark.parametrize("name", ["", "E2*", "e2qw", "E2QWRUHAPOMQZL/x", "E" * 65])
def test_what_is_no_distribution_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_distribution(name)


def test_more_than_a_distribution_takes_goes_in_turns() -> None:
    client = make_client()
    told = tuple(f"/{number:02}/*" for number in range(MOST_WILDCARDS + 1))
    with Stubber(client) as stub:
        stub.add_response("create_invalidation", _made("I1"), _asked(told[:MOST_WILDCARDS]))
        stub.add_response("get_invalidation", _made("I1"), {"DistributionId": DISTRIBUTION, "Id": "I1"})
        stub.add_response("get_invalidation", _made("I1", "Completed"), {"DistributionId": DISTRIBUTION, "Id": "I1"})
        stub.add_client_error("create_invalidation", "TooManyInvalidationsInProgress")
        stub.add_response("create_invalidation", _made("I2"), _asked(told[MOST_WILDCARDS:]))
        assert invalidate(client, DISTRIBUTION, told, poll=0.001) == Invalidation(DISTRIBUTION, told, ("I1", "I2"))
        stub.assert_no_pending_responses()


def test_what_goes_wrong_is_told_with_what_was_done() -> None:
    client = make_client()
    told = tuple(f"/{number:02}/*" for number in range(MOST_WILDCARDS + 1))
    with Stubber(client) as stub:
        stub.add_response("create_invalidation", _made("I1"), _asked(told[:MOST_WILDCARDS]))
        stub.add_client_error("get_invalidation", "AccessDenied", "not yours")
        done = invalidate(client, DISTRIBUTION, told, poll=0.001)
    assert done.ids == ("I1",)
    assert done.failure.endswith("AccessDenied: not yours")


def _made(name: str, status: str = "InProgress") -> dict[str, Any]:
    batch = {"Paths": {"Quantity": 0, "Items": []}, "CallerReference": "x"}
    return {"Invalidation": {"Id": name, "Status": status, "CreateTime": 0, "InvalidationBatch": batch}}


def _asked(told: tuple[str, ...]) -> dict[str, Any]:
    batch = {"Paths": {"Quantity": len(told), "Items": list(told)}, "CallerReference": ANY}
    return {"DistributionId": DISTRIBUTION, "InvalidationBatch": batch}


def make_distribution() -> str:
    origin = {"Id": "o", "DomainName": "b.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    behavior = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "https-only",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
    }
    config = {
        "CallerReference": "x",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behavior,
    }
    return str(make_client().create_distribution(DistributionConfig=config)["Distribution"]["Id"])


def stillframe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], standalone_mode=False)


def told_to(distribution: str) -> list[list[str]]:
    client = make_client()
    listed = client.list_invalidations(DistributionId=distribution)["InvalidationList"].get("Items", [])
    found = [client.get_invalidation(DistributionId=distribution, Id=item["Id"]) for item in listed]
    return [item["Invalidation"]["InvalidationBatch"]["Paths"]["Items"] for item in found]


@pytest.mark.slow
def test_builds_and_deletions_tell_the_distribution_what_changed(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 2), tmp_path / "tree"
    newcomer = write(tmp_path, "new.dcm", image(1, noise(9)))
    place = f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{instance_uid(1)}"
    options = ("--base-url", "https://images.example.org/dicomweb", "--report", tmp_path / "report.json")
    with moto.mock_aws():
        distribution = make_distribution()
        known = (*options, "--invalidate", distribution)
        assert stillframe("build", source, tree, "--workers", "0", *known).return_value == 0
        assert told_to(distribution) == []
        done = stillframe("build", newcomer, tree, "--workers", "0", "--replace", *known)
        assert done.return_value == 0
        stored = place.removeprefix("/dicomweb")
        expected = [place, f"{place}/*", stored, f"{stored}/*"]
        assert f"CloudFront {distribution}: 4 paths invalidated" in done.output
        report = json.loads((tmp_path / "report.json").read_text())["invalidation"]
        assert (report["distribution"], report["paths"], len(report["ids"])) == (distribution, expected, 1)
        assert told_to(distribution) == [expected]
        done = stillframe("delete", tree, "--study", STUDY, *known)
        assert done.return_value == 0
        assert len(told_to(distribution)) == 2


@pytest.mark.slow
def test_an_archive_is_complete_though_the_distribution_could_not_be_told(tmp_path: Path) -> None:
    source, tree = write_series(tmp_path / "in", 1), tmp_path / "tree"
    newcomer = write(tmp_path, "new.dcm", image(1, noise(9)))
    options = ("--report", tmp_path / "report.json", "--invalidate", "E0NOSUCHONE")
    with moto.mock_aws():
        stillframe("build", source, tree, "--workers", "0")
        done = stillframe("build", newcomer, tree, "--workers", "0", "--replace", *options)
        assert done.return_value == 1
        assert "NoSuchDistribution" in done.output
        assert "the archive itself is complete" in done.output
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["summary"]["replaced"] == 1
        assert "NoSuchDistribution" in report["invalidation"]["failure"]
        assert len(report["invalidation"]["paths"]) == 2
        # Nothing changed since, but CloudFront was not told of what did: it is told again.
        assert stillframe("build", newcomer, tree, "--workers", "0", *options).return_value == 1
        again = json.loads((tmp_path / "report.json").read_text())
        assert again["summary"]["unchanged"] == 1
        assert again["invalidation"]["paths"] == report["invalidation"]["paths"]
        done = stillframe("delete", tree, "--study", STUDY, *options)
        assert done.return_value == 1
        assert "1 study, 1 series, 1 instance deleted" in done.output
