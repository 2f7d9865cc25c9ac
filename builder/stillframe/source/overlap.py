"""Whether a source lies within a destination, or the reverse: a build would read what it wrote."""

from __future__ import annotations

from pathlib import Path

from stillframe.errors import UsageError
from stillframe.store.s3_client import SCHEME, parse_location


def overlap(source: str, destination: str) -> bool:
    """Whether two locations have anything in common. Both of `s3://` are taken to be in the same store.

    Raises:
        UsageError: if one begins with `s3://` and is no location, or is a path that leads nowhere.
    """
    if source.startswith(SCHEME) != destination.startswith(SCHEME):
        return False
    if source.startswith(SCHEME):
        (bucket, prefix), (other, path) = parse_location(destination), parse_location(source)
        outer, inner = sorted((f"{prefix}/".lstrip("/"), f"{path}/".lstrip("/")), key=len)
        return bucket == other and inner.startswith(outer)
    target, path_of_source = _resolved(destination), _resolved(source)
    return target == path_of_source or path_of_source in target.parents or target in path_of_source.parents


def _resolved(location: str) -> Path:
    try:
        return Path(location).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: Python 3.12 says so of a circle of links
        circle = "its links lead in a circle" if isinstance(error, RuntimeError) else str(error)
        raise UsageError(f"no path: {location}: {circle}") from error
