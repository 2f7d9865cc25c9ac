"""Whether a source lies within a destination, or the reverse: a build would read what it wrote."""

from __future__ import annotations

import errno
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
    path = Path(location)
    try:
        if _is_circle(path):  # some versions of Python resolve these, too
            raise UsageError(f"no path: {location}: its links lead in a circle")
        return path.resolve()
    except (OSError, ValueError) as error:
        raise UsageError(f"no path: {location}: {error}") from error


def _is_circle(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
