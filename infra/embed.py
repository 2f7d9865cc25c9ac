"""Puts edge.js into archive.yaml, whose function has its code inline: python infra/embed.py"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
TEMPLATE: Final = FOLDER / "archive.yaml"
_BEGIN: Final = "        - | # edge.js, put here by embed.py\n"
_END: Final = "        - # values for edge.js\n"
_INDENT: Final = " " * 10


def embed(template: str, code: str) -> str:
    """The template with `code` as its function's code.

    Raises:
        ValueError: if the template lacks the lines between which the code belongs.
    """
    before, begin, rest = template.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no place for the code: expected {_BEGIN.strip()!r} and {_END.strip()!r}")
    lines = [f"{_INDENT}{line}".rstrip() for line in code.splitlines()]
    return "".join((before, begin, "\n".join(lines), "\n", end, after))


if __name__ == "__main__":
    TEMPLATE.write_text(embed(TEMPLATE.read_text(), (FOLDER / "edge.js").read_text()))
