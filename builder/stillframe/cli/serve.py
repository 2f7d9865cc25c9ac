"""`stillframe serve`: a preview of a tree on this machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from stillframe.cli.shared_options import FOLDER, host_option, viewer_option
from stillframe.cli.streams import say, tell


@click.command(short_help="Preview a tree in a browser or a viewer.")
@click.argument("directory", metavar="DIR", type=FOLDER)
@host_option
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen on.")
@viewer_option("Folder of a prebuilt OHIF viewer (npm package @ohif/app, its dist folder).")
@click.option(
    "--cors",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let only pages of this origin read the tree, such as https://viewer.example.org. May be given several times."
    "  [default: pages of all origins]",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Answer under this host name, too. May be given several times.",
)
def serve(
    directory: Path, host: str, port: int, viewer: Path | None, origins: tuple[str, ...], hosts: tuple[str, ...]
) -> int:
    """Preview the tree DIR. Its service root is /dicomweb, and a page at / lists its studies.

    With --viewer, a study of the list opens in OHIF. What stillframe site has put into DIR is served without it, as
    other hosts would serve it.

    There is no access control: the server listens on this machine alone unless --host says otherwise. It answers under
    addresses, localhost and the names of --host and --allow-host. Under any other name it refuses, so that no web page
    can reach the tree by a name of its own.
    """
    from stillframe.hosting.access import Access
    from stillframe.hosting.serve import run

    names = hosts if _is_address(host) else (host, *hosts)
    access = Access(origins=origins, hosts=names)

    def announce(address: str) -> None:
        if not (directory / "studies" / "index.json").is_file():
            tell(_missing_tree(directory))
        if not _is_loopback(host):
            known = ", ".join(("addresses", "localhost", *names))
            tell(f"Other machines can read the tree, without a password; answered under: {known}")
        say(f"{directory} at {address}/  (service root {address}/dicomweb); Ctrl-C stops it")

    run(directory, host, port, viewer, announce, access)
    return 0


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _missing_tree(directory: Path) -> str:
    from stillframe.archive.roots import find_roots
    from stillframe.store.directory import DirectoryStore

    if any(find_roots(DirectoryStore(str(directory)))):
        return f"{directory} holds unlisted studies, each under a service root of its own, /dicomweb/NAME"
    return f"there is no tree in {directory} yet: stillframe build SOURCE {directory} makes one"
