"""A folder like that of OHIF's npm package, as small as one can be that has all that a site looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.served_tree import write_tree

APP: Final = "app.bundle.0123456789abcdef.js"
WORKER: Final = "8097.bundle.89abcdef01234567.js"
DECODER: Final = "37fa160cc3a47cfd.wasm"
_RUNTIME: Final = '__webpack_require__.p = "/";\n'

FILES: Final[dict[str, bytes]] = {
    "index.html": (
        b'<!doctype html><html lang="en"><head><script>window.PUBLIC_URL="/"</script>'
        b'<link rel="manifest" href="/manifest.json"><script rel="preload" as="script" src="/app-config.js"></script>'
        b"<script>function browserImportFunction(n){return import(n)}</script>"
        b'<script defer src="/' + APP.encode() + b'"></script><link href="/app.bundle.css" rel="stylesheet"></head>'
        b'<body><div id="react-portal"></div><div id="root"></div></body></html>'
    ),
    "app-config.js": b"window.config = { its: 'own' };",
    APP: (
        b"(() => {\n"
        b'pluginImports_extensions.push("@ohif/extension-default");\n'
        b'pluginImports_modes.push("@ohif/mode-longitudinal");\n'
        b"async function loadModule(module) {\n"
        b'  if (module === "@ohif/extension-default") {\n'
        b"    const imported = await Promise.all([__webpack_require__.e(12), __webpack_require__.e(13)]);\n"
        b"    return imported.default;\n  }\n"
        b'  if (module === "@ohif/extension-dicom-pdf") {\n'
        b"    const imported = await __webpack_require__.e(/* import() */ 14);\n"
        b"    return imported.default;\n  }\n"
        b'  if (module === "@ohif/mode-longitudinal") {\n'
        b"    const imported = await __webpack_require__.e(/* import() */ 15);\n"
        b"    return imported.default;\n  }\n"
        b'  if (module === "@ohif/extension-test") {\n'
        b"    const imported = await __webpack_require__.e(/* import() */ 16);\n"
        b"    return imported.default;\n  }\n"
        b"  await window.browserImportFunction('/dicom-microscopy-viewer/dicomMicroscopyViewer.min.js');\n}\n"
        b'const logo = { src: "./ohif-logo.svg" };\n'
        b"new Worker(new URL(/* worker import */__webpack_require__.p + __webpack_require__.u(8097), 0));\n"
        + _RUNTIME.encode()
        + b"})();\n"
    ),
    "12.bundle.0000000000000012.js": b"12",
    "13.bundle.0000000000000013.js": b"13",
    "14.bundle.0000000000000014.js": b"14",
    "15.bundle.0000000000000015.js": b"const extensionDependencies = { '@ohif/extension-dicom-pdf': '^3' };",
    "16.bundle.0000000000000016.js": b"16",
    "13.css": b".a{}",
    WORKER: (
        b"const openjphWasm = new URL(/* asset import */__webpack_require__(12342), __webpack_require__.b);\n"
        b"87840(module, __unused_rspack_exports, __webpack_require__) {\n"
        b'"use strict";\nmodule.exports = __webpack_require__.p + "0ddf166f7a343eda.wasm";\n\n},\n'
        b"12342(module, __unused_rspack_exports, __webpack_require__) {\n"
        b'"use strict";\nmodule.exports = __webpack_require__.p + "'
        + DECODER.encode()
        + b'";\n\n},\n'
        + _RUNTIME.encode()
    ),
    DECODER: b"\0asm" + bytes(2000),
    "0ddf166f7a343eda.wasm": b"\0asm",
    "app.bundle.css": b"@font-face{src:url(/a34f9d1faa5f3315.woff2)} .b{background:url(data:,) url(//host/x)}",
    "a34f9d1faa5f3315.woff2": b"wOF2",
    "assets/favicon.ico": b"icon",
    "dicom-microscopy-viewer/dicomMicroscopyViewer.min.js": b"export default 1;",
}
"""What a site takes, and the two files that it has in a form of its own."""

SMALL: Final[dict[str, bytes]] = {
    **FILES,
    APP: (
        b'(()=>{pluginImports_extensions.push("@ohif/extension-default");pluginImports_modes.push("@ohif/mode-longitudinal")'
        b';async function loadModule(module){if(module==="@ohif/extension-default"){const imported=await Promise.all(['
        b"__webpack_require__.e(12),__webpack_require__.e(13)]);return imported.default}"
        b'if(module==="@ohif/extension-dicom-pdf"){const imported=await '
        b"__webpack_require__.e(14);return imported.default}"
        b'if(module==="@ohif/mode-longitudinal"){const imported=await '
        b"__webpack_require__.e(15);return imported.default}"
        b'if(module==="@ohif/extension-test"){const imported=await __webpack_require__.e(16);return imported.default}'
        b'await window.browserImportFunction("/dicom-microscopy-viewer/dicomMicroscopyViewer.min.js")}'
        b'const logo={src:"./ohif-logo.svg"};'
        b'new Worker(new URL(__webpack_require__.p+__webpack_require__.u(8097),0));__webpack_require__.p="/"})();\n'
    ),
    WORKER: (
        b"(()=>{var __webpack_modules__={87840(module,__unused_rspack_exports,__webpack_require__2)"
        b'{"use strict";module.exports=__webpack_require__2.p+"0ddf166f7a343eda.wasm"},'
        b"12342(module,__unused_rspack_exports,__webpack_require__2)"
        b'{"use strict";module.exports=__webpack_require__2.p+"' + DECODER.encode() + b'"}};'
        b"const openjphWasm=new URL(__webpack_require__(12342),__webpack_require__.b);"
        b'__webpack_require__.p="/"})();\n'
    ),
}
"""The same as esbuild 0.25.12 writes it with --minify-whitespace."""

LEFT_OUT: Final[dict[str, bytes]] = {
    "12.bundle.0000000000000012.js.map": b"{}", "ort/ort.js": b"", "ort/esm/ort.min.js": b"", "_headers": b"",
    "_redirects": b"", "sw.js": b"", "init-service-worker.js": b"", "google.js": b"", "manifest.json": b"{}",
    "oidc-client.min.js": b"", "silent-refresh.html": b"", "customizations/tools/ctPresets.jsonc": b"{}",
    "assets/apple-touch-icon.png": b"", "dicom-microscopy-viewer/dataLoader.worker.min.js.map": b"{}",
    ".git/config": b"", "assets/with space.png": b"", "caf\u00e9.js": b"", "app.js.gz": b"", "a;b.js": b"",
}  # fmt: skip
"""What is not needed, and what no URL of a site can name."""


def write_ohif(folder: Path, **changes: bytes) -> Path:
    """Write such a folder, with what is left out of it; some files may have other content."""
    write_tree(folder, {**FILES, **LEFT_OUT, **changes})
    return folder
