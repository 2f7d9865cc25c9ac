"""Keys of a site: which paths name one, and that none is a key of an archive."""

from __future__ import annotations

import mimetypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.hosting.pages import templates_folder
from stillframe.hosting.site_keys import (
    SHELL,
    VIEWER_ROUTES,
    compressed_types,
    extensions_by_type,
    find_site_key,
    is_asset_path,
    is_compressed,
    is_shell,
    is_site_key,
    site_cache_control,
    site_media_type,
)
from stillframe.layout import is_key
from tests.support.urls import SITE_KEYS

_DIGEST = "0123456789abcdef"


def test_the_root_is_the_study_page() -> None:
    assert find_site_key("/") == "index.html"


@pytest.mark.parametrize("key", SITE_KEYS)
def test_each_key_is_named_by_its_path_alone(key: str) -> None:
    assert find_site_key(f"/{key}") == key
    assert not is_key(key)
    for path in (key, f"//{key}", f"/{key}/", f"/./{key}", f"/{key}.gz", f"/{key}%20", f"/x/../{key}", f"/{key}?a"):
        assert find_site_key(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "", "/ohif", "/ohif/", f"/ohif/{_DIGEST}", f"/ohif/{_DIGEST}/", f"/ohif/{_DIGEST}/.a",
        f"/ohif/{_DIGEST}/a/../b", f"/ohif/{_DIGEST[:-1]}/a.js", f"/ohif/{_DIGEST.upper()}/a.js",
        f"/ohif/{_DIGEST}/a b.js", f"/ohif/{_DIGEST}/{'a' * 500}", "/studies", "/study-.js", "/study-page.html",
        "/study-Page.js", "/Viewer", "/viewer.html", "/secret", "/dicomweb",
    ],
)  # fmt: skip
def test_others_name_none(path: str) -> None:
    assert find_site_key(path) == ""


@given(st.from_regex(r"(studies|pending|[0-9a-z]{16,40})(/[0-9A-Za-z./-]{0,30})?", fullmatch=True))
def test_no_key_is_both_of_a_site_and_of_an_archive(key: str) -> None:
    assert not (is_site_key(key) and is_key(key))


def test_the_templates_of_the_study_page_have_keys() -> None:
    names = [file.name for file in templates_folder().glob("study-*")]
    assert {"study-page.css", "study-page.js"} <= set(names)
    assert all(is_shell(name) for name in names)


@pytest.mark.parametrize(
    ("key", "media_type", "compressed"),
    [
        ("index.html", "text/html; charset=utf-8", True),
        ("viewer", "text/html; charset=utf-8", True),
        ("study-page.css", "text/css; charset=utf-8", True),
        ("app-config.js", "text/javascript; charset=utf-8", True),
        (f"ohif/{_DIGEST}/a.wasm", "application/wasm", True),
        (f"ohif/{_DIGEST}/a.woff2", "font/woff2", False),
        (f"ohif/{_DIGEST}/a.PNG", "image/png", False),
        (f"ohif/{_DIGEST}/viewer", "application/octet-stream", False),
    ],
)
def test_a_key_says_type_and_compression(key: str, media_type: str, compressed: bool) -> None:
    assert site_media_type(key) == media_type
    assert is_compressed(key) is compressed


def test_pages_are_asked_for_each_time_and_assets_never_again() -> None:
    assert {site_cache_control(key) for key in (*SHELL, "study-page.js")} == {"no-cache"}
    assert site_cache_control(f"ohif/{_DIGEST}/a.js") == "public, max-age=31536000, immutable"


def test_types_are_those_that_are_registered() -> None:
    known = mimetypes.MimeTypes()
    for media_type, extensions in extensions_by_type().items():
        for extension in extensions:
            guess = known.guess_type(f"a.{extension}")[0]
            named = media_type.partition(";")[0]
            assert guess in (None, named, "application/javascript", "image/vnd.microsoft.icon"), extension
    assert set(compressed_types()) <= set(extensions_by_type())


def test_routes_are_pages() -> None:
    assert {"viewer", "microscopy", "segmentation", "tmtv", "dynamic-volume", "worklist"} <= set(VIEWER_ROUTES)
    assert is_asset_path("assets/images/CT-AAA2.png")
    assert not is_asset_path("a/.hidden")
    assert not is_asset_path("a.js.gz")
