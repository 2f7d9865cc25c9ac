"""`stillframe serve`: a preview of a tree on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from stillframe.cli.shared_options import FOLDER, host_option, viewer_option


@click.command(short_help="Preview a tree in a browser or a viewer.")
@click.argument("directory", metavar="DIR", type=FOLDER)
@host_option
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen on.")
@viewer_option("Folder of a prebuilt OHIF viewer (npm package @ohif/app, its dist folder), served at /.")
def serve(directory: Path, host: str, port: int, viewer: Path | None) -> int:
    """Preview the tree DIR. Its service root is /dicomweb, and a page at / lists its studies."""
    from stillframe.hosting.serve import run

    def announce(address: str) -> None:
        if not (directory / "studies" / "index.json").is_file():
            click.echo(_missing_tree(directory), err=True)
        click.echo(f"{directory} at {address}/  (service root {address}/dicomweb); Ctrl-C stops it")

    run(directory, host, port, viewer, announce)
    return 0


def _missing_tree(directory: Path) -> str:
    from stillframe.archive.roots import find_roots
    from stillframe.store.directory import DirectoryStore

    if any(find_roots(DirectoryStore(str(directory)))):
        return f"{directory} holds unlisted studies, each in a folder of its own: stillframe serve {directory}/NAME"
    return f"there is no tree in {directory} yet: stillframe build SOURCE {directory} makes one"
