"""The command line. It, the modules of its larger commands (`cli_…`) and `terminal` are all that prints.

Exit codes: 0 all is published, 2 finished but some inputs were rejected, 1 could not finish.
Libraries are imported inside the commands: `stillframe --help` must not wait for them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from builder import __version__
from builder.cli_archive import delete, index
from builder.cli_build import build
from builder.cli_hosting import grant, nginx
from builder.errors import StillframeError
from builder.terminal import shown_waits


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stillframe")
def cli() -> None:
    """DICOM studies in, a static DICOMweb service out."""


cli.add_command(build)
cli.add_command(delete)
cli.add_command(index)
cli.add_command(nginx)
cli.add_command(grant)


@cli.command(short_help="Preview a tree in a browser or a viewer.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen on.")
@click.option(
    "--viewer",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    metavar="DIST",
    help="Folder of a prebuilt OHIF viewer (npm package @ohif/app, its dist folder), served at /.",
)
def serve(directory: Path, host: str, port: int, viewer: Path | None) -> int:
    """Preview the tree DIR: it answers under /dicomweb, with a page that lists its studies at /."""
    from builder.serve import run

    def announce(address: str) -> None:
        if not (directory / "studies" / "index.json").is_file():
            click.echo(_missing_tree(directory), err=True)
        click.echo(f"{directory} at {address}/  (service root {address}/dicomweb); Ctrl-C stops it")

    run(directory, host, port, viewer, announce)
    return 0


def _missing_tree(directory: Path) -> str:
    from builder.directory_store import DirectoryStore
    from builder.roots import find_roots

    if any(find_roots(DirectoryStore(str(directory)))):
        return f"{directory} holds unlisted studies, each in a folder of its own: stillframe serve {directory}/NAME"
    return f"there is no tree in {directory} yet: stillframe build SOURCE {directory} makes one"


@cli.command(short_help="Show a frame's markers and resolutions.")
@click.argument("frame", metavar="FILE|URL")
def inspect(frame: str) -> int:
    """Show one frame: its markers, its resolutions, and how many bytes reach each of them."""
    from builder.byte_source import file_source, http_source
    from builder.inspection import format_report, inspect_frame

    get_bytes, size = http_source(frame) if "://" in frame else file_source(Path(frame))
    click.echo(format_report(inspect_frame(get_bytes, size)))
    return 0


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and exit code 1."""
    try:
        # What ends jobs in clusters and services: as Ctrl-C does.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        with shown_waits(sys.stderr):
            code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = 1
    except (click.Abort, KeyboardInterrupt):
        again = "run it again" if sys.argv[1:2] in (["delete"], ["index"]) else "build again"
        click.echo(f"stillframe: stopped; {again} to go on from here", err=True)
        sys.stdout.flush()
        # Where the signal met an extension module being imported, sys.exit would end as if by the signal.
        os._exit(1)
    except BrokenPipeError:
        # Whoever read the output is gone; closing stdout again at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (StillframeError, OSError) as error:
        click.echo(f"stillframe: {error}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
