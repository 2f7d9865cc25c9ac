"""The house in numbers: `python -m tests.support.house [PACKAGE]`, with a package that can be imported."""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec

import grimp


def measure(package: str) -> dict[str, int]:
    """Modules and rooms of a package, the imports among them, and how many floors the rooms stand on.

    A room is a folder or a module at the root of the package. One that imports nothing stands on the first floor, any
    other one above the highest that it imports.
    """
    graph = grimp.build_graph(package, cache_dir=None)
    modules = {module for module in graph.modules if module != package}
    arrows = {
        (one, other) for one in modules for other in graph.find_modules_directly_imported_by(one) if other in modules
    }
    rooms = {module.split(".")[1] for module in modules}
    between = {(one.split(".")[1], other.split(".")[1]) for one, other in arrows}
    between = {(one, other) for one, other in between if one != other}

    return {
        "modules": len(modules),
        "imports among them": len(arrows),
        "rooms": len(rooms),
        "imports among rooms": len(between),
        "floors": _floors(rooms, between),
    }


def _floors(rooms: set[str], arrows: set[tuple[str, str]]) -> int:
    """How many floors there are; 0 where a circle leaves no floor for a room."""
    order = TopologicalSorter({room: {other for one, other in arrows if one == room} for room in rooms})
    try:
        order.prepare()
    except CycleError:
        return 0
    floors = 0
    while order:
        order.done(*order.get_ready())
        floors += 1
    return floors


if __name__ == "__main__":
    sys.path.insert(0, ".")
    name = sys.argv[1] if len(sys.argv) > 1 else "stillframe"
    if find_spec(name) is None:
        sys.exit(f"no package {name}")
    for what, count in measure(name).items():
        print(f"{count:>5} {what}")
