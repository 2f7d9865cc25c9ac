"""Which object a URL names, as it was sent: the preview server's half of one rule. `site_keys` has that of a site.

`infra/edge.js` and `templates/nginx.js` have the other half, and tests ask all three about the same URLs. No path is
resolved into another, so that a grant covers an object by the text of its path.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from stillframe.errors import LayoutError
from stillframe.layout import Kind, parse_key, path_of_key

MAX_TARGET: Final = 32_768
"""Bytes of a path and its query together; viewers send some hundreds."""
_MAX_PATH: Final = 4096  # a key has 1024 characters at most, percent-encoded three times as many
_MAX_KEY: Final = 1024  # of Amazon S3
_ROOT_NAME = re.compile(r"[0-9A-Za-z_-]{16,128}")


def find_object(path: str, service_root: str) -> tuple[Kind, str] | None:
    """The object that a path names: its kind, and its file within a directory tree; None if it is no object.

    Percent-encoding is decoded once, but for slashes, which it may not hide, and one slash at the end is taken off. A
    key may stand below the name of a service root of one study.
    """
    if len(path) > _MAX_PATH or "%2f" in path.lower():
        return None
    decoded = unquote(path)
    if not decoded.startswith(f"{service_root}/"):
        return None
    key = decoded.removeprefix(f"{service_root}/").removesuffix("/")
    if len(key) > _MAX_KEY:
        return None
    name, _, rest = key.partition("/")
    root, key = (f"{name}/", rest) if _ROOT_NAME.fullmatch(name) else ("", key)
    try:
        kind = parse_key(key).kind
    except LayoutError:
        return None
    return None if kind is Kind.PENDING else (kind, f"{root}{path_of_key(key)}")


def is_service_root(path: str, service_root: str) -> bool:
    """Whether a path is that of the service root itself, which is no object and yet what people try first.

    At the root of a host the study page is there instead.
    """
    return bool(service_root) and path.removesuffix("/") == service_root


def service_line(service_root: str) -> str:
    """What a service root says of itself."""
    return f"A DICOMweb service. Its list of studies is at {service_root}/studies\n"
