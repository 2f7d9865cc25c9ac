"""`stillframe inspect`: shows the markers and resolutions of one frame."""

from __future__ import annotations

from pathlib import Path

import click

from stillframe.cli.streams import print_product


@click.command(short_help="Show a frame's markers and resolutions.")
@click.argument("frame", metavar="FILE|URL")
def inspect(frame: str) -> int:
    """Show one frame: its markers, its resolutions, and how many bytes reach each of them."""
    from stillframe.hosting.byte_source import file_source, http_source
    from stillframe.hosting.inspect import format_report, inspect_frame

    get_bytes, size = http_source(frame) if "://" in frame else file_source(Path(frame))
    print_product(f"{format_report(inspect_frame(get_bytes, size))}\n")
    return 0
