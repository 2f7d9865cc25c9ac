"""Which paths a CDN is to forget when objects that never change otherwise did: few, and none that covers other UIDs.

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
    """What a distribution of CloudFront was told: the paths, the IDs of its invalidations, and why not if it failed."""

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

    An instance is its own path and all below it. Where many instances of a series changed it is all of them, where many
    series of a study did it is all of these.

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
    found = []
    for uid, instances in series.items():
        place = instances_key(study, uid)
        if len(instances) > _MOST_INSTANCES:
            found.append(f"{place}/*")
        else:
            found += [f"{place}/{instance}{end}" for instance in instances for end in ("", "/*")]
    return found


def is_wildcard(path: str) -> bool:
    """Whether a path stands for several; CloudFront counts those by themselves."""
    return path.endswith("*")
