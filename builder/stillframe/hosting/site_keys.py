"""Keys of the site beside an archive: study page, viewer and browser module, and what a host says of each.

A site lies under the same destination as its archive, and shares no key with it (`layout`). A key names its file's
media type and how long it may be cached, so that a host needs no side file. `infra/edge.js` and `templates/nginx.js`
have the same rule.
"""

from __future__ import annotations

import re
from typing import Final

INDEX: Final = "index.html"
"""The study page. Its scripts and styles are named `study-…`."""
SERVICE_SCRIPT: Final = "service.js"
VIEWER_SCRIPTS: Final = ("app-config.js", "stillframe.js")
VIEWER_ROUTES: Final = (
    "basic", "basic-test", "dev", "dynamic-volume", "local", "localbasic", "microscopy", "notfoundserver",
    "notfoundstudy", "segmentation", "tmtv", "usAnnotation", "viewer", "worklist",
)  # fmt: skip
"""Pages of OHIF: the routes of its modes, those it has itself, and its list of studies. All are the same page."""
SHELL: Final = frozenset((INDEX, SERVICE_SCRIPT, *VIEWER_SCRIPTS, *VIEWER_ROUTES))
"""Keys of pages, and of scripts that they name. They change with the site; those of the study page are more."""

ASSETS: Final = "ohif"
"""Below it, in a folder named by the digest of all its content, lies the rest of OHIF, which never changes."""
GZIP_SUFFIX: Final = ".gz"
"""A folder holds a compressed copy beside an asset; no URL names it."""
DIGEST_CHARACTERS: Final = 16

IMMUTABLE: Final = "public, max-age=31536000, immutable"
NO_CACHE: Final = "no-cache"

_PAGE_PART: Final = re.compile(r"study-[a-z]+\.(?:css|js)")
_NAME: Final = r"[0-9A-Za-z_@+~,=-][0-9A-Za-z_@+~,=.-]*"
_ASSET: Final = re.compile(rf"{ASSETS}/[0-9a-f]{{{DIGEST_CHARACTERS}}}(?:/{_NAME})+")
_ASSET_PATH: Final = re.compile(rf"{_NAME}(?:/{_NAME})*")
_MAX_KEY: Final = 512

_HTML: Final = "text/html; charset=utf-8"
_TYPES: Final = {
    "html": _HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "jsonc": "application/json",
    "wasm": "application/wasm",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
}
_COMPRESSED: Final = frozenset(("html", "css", "js", "mjs", "json", "jsonc", "wasm", "svg", "ttf", "txt"))


def find_site_key(path: str) -> str:
    """The key of the site's file that a path names as it was sent, without query; "" for none.

    Nothing is decoded, and no slash at the end is taken off: a page there would take its relative URLs for others.
    """
    if path == "/":
        return INDEX
    key = path.removeprefix("/")
    return key if path != key and is_site_key(key) else ""


def is_site_key(key: str) -> bool:
    """Whether a file of the site may have this key."""
    if len(key) > _MAX_KEY or key.endswith(GZIP_SUFFIX):
        return False
    return is_shell(key) or bool(_ASSET.fullmatch(key))


def is_shell(key: str) -> bool:
    """Whether a key is of a page, or of a script that a page names: these change with the site."""
    return key in SHELL or bool(_PAGE_PART.fullmatch(key))


def is_asset_path(path: str) -> bool:
    """Whether a file of a viewer can lie at this path below the folder of its digest."""
    return bool(_ASSET_PATH.fullmatch(path)) and is_site_key(f"{ASSETS}/{'0' * DIGEST_CHARACTERS}/{path}")


def site_media_type(key: str) -> str:
    """The Content-Type of a site's file."""
    return _HTML if key in VIEWER_ROUTES else _TYPES.get(_extension(key), "application/octet-stream")


def extensions_by_type() -> dict[str, list[str]]:
    """The media types of files that have an extension, each with its extensions."""
    found: dict[str, list[str]] = {}
    for extension, media_type in _TYPES.items():
        found.setdefault(media_type, []).append(extension)
    return found


def compressed_types() -> list[str]:
    """The media types of files that are sent compressed."""
    return list(dict.fromkeys(_TYPES[extension] for extension in _TYPES if extension in _COMPRESSED))


def is_compressed(key: str) -> bool:
    """Whether a site's file is sent compressed to those who accept that."""
    return key in VIEWER_ROUTES or _extension(key) in _COMPRESSED


def site_cache_control(key: str) -> str:
    """The Cache-Control header of a site's file."""
    return NO_CACHE if is_shell(key) else IMMUTABLE


def _extension(key: str) -> str:
    return key.rpartition("/")[2].rpartition(".")[2].lower()
