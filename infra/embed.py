"""Puts edge.js where it is needed, too: python infra/embed.py

The function of archive.yaml has its code inline, and nginx's script takes from it what a path names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
TEMPLATE: Final = FOLDER / "archive.yaml"
NGINX_SCRIPT: Final = FOLDER.parent / "templates/nginx.js"
_BEGIN: Final = "        - | # edge.js, put here by embed.py\n"
_END: Final = "        - # values for edge.js\n"
_INDENT: Final = " " * 10
_KEYS_BEGIN: Final = "// Keys, begin: infra/embed.py copies what follows into templates/nginx.js.\n"
_KEYS_END: Final = "// Keys, end.\n"


def embed(template: str, code: str) -> str:
    """The template with `code` as its function's code.

    Raises:
        ValueError: if the template lacks the lines between which the code belongs.
    """
    before, _, after = _split(template, _BEGIN, _END)
    lines = [f"{_INDENT}{line}".rstrip() for line in code.splitlines()]
    return "".join((before, _BEGIN, "\n".join(lines), "\n", _END, after))


def embed_keys(script: str, code: str) -> str:
    """The script of nginx with what `code` has between the lines that tell keys from other paths.

    Raises:
        ValueError: if either lacks those lines.
    """
    before, _, after = _split(script, _KEYS_BEGIN, _KEYS_END)
    return "".join((before, _KEYS_BEGIN, _split(code, _KEYS_BEGIN, _KEYS_END)[1], _KEYS_END, after))


def _split(text: str, begin: str, end: str) -> tuple[str, str, str]:
    before, begins, rest = text.partition(begin)
    between, ends, after = rest.partition(end)
    if not begins or not ends:
        raise ValueError(f"no place for the code: expected {begin.strip()!r} and {end.strip()!r}")
    return before, between, after


if __name__ == "__main__":
    source = (FOLDER / "edge.js").read_text()
    TEMPLATE.write_text(embed(TEMPLATE.read_text(), source))
    NGINX_SCRIPT.write_text(embed_keys(NGINX_SCRIPT.read_text(), source))
