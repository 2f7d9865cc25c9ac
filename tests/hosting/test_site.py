"""The files of a site: which there are, and what its pages say."""

from __future__ import annotations

import re
from pathlib import Path

from stillframe.hosting.site import content_policy, is_of_site, list_site
from stillframe.hosting.site_keys import VIEWER_ROUTES, is_shell, is_site_key
from stillframe.hosting.viewer_folder import read_viewer
from tests.support.ohif import APP, DECODER, WORKER, write_ohif


def test_without_a_viewer_there_is_the_study_page() -> None:
    files = list_site().files
    named = {"index.html", "service.js", "stillframe.js", "study-page.js", "study-page.css"}
    assert named <= set(files)
    assert all(key in named or key.startswith("study-") for key in files)
    assert all(is_of_site(key, read()) for key, read in files.items())


def test_with_a_viewer_all_routes_are_its_page(tmp_path: Path) -> None:
    viewer = read_viewer(write_ohif(tmp_path / "dist"))
    files = list_site(viewer).files
    assert all(is_site_key(key) for key in files)
    assert {"app-config.js", "stillframe.js", *VIEWER_ROUTES} <= set(files)
    assert {key for key in files if not is_shell(key)} == {f"{viewer.folder}{path}" for path in viewer.files}
    page = files["viewer"]()
    assert {files[route]() for route in VIEWER_ROUTES} == {page}
    assert all(is_of_site(key, read()) for key, read in files.items() if is_shell(key))


def test_the_page_names_everything_relatively_and_has_no_script_of_its_own(tmp_path: Path) -> None:
    viewer = read_viewer(write_ohif(tmp_path / "dist"))
    page = list_site(viewer).files["viewer"]().decode()
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    files = list_site(viewer).files
    assert {name for name in named if name not in files} == set()
    assert len(named) == len(re.findall(r"src=|href=", page))
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", page) == []
    scripts = re.findall(r'<script defer src="([^"]*)"', page)
    assert scripts == [f"{viewer.folder}viewer-start.js", "service.js", "app-config.js"]
    assert f'rel="preload" as="script" href="{viewer.folder}{APP}" fetchpriority="high">' in page
    assert f'data-next="{" ".join(viewer.page.preloads)}" data-early="{WORKER} {DECODER}"' in page
    assert {*viewer.page.preloads, *viewer.page.early} <= set(viewer.files)


def test_the_page_speaks_to_its_service_alone() -> None:
    own = content_policy()
    assert "connect-src 'self' data: blob:;" in own
    assert "script-src 'self' 'unsafe-eval';" in own
    elsewhere = content_policy("https://images.example.org:8443/dicomweb")
    assert "connect-src 'self' data: blob: https://images.example.org:8443;" in elsewhere
    assert "script-src 'self' 'unsafe-eval';" in elsewhere


def test_a_service_elsewhere_is_named(tmp_path: Path) -> None:
    files = list_site(read_viewer(write_ohif(tmp_path / "dist")), "https://images.example.org/dicomweb").files
    assert files["service.js"]() == b'window.stillframe = { root: "https://images.example.org/dicomweb" };\n'
    assert b"blob: https://images.example.org;" in files["viewer"]()
