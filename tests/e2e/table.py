"""The table of kinds and viewers: what is expected, for docs/conformance.md, and what was seen.

`python -m tests.e2e.table RESULTS` prints what a run has seen, and what of it was not expected.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.kind import Kind
from tests.e2e.kinds import KINDS
from tests.e2e.limits import LIMITS, VIEWERS, limits_of


def expected_table() -> str:
    """Markdown: a row for each kind, a column for each viewer."""
    rows = [[kind.name, *(_expected_cell(kind, viewer) for viewer in VIEWERS)] for kind in KINDS]
    return _markdown(["kind", *VIEWERS.values()], rows)


def limits_table() -> str:
    """Markdown: the limits that the other table names."""
    return _markdown(["not right", "why", "what to do"], [[limit.name, limit.cause, limit.remedy] for limit in LIMITS])


def _expected_cell(kind: Kind, viewer: str) -> str:
    if viewer == "cornerstone" and not kind.page:
        return "–"
    limit = limits_of(kind.name).get(viewer)
    if limit is None:
        return "right"
    return f"right with the module; without: {limit.name}" if limit.module else f"not right: {limit.name}"


def seen_table(results: Sequence[dict[str, Any]]) -> str:
    """What a run has seen: a row for each kind, a column for each host and viewer, with the seconds that it took."""
    columns = sorted({(result["host"], result["viewer"]) for result in results}, key=_order)
    rows = []
    for kind in KINDS:
        found = [
            [r for r in results if r["key"] == kind.key and (r["host"], r["viewer"]) == column] for column in columns
        ]
        if any(found):
            rows.append([kind.name, *map(_seen_cell, found)])
    return _aligned(["kind", *(f"{host} {viewer}" for host, viewer in columns)], rows)


def _order(column: tuple[str, str]) -> tuple[int, int]:
    host, viewer = column
    return ["serve", "nginx", "bucket"].index(host), list(VIEWERS).index(viewer)


def _seen_cell(views: Sequence[dict[str, Any]]) -> str:
    if not views:
        return "–"
    words = "right" if all(view["right"] for view in views) else "NOT RIGHT"
    if any(is_surprise(view) for view in views):
        words += " (!)"
    return f"{words} {sum(view['seconds'] for view in views):.0f} s"


def is_surprise(result: dict[str, Any]) -> bool:
    """Whether something is right that is known not to be, or the other way round."""
    return bool(result["right"] == result["known"])


def surprises(results: Iterable[dict[str, Any]]) -> list[str]:
    """Lines that tell what was not expected."""
    return [
        f"{result['host']}, {result['viewer']}, {result['key']}: "
        + (
            "right, though limits.py names a limit"
            if result["right"]
            else "; ".join([result["seen"], *result["complaints"]])
        )
        for result in results
        if is_surprise(result)
    ]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def main(path: Path) -> None:
    results = json.loads(path.read_text(encoding="utf-8"))
    print(seen_table(results))
    unexpected = surprises(results)
    print(*["", f"{len(unexpected)} surprises", *unexpected], sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
