"""`stillframe site`: puts study page and viewer beside an archive."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from stillframe.cli.shared_options import public_root_option, store_options, viewer_option
from stillframe.cli.streams import say, tell
from stillframe.cli.terminal import plural
from stillframe.errors import UsageError
from stillframe.layout import STUDIES, path_of_key
from stillframe.store.s3_client import SCHEME, Bucket, S3Settings, check_place, check_prefix, parse_location

if TYPE_CHECKING:
    from stillframe.hosting.publish_site import SiteReport
    from stillframe.store.base import Store
    from stillframe.store.web_files import WebFiles


@click.command(short_help="Put a study page and a viewer beside an archive.")
@click.argument("destination", metavar="DEST")
@viewer_option(
    "Folder of a prebuilt OHIF viewer (npm package @ohif/app, its dist folder). Without it: no viewer, and one that is "
    "in DEST is removed."
)
@public_root_option("URL of the service root, if the archive is not in DEST.")
@click.option("--replace-config", is_flag=True, help="Write app-config.js anew, even if somebody has edited it.")
@store_options
def site(destination: str, viewer: Path | None, root: str, replace_config: bool, s3: S3Settings) -> int:
    """Put a page that lists the studies, and OHIF, into DEST, a folder or s3://bucket/prefix that holds an archive.

    Everything there is named relatively, so it works below any address. Run it again after an update of Stillframe or
    of OHIF; the archive is never touched. The viewer's configuration is app-config.js, which stays once you have edited
    it. A folder is then served by stillframe serve or by nginx, a bucket by itself or behind CloudFront.
    """
    from stillframe.hosting.publish_site import publish_site
    from stillframe.hosting.site import list_site
    from stillframe.hosting.viewer_folder import read_viewer

    files, archive = _open(destination, s3)
    found = read_viewer(viewer.resolve()) if viewer else None
    report = publish_site(list_site(found, root.rstrip("/")), files, replace_config=replace_config)
    say(f"{destination}: study page{' and viewer' if viewer else ''}: {_count(report)}")
    if report.kept:
        tell("app-config.js has been edited, and stays as it is: --replace-config writes it anew")
    if not viewer and report.removed:
        tell("the viewer that was there is removed; --viewer DIST puts one there")
    if not root and not _holds_archive(archive):
        tell(f"there is no archive in {destination} yet: stillframe build SOURCE {quote(destination)} makes one")
    say(_where_to_open(destination, s3))
    return 0


def _open(destination: str, s3: S3Settings) -> tuple[WebFiles, Store]:
    """Where the site's files go, and the archive that may be there; a bucket is asked whether it answers."""
    from stillframe.store.web_files import WebBucket, WebFolder

    check_place(destination)
    if destination.startswith(SCHEME):
        from stillframe.store.s3 import S3Store

        name, prefix = parse_location(destination)
        check_prefix(prefix, destination)
        bucket = Bucket(name, s3)
        remote = S3Store(bucket, prefix)
        remote.check()
        return WebBucket(bucket, prefix), remote
    from stillframe.store.directory import DirectoryStore

    folder = Path(destination).resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the destination is not a folder: {destination}")
    for parent in folder.parents:
        if folder.relative_to(parent).parts[0] == STUDIES and (parent / path_of_key(STUDIES)).is_file():
            raise UsageError(f"{destination} lies within an archive, whose folder is {parent}")
    return WebFolder(folder), DirectoryStore(str(folder))


def _holds_archive(store: Store) -> bool:
    from stillframe.archive.roots import find_roots

    return store.head(STUDIES) is not None or any(find_roots(store))


def _count(report: SiteReport) -> str:
    parts = [f"{plural(report.written, 'file')} written"] if report.written else []
    parts += [f"{report.unchanged} unchanged"] if report.unchanged else []
    parts += [f"{report.removed} removed"] if report.removed else []
    return ", ".join(parts)


def _where_to_open(destination: str, s3: S3Settings) -> str:
    if not destination.startswith(SCHEME):
        return f"Look at it: stillframe serve {quote(destination)}"
    bucket, prefix = parse_location(destination)
    key = f"{prefix}/index.html".lstrip("/")
    if not s3.endpoint_url:
        return (
            f"Open it through CloudFront, or if everybody may read the bucket: https://{bucket}.s3.amazonaws.com/{key}"
        )
    return f"If everybody may read the bucket, open {s3.endpoint_url.rstrip('/')}/{bucket}/{key}"
