"""Names the paths that a CDN must drop when objects changed: few paths, and none that covers other UIDs.

CloudFront's rules (Developer Guide, "Specify the objects to invalidate"): a path begins with a slash; `*` at its end
stands for anything; where a function rewrites URLs, the path is to be named as it is before and after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from stillframe.layout import instances_key, parse_key, study_series_key

# More instances of a series than this, or series of a study, are named as a whole.
_MOST_INSTANCES: Final = 3
_MOST_SERIES: Final = 3


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What a distribution of CloudFront was told: the paths, the IDs of its invalidations, and why it failed, if so."""

    distribution: str
    paths: tuple[str, ...]
    ids: tuple[str, ...] = ()
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        """As reports have it."""
        return {
            "distribution": self.distribution,
            "paths": list(self.paths),
            "ids": list(self.ids),
            **({"failure": self.failure} if self.failure else {}),
        }


def url_prefixes(base_url: str, key_prefix: str) -> tuple[str, ...]:
    """What stands before keys in the paths of URLs, as viewers ask and as a function at the edge may rewrite them.

    Args:
        base_url: public URL of the service root; without it the root is that of the host.
        key_prefix: where the archive lies in its bucket, without slashes around it; empty for the whole bucket.
    """
    public = urlsplit(base_url).path.rstrip("/")
    stored = f"/{key_prefix}" if key_prefix else ""
    return (public,) if public == stored else (public, stored)


def invalidation_paths(changed: Iterable[tuple[str, str]], prefixes: Iterable[str]) -> tuple[str, ...]:
    """The paths that cover some objects, each prefix before them, sorted.

    An instance is its own path and all below it. If many instances of a series changed, one path names all of its
    instances. If many series of a study changed, one path names all of its series.

    Args:
        changed: name of the root within the archive, empty for its own, and key within it, of every object.
        prefixes: as from `url_prefixes`.
    """
    instances: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for root, key in changed:
        parsed = parse_key(key)
        instances[root, parsed.study][parsed.series].add(parsed.instance)
    resources = []
    for (root, study), series in sorted(instances.items()):
        before = f"/{root}" if root else ""
        resources += [f"{before}/{resource}" for resource in _resources(study, series)]
    return tuple(sorted(f"{prefix}{resource}" for prefix in prefixes for resource in resources))


def _resources(study: str, series: dict[str, set[str]]) -> list[str]:
    if len(series) > _MOST_SERIES:
        return [f"{study_series_key(study)}/*"]
    resources = []
    for uid, instances in series.items():
        key = instances_key(study, uid)
        if len(instances) > _MOST_INSTANCES:
            resources.append(f"{key}/*")
        else:
            resources += [f"{key}/{instance}{end}" for instance in instances for end in ("", "/*")]
    return resources


def is_wildcard(path: str) -> bool:
    """Whether a path stands for several; CloudFront counts those by themselves."""
    return path.endswith("*")
