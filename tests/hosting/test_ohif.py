"""What a site makes of OHIF's files: none names another from the root of the origin any more."""

from __future__ import annotations

import pytest

from stillframe.errors import UsageError
from stillframe.hosting.ohif import is_left_out, read_page, rewrite
from tests.support.ohif import APP, DECODER, FILES, LEFT_OUT, SMALL, WORKER

_TEXTS = {path: data.decode(errors="replace") for path, data in FILES.items()}
_HTML = _TEXTS["index.html"]
_PAGE = read_page(_HTML, FILES, _TEXTS.__getitem__)
_BOTH = pytest.mark.parametrize("files", [FILES, SMALL], ids=["as it comes", "without white space"])


@_BOTH
def test_what_the_page_loads(files: dict[str, bytes]) -> None:
    page = read_page(_HTML, files, lambda path: files[path].decode())
    assert page.script == APP
    assert page.styles == ("app.bundle.css",)
    assert set(page.preloads) == {
        "12.bundle.0000000000000012.js", "13.bundle.0000000000000013.js", "13.css", "14.bundle.0000000000000014.js",
        "15.bundle.0000000000000015.js",
    }  # fmt: skip
    assert page.early == (WORKER, DECODER)
    assert page.again == (APP, *(path for path in page.preloads if path.endswith(".js")))


@pytest.mark.parametrize("part", ['window.PUBLIC_URL="/"', "browserImportFunction", 'id="root"', 'id="react-portal"'])
def test_a_page_of_something_else_is_refused(part: str) -> None:
    with pytest.raises(UsageError, match=r"its index\.html lacks"):
        read_page(_HTML.replace(part, ""), FILES, _TEXTS.__getitem__)


def test_a_page_with_other_scripts_is_refused() -> None:
    for html in (_HTML.replace("<script defer ", "<script async "), _HTML.replace("app.bundle.css", "app/bundle.css")):
        with pytest.raises(UsageError, match="lacks one deferred script and a style sheet"):
            read_page(html, FILES, _TEXTS.__getitem__)


def test_a_folder_without_the_page_s_script_is_refused() -> None:
    with pytest.raises(UsageError, match=f"names {APP}, which is not there"):
        read_page(_HTML, [path for path in FILES if path != APP], _TEXTS.__getitem__)


@pytest.mark.parametrize("part", ['__webpack_require__.p = "/"', "'/dicom-microscopy-viewer/"])
def test_an_application_that_is_built_in_another_way_is_refused(part: str) -> None:
    texts = {**_TEXTS, APP: _TEXTS[APP].replace(part, "")}
    with pytest.raises(UsageError) as raised:
        read_page(_HTML, FILES, texts.__getitem__)
    assert str(raised.value) == f"no OHIF that is known how to rewrite: nowhere in {APP} is {part}"


def test_an_application_that_loads_its_parts_in_another_way_is_only_slower() -> None:
    texts = {**_TEXTS, APP: _TEXTS[APP].replace("__webpack_require__.e", "e").replace("new Worker", "make")}
    page = read_page(_HTML, FILES, texts.__getitem__)
    assert page.preloads == page.early == ()


@_BOTH
def test_scripts_find_the_others_beside_themselves(files: dict[str, bytes]) -> None:
    for name in (APP, WORKER):
        text = rewrite(name, files[name], _PAGE).decode().replace(" ", "")
        assert '__webpack_require__.p="/"' not in text
        assert "?document.currentScript.src:self.location.href).href" in text
    app = rewrite(APP, files[APP], _PAGE).decode().replace("'", '"')
    assert 'browserImportFunction(window.PUBLIC_URL + "dicom-microscopy-viewer/dicomMicroscopyViewer.min.js")' in app
    assert 'src: window.PUBLIC_URL + "ohif-logo.svg"' in app


@_BOTH
def test_the_application_starts_once_alone(files: dict[str, bytes]) -> None:
    body = "if (window.stillframeStarted) return; window.stillframeStarted = true;"
    app = rewrite(APP, files[APP], _PAGE).decode()
    assert app.replace(" => ", "=>").startswith("(()=>{" + body)
    assert body not in rewrite(WORKER, files[WORKER], _PAGE).decode()


@pytest.mark.parametrize(
    "begin", ['(() => {\n"use strict";\n', "(() => {'use strict';", "!function() {\n", "\n(() => {\n"]
)
def test_an_application_that_cannot_be_kept_from_a_second_start_runs_once(begin: str) -> None:
    texts = {**_TEXTS, APP: begin + _TEXTS[APP].removeprefix("(() => {\n")}
    page = read_page(_HTML, FILES, texts.__getitem__)
    assert page.again == ()
    assert "stillframeStarted" not in rewrite(APP, texts[APP].encode(), page).decode()


def test_style_sheets_find_fonts_beside_themselves() -> None:
    text = rewrite("app.bundle.css", FILES["app.bundle.css"], _PAGE).decode()
    assert text == "@font-face{src:url(a34f9d1faa5f3315.woff2)} .b{background:url(data:,) url(//host/x)}"
    assert rewrite("a.css", b"a{b:url('/c.png')}", _PAGE) == b"a{b:url('c.png')}"


@pytest.mark.parametrize(
    "path", [DECODER, "assets/favicon.ico", "dicom-microscopy-viewer/dicomMicroscopyViewer.min.js"]
)
def test_other_files_stay_as_they_are(path: str) -> None:
    assert rewrite(path, FILES[path], _PAGE) == FILES[path]


def test_what_is_left_out() -> None:
    assert [path for path in FILES if is_left_out(path)] == ["index.html", "app-config.js"]
    assert [path for path in LEFT_OUT if not is_left_out(path)] == []
