"""Puts a site beside an archive: what never changes, then scripts, then pages, so that none names what is missing.

The archive's keys are never touched: a site has none of them (`site_keys`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from stillframe.errors import UsageError
from stillframe.hosting.site import Site, is_of_site
from stillframe.hosting.site_keys import (
    ASSETS,
    GZIP_SUFFIX,
    INDEX,
    SHELL,
    is_compressed,
    is_shell,
    is_site_key,
    site_cache_control,
    site_media_type,
)
from stillframe.hosting.viewer_config import CONFIG, is_edited
from stillframe.parallel import side_by_side
from stillframe.store.web_files import WebFile, WebFiles

_PAGE_PARTS: Final = "study-"  # what the keys of the study page's own files begin with


@dataclass(frozen=True, slots=True)
class SiteReport:
    """How many files of the site were written, were there as they should be, and were removed.

    `kept` says that somebody has edited the viewer's configuration, which therefore stays.
    """

    written: int
    unchanged: int
    removed: int
    kept: bool = False


def publish_site(site: Site, files: WebFiles, *, replace_config: bool = False) -> SiteReport:
    """Make what is there the given site. A job that was killed is run again, and ends in the same.

    A configuration of the viewer that somebody has edited stays, unless `replace_config` is set.

    Raises:
        UsageError: if a file of somebody else has the name of one of the site; nothing is written then.
        StoreError: if the store fails.
    """
    with files.alone():
        found = _find_shell(files, site)
        _refuse_strangers(found, site, files)
        kept = not replace_config and is_edited(found.get(CONFIG, b""))
        if kept:
            del found[CONFIG]
        assets = sorted(key for key in site.files if not is_shell(key))
        there = set(files.list(f"{ASSETS}/"))
        missing = [key for key in assets if key not in there]  # the key holds the digest of the content
        shell = [key for key in _in_order(site.files) if not (kept and key == CONFIG)]
        changed = [key for key in shell if site.files[key]() != found.get(key)]
        side_by_side(files.parallel, lambda key: files.put(_web_file(site, key)), missing)
        for key in changed:
            files.put(_web_file(site, key))
        removed = _old_files(site, found, there)
        side_by_side(files.parallel, files.delete, removed)
    written = len(missing) + len(changed)
    gone = sum(not key.endswith(GZIP_SUFFIX) for key in removed)
    return SiteReport(written, len(shell) + len(assets) - written, gone, kept)


def _refuse_strangers(found: dict[str, bytes], site: Site, files: WebFiles) -> None:
    for key in filter(is_shell, site.files):
        files.check(key)
    for key, data in found.items():
        if key in site.files and not is_of_site(key, data):
            raise UsageError(f"there is a file {key} that is not of Stillframe: move it away, or choose another place")


def _find_shell(files: WebFiles, site: Site) -> dict[str, bytes]:
    """Pages and scripts that are there, those that a site may have had among them."""
    keys = {*SHELL, *filter(is_shell, site.files), *filter(is_shell, files.list(_PAGE_PARTS))}
    ordered = sorted(keys)
    found = side_by_side(files.parallel, files.get, ordered)
    return {key: data for key, data in zip(ordered, found, strict=True) if data is not None}


def _in_order(keys: Iterable[str]) -> Sequence[str]:
    """The shell's keys in the order in which they are written: scripts, pages, and the study page's own at the end."""
    return sorted(filter(is_shell, keys), key=lambda key: (key == INDEX, "." not in key, key))


def _old_files(site: Site, found: dict[str, bytes], there: set[str]) -> list[str]:
    """What a site has left behind: pages first, then what they name. Other people's files stay."""
    pages = [key for key, data in found.items() if key not in site.files and is_of_site(key, data)]
    kept = {name for key in site.files for name in (key, f"{key}{GZIP_SUFFIX}")}
    assets = [key for key in sorted(there - kept) if is_site_key(key.removesuffix(GZIP_SUFFIX)) or _is_part(key)]
    return sorted(pages, key=lambda key: "." in key) + assets


def _is_part(key: str) -> bool:
    """Whether a key is of a file that a killed job was writing into a folder."""
    folder, _, name = key.rpartition("/")
    return name.startswith(".") and name.endswith(".part") and is_site_key(f"{folder}/x")


def _web_file(site: Site, key: str) -> WebFile:
    return WebFile(
        key=key,
        data=site.files[key](),
        media_type=site_media_type(key),
        cache_control=site_cache_control(key),
        compressed=is_compressed(key),
        copy="" if is_shell(key) else f"{key}{GZIP_SUFFIX}",
    )
