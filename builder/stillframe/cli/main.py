"""The command line: its commands, a file each, and how it reports their failures.

Exit codes: 0 all is published, 2 finished but some inputs were rejected, 1 could not finish.
Commands import libraries when they run: `stillframe --help` must not wait for them.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click

from stillframe import __version__
from stillframe.cli.build import build
from stillframe.cli.delete import delete
from stillframe.cli.grant import grant
from stillframe.cli.index import index
from stillframe.cli.inspect import inspect
from stillframe.cli.nginx import nginx
from stillframe.cli.serve import serve
from stillframe.cli.terminal import quiet_libraries, shown_waits
from stillframe.errors import StillframeError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stillframe")
def cli() -> None:
    """DICOM studies in, a static DICOMweb service out."""


for command in (build, delete, index, serve, inspect, nginx, grant):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and exit code 1."""
    try:
        # SIGTERM, which ends jobs in clusters and services, does what Ctrl-C does.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        with quiet_libraries(), shown_waits(sys.stderr):
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
        # If the signal came while an extension module was imported, sys.exit would end as if by the signal.
        os._exit(1)
    except BrokenPipeError:
        # Nobody reads the output any more. Closing stdout at exit would complain about that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (StillframeError, OSError) as error:
        click.echo(f"stillframe: {error}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
