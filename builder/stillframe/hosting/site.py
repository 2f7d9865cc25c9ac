"""The files of a site beside an archive: the study page, and with a viewer OHIF, its configuration and browser module.

A listing: which files there are, by key, and how their bytes are had. `site_keys` says the headers of each, and
`publish_site` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from stillframe.hosting.pages import render, render_study_page, study_page_files, templates_folder
from stillframe.hosting.service_script import service_script
from stillframe.hosting.site_keys import INDEX, SERVICE_SCRIPT, VIEWER_ROUTES
from stillframe.hosting.viewer_config import CONFIG, render_viewer_config
from stillframe.hosting.viewer_folder import Viewer

_MARK: Final = b"stillframe site"
# The script that names the service is one line, which hosts write as well.
_SERVICE_MARK: Final = b"window.stillframe = {"


@dataclass(frozen=True, slots=True)
class Site:
    """A site's files: key to the function that gives its bytes, as they are without compression."""

    files: Mapping[str, Callable[[], bytes]]


def list_site(viewer: Viewer | None = None, root: str = "") -> Site:
    """The files of a site.

    `root` is the absolute URL of the service root, without a slash at its end; empty if the archive lies in the same
    folder as the site.
    """
    pages: dict[str, Callable[[], bytes]] = {
        **{file.name: file.read_bytes for file in study_page_files()},
        INDEX: lambda: render_study_page(viewer=viewer is not None).encode(),
        SERVICE_SCRIPT: lambda: service_script(root).encode(),
        "stillframe.js": partial(_template, "stillframe.js"),  # for pages with Cornerstone3D as well
    }
    if viewer is None:
        return Site(pages)
    page = partial(_viewer_page, viewer, root)
    return Site(
        {
            **{f"{viewer.folder}{path}": partial(viewer.read, path) for path in viewer.files},
            **pages,
            CONFIG: lambda: render_viewer_config().encode(),
            **dict.fromkeys(VIEWER_ROUTES, page),
        }
    )


def is_of_site(key: str, data: bytes) -> bool:
    """Whether a page or script is of a site, as each says. Others have files of such names, too."""
    return (_SERVICE_MARK if key == SERVICE_SCRIPT else _MARK) in data.lower()


def content_policy(root: str = "") -> str:
    """The Content-Security-Policy of OHIF's page: patient data go to no foreign host, and no script comes from one.

    It is in the page itself, because a bucket sends no such header. OHIF sets styles of its own, compiles decoders,
    makes functions of texts (its ndarray does, for segmentations), and shows what it fetched by URLs that it makes up.
    """
    parts = urlsplit(root)
    service = f" {parts.scheme}://{parts.netloc}" if root else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            f"img-src 'self' data: blob:{service}",
            f"connect-src 'self' data: blob:{service}",
            f"media-src 'self' data: blob:{service}",
            f"frame-src 'self' data: blob:{service}",
            f"object-src 'self' data: blob:{service}",
            "worker-src 'self' blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _viewer_page(viewer: Viewer, root: str) -> bytes:
    text = render("viewer.html.j2", page=viewer.page, folder=viewer.folder, policy=content_policy(root))
    return text.encode()


def _template(name: str) -> bytes:
    return (templates_folder() / name).read_bytes()
