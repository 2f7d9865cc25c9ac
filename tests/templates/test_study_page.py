"""The study page's own modules in node, its names of attributes against the dictionary, and what the page may load."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_description, dictionary_has_tag

from stillframe.hosting.pages import render_study_page, study_page_files
from tests.support.places import REPOSITORY

_TESTS = Path(__file__).resolve().parent / "study_page"
_SCRIPTS = sorted((REPOSITORY / "templates").glob("study-*.js"))


class _Elements(HTMLParser):
    """The start tags of a page, and whether an element holds text that would be a script or a style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"} and data.strip():
            self.inline.append(data)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_modules_compute_what_they_should() -> None:
    files = sorted(str(path) for path in _TESTS.glob("*.test.mjs"))
    done = subprocess.run(["node", "--test", *files], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout


def test_attributes_are_those_of_the_dictionary() -> None:
    """Private ones are those of the record that every instance has (docs/format.md)."""
    texts = [path.read_text("utf-8") for path in _SCRIPTS if path.name not in {"study-search.js", "study-names.js"}]
    tags = {tag for text in texts for tag in re.findall(r"'([0-9A-F]{8})'", text)}
    assert len(tags) > 80
    assert not [tag for tag in sorted(tags) if not dictionary_has_tag(int(tag, 16))]


def test_names_are_those_of_the_dictionary() -> None:
    text = (REPOSITORY / "templates/study-names.js").read_text("utf-8")
    names = re.findall(r"""^  '([0-9A-F]{8})': (?:'(.*)'|"(.*)"),$""", text, re.MULTILINE)
    assert len(names) > 500
    assert [tag for tag, *_ in names] == sorted({tag for tag, *_ in names})
    for tag, *quoted in names:
        assert "".join(quoted) == dictionary_description(int(tag, 16)), tag


@pytest.mark.parametrize("viewer", [False, True])
def test_the_page_holds_no_script_and_no_style_of_its_own(viewer: bool) -> None:
    page = _Elements(render_study_page(viewer=viewer))
    assert not page.inline
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, tag
    (policy,) = (found["content"] for tag, found in page.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert policy
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert (rules["script-src"], rules["style-src"]) == ("'self'", "'self'")
    assert rules["require-trusted-types-for"] == "'script'"
    assert page.tags.index(("script", {"src": "service.js"})) < page.tags.index(
        ("script", {"type": "module", "src": "study-page.js"})
    )


@pytest.mark.parametrize("viewer", [False, True])
def test_all_that_the_page_names_lies_beside_it(viewer: bool) -> None:
    """So that it works under any URL; what a module imports is asked for with the page, not one after the other."""
    page = _Elements(render_study_page(viewer=viewer))
    links = {found.get("href") or found.get("src") for tag, found in page.tags if tag in {"link", "script", "a", "img"}}
    named = {link for link in links if link and not link.startswith("data:")}
    files = {path.name for path in study_page_files()}
    assert files == {path.name for path in _SCRIPTS} | {"study-page.css"}
    assert named - {"service.js", "worklist"} == files - {"study-names.js"}  # read when somebody opens metadata
    assert ("worklist" in named) is viewer


def test_modules_import_modules_of_the_page_alone() -> None:
    files = {path.name for path in study_page_files()}
    for path in _SCRIPTS:
        text = path.read_text("utf-8")
        imported = re.findall(r"^(?:import|\}) .*?from '(.*)';$|^\} from '(.*)';$", text, re.MULTILINE)
        assert len(imported) == len(re.findall(r"^import ", text, re.MULTILINE))
        assert {"".join(names).removeprefix("./") for names in imported} <= files, path.name


def test_no_text_becomes_markup() -> None:
    """The one place that parses text is told to the browser by name, and parses XML."""
    for path in _SCRIPTS:
        text = path.read_text("utf-8")
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), (
            path.name
        )
        assert text.count("parseFromString") == (1 if path.name == "study-dialog.js" else 0)
