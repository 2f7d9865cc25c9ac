"""OHIF as its npm package has it (`dist`), made fit for a folder of any site: pure, texts in and out.

Its scripts and its page name everything from the root of an origin. Here a script finds the others beside itself, and
the page (`templates/viewer.html.j2`) names them relatively. What is replaced is looked for exactly, so that a version
that is built in another way is refused and not broken. Scripts may have lost their white space and comments (`make
viewer` takes them away), but not the names within them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stillframe.errors import UsageError
from stillframe.hosting.site_keys import is_asset_path

_LEFT_OUT: Final = re.compile(
    r"""(?:.*/)?[^/]*\.map          # of no use to a browser that does not debug
    | ort/.*                        # 130 MB that run models for segmentation, which a foreign server has
    | customizations/.*             # for ?customization=, which our configuration does not allow
    | index\.html | app-config\.js  # the site has its own
    | (?:sw|init-service-worker|google|es6-shim\.min|polyfill\.min|oidc-client\.min)\.js
    | silent-refresh\.html | manifest\.json | serve\.json | _headers | _redirects
    | assets/(?:android-chrome|apple-touch|coast|firefox|mstile|yandex-browser)[^/]*
    | assets/(?:browserconfig\.xml|manifest\.webapp)
    | (?:.*/)?\.[^/]*""",
    re.VERBOSE,
)
# What takes white space away numbers names that hide another of the same name.
_REQUIRE: Final = r"__webpack_require__\d*"
_PUBLIC_PATH: Final = re.compile(rf'({_REQUIRE}\.p\s*=\s*)"/"'.encode())
# In a page that is the folder of the script which runs, in a worker that of the worker itself.
_OWN_FOLDER: Final = (
    rb"\1new URL('.', typeof document === 'object' && document.currentScript"
    b" ? document.currentScript.src : self.location.href).href"
)
_MICROSCOPY: Final = re.compile(rb"browserImportFunction\((['\"])/dicom-microscopy-viewer/")
_MICROSCOPY_BESIDE: Final = rb"browserImportFunction(window.PUBLIC_URL + \1dicom-microscopy-viewer/"
_LOGO: Final = re.compile(rb'src:\s*"\./ohif-logo\.svg"')
_LOGO_BESIDE: Final = b'src: window.PUBLIC_URL + "ohif-logo.svg"'
_REPLACED: Final = ((_PUBLIC_PATH, _OWN_FOLDER), (_MICROSCOPY, _MICROSCOPY_BESIDE), (_LOGO, _LOGO_BESIDE))
# What an application has to have, and what a message calls it.
_REQUIRED: Final = {'__webpack_require__.p = "/"': _PUBLIC_PATH, "'/dicom-microscopy-viewer/": _MICROSCOPY}
_BEGIN: Final = re.compile(rb"\A\(\(\)\s*=>\s*\{(?!\s*['\"])")
_BEGIN_ONCE: Final = rb"\g<0>if (window.stillframeStarted) return; window.stillframeStarted = true;"
_SCRIPT: Final = re.compile(r"[^/]+\.js")
_ROOTED_URL: Final = re.compile(r"url\((['\"]?)/(?!/)")

_PAGE_SCRIPT: Final = re.compile(r'<script defer src="/([^"/]+\.js)"></script>')
_PAGE_STYLE: Final = re.compile(r'<link href="/([^"/]+\.css)" rel="stylesheet">')
# What OHIF's page has besides; the site's page has it, too.
_PAGE_PARTS: Final = ('window.PUBLIC_URL="/"', "browserImportFunction", 'id="root"', 'id="react-portal"')

_PLUGIN: Final = re.compile(r'pluginImports_(?:extensions|modes)\.push\("([^"]+)"\)')
_MODULE: Final = re.compile(r'if\s*\(module\s*===\s*"([^"]+)"\)\s*\{(.*?)return\b', re.DOTALL)
_EXTENSION: Final = re.compile(r"[\"'](@ohif/extension-[\w-]+)[\"']")
_CHUNK: Final = re.compile(rf"{_REQUIRE}\.e\((?:/\*.*?\*/ ?)?\"?(\w[\w-]*)\"?\)")
_WORKER: Final = re.compile(rf"new Worker\(new URL\((?:/\*.*?\*/ ?)?{_REQUIRE}\.p\s*\+\s*{_REQUIRE}\.u\((\d+)\)")
_DECODER: Final = re.compile(rf"openjphWasm\s*=\s*new URL\((?:/\*.*?\*/ ?)?{_REQUIRE}\((\d+)\)")
_WASM: Final = (
    r'(?<!\d){}\([\w, ]*\)\s*\{{\s*(?:"use strict";\s*)?'
    r'module\.exports\s*=\s*__webpack_require__\d*\.p\s*\+\s*"([^"]+\.wasm)"'
)
_FIRST_MODE: Final = "@ohif/mode-longitudinal"  # of the route `viewer`


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerPage:
    """What OHIF's page loads, by paths below its folder.

    `script` is the application, `styles` are those of its own page. `preloads` are the scripts and style sheets that it
    goes on to load for the first picture. No link preloads the `early` files: the worker that decodes, and its decoder.
    `again` are the scripts that do nothing when they run a second time in a page.
    """

    script: str
    styles: tuple[str, ...]
    preloads: tuple[str, ...]
    early: tuple[str, ...]
    again: tuple[str, ...]


def is_left_out(path: str) -> bool:
    """Whether a file of OHIF's folder is not needed, or has a name that no URL of a site may have."""
    return bool(_LEFT_OUT.fullmatch(path)) or not is_asset_path(path)


def rewrite(path: str, data: bytes, page: ViewerPage) -> bytes:
    """A file of OHIF's folder, naming the others relatively to itself; the application of its page starts once."""
    if _SCRIPT.fullmatch(path):
        for pattern, replacement in _REPLACED:
            data = pattern.sub(replacement, data)
        if path == page.script:
            data = _BEGIN.sub(_BEGIN_ONCE, data)
    elif path.endswith(".css") and "/" not in path:
        data = _ROOTED_URL.sub(r"url(\1", data.decode()).encode()
    return data


def read_page(html: str, paths: Iterable[str], read: Callable[[str], str]) -> ViewerPage:
    """What the page of a viewer loads.

    Args:
        html: OHIF's own page.
        paths: of the files in its folder.
        read: the text of one of them, as it came.

    Raises:
        UsageError: if it is no page of OHIF, or of one that is built in another way than those that are known.
    """
    scripts, styles = tuple(_PAGE_SCRIPT.findall(html)), tuple(_PAGE_STYLE.findall(html))
    missing = [part for part in _PAGE_PARTS if part not in html]
    if missing or len(scripts) != 1 or not styles:
        what = missing[0] if missing else "one deferred script and a style sheet"
        raise UsageError(f"no page of OHIF that is known how to rewrite: its index.html lacks {what}")
    known = set(paths)
    for name in (*scripts, *styles):
        if name not in known:
            raise UsageError(f"OHIF's folder is not complete: its index.html names {name}, which is not there")
    app = read(scripts[0])
    data = app.encode()
    for part, pattern in _REQUIRED.items():
        if not pattern.search(data):
            raise UsageError(f"no OHIF that is known how to rewrite: nowhere in {scripts[0]} is {part}")
    chunks = _Chunks(app, known, read)
    preloads = chunks.first()
    again = (scripts[0], *filter(_SCRIPT.fullmatch, preloads)) if _BEGIN.match(data) else ()
    return ViewerPage(script=scripts[0], styles=styles, preloads=preloads, early=chunks.decoder(), again=again)


class _Chunks:
    """The scripts into which OHIF is split, by what they say of each other."""

    def __init__(self, app: str, paths: Iterable[str], read: Callable[[str], str]) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._read = read
        self._scripts: Mapping[str, str] = {
            path.partition(".")[0]: path for path in self._paths if re.fullmatch(r"[\w-]+\.bundle\.\w+\.js", path)
        }
        self._texts: dict[str, str] = {}

    def first(self) -> tuple[str, ...]:
        """What is loaded before a study shows: extensions and modes of the start, extensions of the study's mode."""
        modules = dict(_MODULE.findall(self._app))
        names = dict.fromkeys(_PLUGIN.findall(self._app))
        for chunk in _CHUNK.findall(modules.get(_FIRST_MODE, "")):
            names.update(dict.fromkeys(_EXTENSION.findall(self._text(chunk))))
        found = dict.fromkeys(chunk for name in names for chunk in _CHUNK.findall(modules.get(name, "")))
        files = (file for chunk in found for file in (self._scripts.get(chunk, ""), f"{chunk}.css"))
        return tuple(file for file in files if file in self._paths)

    def decoder(self) -> tuple[str, ...]:
        """The worker that decodes frames, and the decoder of HTJ2K."""
        for chunk in _WORKER.findall(self._app):
            text = self._text(chunk)
            for module in _DECODER.findall(text):
                wasm = re.search(_WASM.format(module), text)
                if wasm:
                    return self._scripts[chunk], wasm[1]
        return ()

    def _text(self, chunk: str) -> str:
        if chunk not in self._texts:
            self._texts[chunk] = self._read(self._scripts[chunk]) if chunk in self._scripts else ""
        return self._texts[chunk]
