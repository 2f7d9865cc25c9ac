"""OHIF's `app-config.js` as a site writes it, and whether somebody has changed it since. Pure, texts in and out.

Its second line has a digest of the others. One that does not match says that somebody has set up the viewer in another
way; a file without that line is of an older version, or of nobody who wants it kept.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from stillframe.hosting.pages import TITLE, render

CONFIG: Final = "app-config.js"
_SEAL: Final = "// An edited file stays as it is when the site is written again. As it was written: sha256 {}\n"
_SEALED: Final = re.compile(re.escape(_SEAL).replace(r"\{\}", "([0-9a-f]{64})").replace("\\\n", "\r?\n").encode())


def render_viewer_config() -> str:
    """The configuration, for the service that `service.js` names, which the page loads before."""
    text = render(f"{CONFIG}.j2", title=TITLE)
    first, _, rest = text.partition("\n")
    return f"{first}\n{_SEAL.format(hashlib.sha256(text.encode()).hexdigest())}{rest}"


def is_edited(data: bytes) -> bool:
    """Whether a configuration that a site wrote is not as it was written any more."""
    found = _SEALED.search(data)
    if found is None:
        return False
    return hashlib.sha256(data[: found.start()] + data[found.end() :]).hexdigest() != found[1].decode()
