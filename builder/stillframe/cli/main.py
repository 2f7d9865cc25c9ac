"""The command line: its commands, a file each, and how it reports their failures.

Exit codes: 0 all is published, 2 finished but some inputs were rejected, 1 could not finish.
Commands import libraries when they run: `stillframe --help` must not wait for them.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from io import StringIO
from typing import Final, NoReturn

import click

from stillframe import __version__
from stillframe.cli.build import build
from stillframe.cli.delete import delete
from stillframe.cli.grant import grant
from stillframe.cli.index import index
from stillframe.cli.inspect import inspect
from stillframe.cli.merge_reports import merge_reports
from stillframe.cli.nginx import nginx
from stillframe.cli.serve import serve
from stillframe.cli.site import site
from stillframe.cli.streams import lost_output, safe_streams, tell
from stillframe.cli.terminal import shown_logs
from stillframe.errors import NO_MEMORY, StillframeError, free_reserve, keep_reserve, machine_blamed
from stillframe.process_start import forget_working_folder


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stillframe")
def cli() -> None:
    """DICOM studies in, a static DICOMweb service out."""


for command in (build, merge_reports, delete, index, serve, site, inspect, nginx, grant):
    cli.add_command(command)

# Commands whose work is another than to print; what a job did is in its report.
_JOBS: Final = (["build"], ["merge-reports"], ["delete"], ["index"], ["serve"], ["site"])


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and exit code 1."""
    forget_working_folder()
    keep_reserve()
    with safe_streams():
        try:
            code = _run()
        except MemoryError:  # while a failure was told
            code = 1
            free_reserve()
            tell(f"stillframe: {NO_MEMORY}")
        if reason := lost_output():
            if sys.argv[1:2] not in _JOBS:  # nothing else does the work of the others
                code = code or 1
            tell(f"stillframe: what was to be printed is lost, standard output cannot be written: {reason}")
    sys.exit(code)


def _run() -> int:
    """The exit code of the command, after what went wrong has been told."""
    try:
        # SIGTERM, which ends jobs in clusters and services, does what Ctrl-C does; also where a shell's background has
        # Ctrl-C ignored.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with shown_logs(), machine_blamed():
            code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        with StringIO() as text:
            error.show(text)
            sys.stderr.write(text.getvalue())
    except (click.Abort, KeyboardInterrupt):
        again = "run it again" if sys.argv[1:2] in (["delete"], ["index"], ["site"]) else "build again"
        tell(f"stillframe: stopped; {again} to go on from here")
        # If the signal came while an extension module was imported, sys.exit would end as if by the signal.
        os._exit(1)
    except (StillframeError, OSError) as error:
        tell(f"stillframe: {error}")
    except Exception:
        tell("stillframe: this is a fault of Stillframe; please report it with the lines below")
        sys.stderr.write(traceback.format_exc())
    return 1
