"""`service.js`: the line of script that tells the pages of a site where their DICOMweb service is. Pure."""

from __future__ import annotations

import json
import re
from typing import Final

_NAMED: Final = re.compile(r'window\.stillframe = \{ root: ("(?:[^"\\]|\\.)*") \};\n')


def service_script(root: str = "") -> str:
    """The script for a site whose archive is elsewhere, at the absolute URL `root`, or else in the same folder."""
    return f"window.stillframe = {{ root: {json.dumps(root)} }};\n" if root else service_script_beside("./")


def service_script_beside(path: str) -> str:
    """The script of a host whose service root has this path, with a slash at its end: absolute, or from the site's."""
    url = f"new URL({json.dumps(path)}, document.currentScript.src).href"
    return f"window.stillframe = {{ root: {url}.slice(0, -1) }};\n"


def named_root(script: str) -> str:
    """The URL that a script of `service_script` names; empty if it names none."""
    found = _NAMED.fullmatch(script)
    return str(json.loads(found[1])) if found else ""
