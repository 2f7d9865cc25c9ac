"""The bucket policy of the documentation that lets everybody read, held against the keys of an archive and its site."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from stillframe.hosting.site_keys import SHELL, VIEWER_ROUTES
from stillframe.store.s3_client import Bucket
from tests.support.public_bucket import PAGE, cors_rules, open_to_all, public_policy
from tests.support.serving import Client
from tests.support.urls import KEYS, SITE_KEYS, SITE_TRAPS, TOKEN, TRAPS, WORD

_LISTED = [key for key in KEYS if not key.startswith(TOKEN)]
_SITE = {*SITE_KEYS, *SHELL}
_OTHERS = [path for path in (*TRAPS, *SITE_TRAPS) if "studies" not in path.lower() and not path.startswith("ohif/")]


def covered(resource: str, key: str) -> bool:
    """Whether a policy's resource covers a key: its star stands for any characters, slashes among them."""
    return fnmatchcase(f"arn:aws:s3:::my-archive/dicomweb/{key}", resource)


def resources() -> list[str]:
    (statement,) = public_policy()["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Allow", "s3:GetObject", "*")
    found: list[str] = statement["Resource"]
    return found


def test_everybody_may_read_objects_of_the_service_and_its_site_and_list_nothing() -> None:
    allowed = resources()
    for key in (*_LISTED, *_SITE):
        assert any(covered(resource, key) for resource in allowed), key
    assert f"pending/{WORD}" in _OTHERS
    others = [*(path for path in _OTHERS if path != "study-page.html"), f"{TOKEN}/studies", f"{TOKEN}/pending/{WORD}"]
    assert [path for path in others if any(covered(resource, path) for resource in allowed)] == []


def test_each_key_is_named_and_a_star_stands_at_the_end_alone() -> None:
    starred = [resource.rpartition("/dicomweb/")[2] for resource in resources() if "*" in resource]
    assert starred == ["studies*", "study-*", "ohif/*"]
    named = {resource.rpartition("/")[2] for resource in resources() if "*" not in resource}
    assert named == SHELL
    assert set(VIEWER_ROUTES) <= named


def test_unlisted_studies_have_a_resource_of_their_own() -> None:
    (resource,) = re.findall(r"`(arn:aws:s3:::my-archive/dicomweb/\*\S*)`", PAGE.read_text())
    assert all(covered(resource, f"{TOKEN}/{key}") for key in _LISTED)
    assert not [path for path in (*_OTHERS, *_LISTED[:1]) if covered(resource, path)]


@pytest.mark.s3
def test_a_real_bucket_is_open_to_that_and_no_more(bucket: Bucket) -> None:
    keys = [*_LISTED, *SITE_KEYS, f"pending/{WORD}", f"{TOKEN}/studies", "secret", ".index.html.part"]
    for key in keys:
        bucket.client.put_object(Bucket=bucket.name, Key=f"some/archive/{key}", Body=b"x")
    port = int(bucket.settings.endpoint_url.rpartition(":")[2])
    get = Client(port)
    assert get(f"/{bucket.name}/some/archive/studies").status == 403
    open_to_all(bucket, "some/archive")
    for key in (*_LISTED, *SITE_KEYS):
        assert get(f"/{bucket.name}/some/archive/{key}").status == 200, key
    closed = (f"pending/{WORD}", f"{TOKEN}/studies", "secret", ".index.html.part")
    for path in (*(f"some/archive/{key}" for key in closed), "", "?list-type=2", "?list-type=2&prefix=some/"):
        assert get(f"/{bucket.name}/{path}").status == 403, path
    preflight = get(
        f"/{bucket.name}/some/archive/studies", "OPTIONS", Origin="https://viewer.example.org",
        Access_Control_Request_Method="GET", Access_Control_Request_Headers="accept",
    )  # fmt: skip
    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-origin"] in ("*", "https://viewer.example.org")
    assert cors_rules()["CORSRules"][0]["ExposeHeaders"] == ["Content-Range", "Content-Length", "ETag", "Accept-Ranges"]
