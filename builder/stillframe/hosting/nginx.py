"""Renders the configuration with which nginx serves a directory tree and its site, from `templates/nginx.conf.j2`.

Media types that depend on an object's first bytes come from `templates/nginx.js`, which nginx's njs module runs.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from stillframe.errors import UsageError
from stillframe.hosting.pages import render, templates_folder
from stillframe.hosting.service_script import named_root
from stillframe.hosting.site_keys import SERVICE_SCRIPT, compressed_types, extensions_by_type

MODULE: Final = "ngx_http_js_module.so"
# Where Debian, Red Hat, nginx.org's packages, Alpine and FreeBSD have modules.
_MODULE_FOLDERS: Final = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/etc/nginx/modules",
    "/usr/share/nginx/modules",
    "/usr/local/libexec/nginx",
)
_SERVER_NAME = re.compile(r"_|[A-Za-z0-9*.-]{1,253}")
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_-]+)*")
_ADDRESS = re.compile(r"[0-9A-Za-z.:-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxSettings:
    """How nginx is to serve a tree.

    `tree` is an absolute folder; `root_path` is the path of the service root, "" for that of the host; `service_url` is
    the URL of the service that the pages of the site are for, "" for this one; `module` is the file of the njs module,
    "" if nginx has it built in; `script` is a copy of `templates/nginx.js`; `complete` makes a whole configuration file
    instead of a part of an http block.
    """

    tree: Path
    script: Path
    module: str
    host: str = "127.0.0.1"
    port: int = 8080
    server_name: str = "_"
    root_path: str = "/dicomweb"
    service_url: str = ""
    complete: bool = True


def script_file() -> Path:
    """The njs script that comes with this package."""
    return templates_folder() / "nginx.js"


def find_service_url(tree: Path) -> str:
    """The URL of the service that the site in a folder is for; empty for that of the folder itself."""
    try:
        return named_root((tree / SERVICE_SCRIPT).read_text(errors="replace"))
    except OSError:
        return ""


def find_module() -> str:
    """The njs module of this machine's nginx, or where Debian's package would put it."""
    candidates = [f"{folder}/{MODULE}" for folder in _MODULE_FOLDERS]
    return next((path for path in candidates if Path(path).is_file()), candidates[0])


def render_nginx(settings: NginxSettings) -> str:
    """The configuration as text.

    Raises:
        UsageError: if nginx's configuration cannot hold a setting, naming it.
    """
    if not _SERVER_NAME.fullmatch(settings.server_name):
        raise UsageError(f"not a server name: {settings.server_name!r}")
    if not _ADDRESS.fullmatch(settings.host):
        raise UsageError(f"not an address to listen on: {settings.host!r}")
    if not _ROOT_PATH.fullmatch(settings.root_path):
        raise UsageError(f"the root path must be like /dicomweb, of letters, digits, - and _: {settings.root_path!r}")
    address = f"{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    site = {"site_types": extensions_by_type(), "site_compressed": compressed_types()}
    return render("nginx.conf.j2", quoted=_quote, address=address, **site, **asdict(settings))


def _quote(file: Path | str, after: str = "", before: str = "") -> str:
    """A path as a quoted string of nginx's configuration, between texts that are nginx's own.

    Raises:
        UsageError: if nginx could not read it: it has no way to write a dollar sign.
    """
    path = str(file)
    if "$" in path or not path.isprintable():
        raise UsageError(f"nginx's configuration cannot hold this path: {path!r}")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{before}{escaped}{after}"'
