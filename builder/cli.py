"""The command line. The only module that prints or knows of terminals.

Exit codes: 0 all is published, 2 finished but some inputs were rejected, 1 could not finish.
Libraries are imported inside the commands: `stillframe --help` must not wait for them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

import click

from builder import __version__
from builder.errors import StillframeError, UsageError
from builder.model import MAX_FRAME_BYTES, BuildOptions, Lossy, Outcome, Part10, Rendered

if TYPE_CHECKING:
    from builder.report import Report

_BAR_WIDTH: Final = 28
_REDRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 10.0
# Notes, duplicates and the like shown on the terminal; the report holds all of them. Rejected inputs are all shown.
_SHOWN: Final = 10


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stillframe")
def cli() -> None:
    """DICOM studies in, a static DICOMweb service out."""


def _levels(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Comma-separated decode levels, ascending and each once; none for an empty text."""
    try:
        levels = tuple(sorted({int(part) for part in value.split(",") if part.strip()}))
    except ValueError as error:
        raise click.BadParameter("expected decode levels such as 1,2,3") from error
    if levels and not 1 <= levels[0] <= levels[-1] <= 32:
        raise click.BadParameter("a decode level is a number of halvings from 1 to 32")
    return levels


@cli.command(short_help="Publish DICOM files, folders and .zip archives.")
@click.argument("places", metavar="SOURCE... DEST", nargs=-1, required=True)
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Public URL of the service root; RetrieveURLs are relative without it.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="Worker processes; 0 works in this process.  [default: one a core]",
)
@click.option(
    "--reduced",
    default="2",
    callback=_levels,
    metavar="LEVELS",
    show_default=True,
    help='Decode levels (halvings) written as separate small objects, such as 1,2; "" for none.',
)
@click.option(
    "--lossy",
    type=click.Choice([str(choice) for choice in Lossy]),
    default=str(Lossy.KEEP),
    show_default=True,
    help="Frames compressed with loss: keep their bytes, or transcode what they decode to.",
)
@click.option(
    "--part10",
    type=click.Choice([str(choice) for choice in Part10]),
    default=str(Part10.AUTO),
    show_default=True,
    help="Publish whole original objects: of instances without frames and others fetched whole, always, never.",
)
@click.option(
    "--rendered",
    type=click.Choice([str(choice) for choice in Rendered]),
    default=str(Rendered.ALWAYS),
    show_default=True,
    help="Publish under rendered: documents, videos and images as JPEG; only documents and videos; nothing.",
)
@click.option(
    "--thumbnails/--no-thumbnails",
    default=True,
    show_default=True,
    help="Publish thumbnails of instances, series and studies.",
)
@click.option(
    "--max-frame-size",
    type=click.IntRange(1),
    default=MAX_FRAME_BYTES >> 20,
    metavar="MB",
    show_default=True,
    help="Reject images whose decoded frames are larger than so many MiB.",
)
@click.option(
    "--max-unpacked",
    type=click.FloatRange(0, min_open=True),
    default=8.0,
    show_default=True,
    metavar="GB",
    help="Most that one archive member or deflated data set may unpack to.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="An input with the SOP Instance UID of a published instance, but other content, replaces it.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False),
    default=None,
    metavar="FILE",
    help="Write the full report as JSON.",
)
def build(
    places: tuple[str, ...], base_url: str, workers: int | None, reduced: tuple[int, ...], lossy: str, part10: str,
    rendered: str, thumbnails: bool, max_frame_size: int, max_unpacked: float, replace: bool, report_file: str | None,
) -> int:  # fmt: skip
    """Publish the DICOM below SOURCE (files, folders, .zip archives) into the folder DEST.

    What DEST already holds stays; unchanged inputs are skipped. Exit code 0: all published or unchanged. 2: finished,
    some inputs were rejected, each listed with its reason. 1: could not finish.
    """
    from builder.build import BuildRequest, check_destination
    from builder.build import build as run_build
    from builder.directory_store import DirectoryStore
    from builder.execute import end_processes, make_executor

    *sources, destination = places
    if not sources:
        raise UsageError(f"DEST is missing: stillframe build {destination} DEST")
    for place in places:
        if place.startswith("s3://"):
            raise UsageError(f"object stores are not supported by version {__version__}: {place}")
    if base_url and not base_url.startswith(("http://", "https://")):
        raise UsageError(f"the base URL must begin with http:// or https://: {base_url}")
    check_destination(sources, destination)
    report_path = Path(report_file) if report_file is not None else None
    if report_path is not None:
        _check_report(report_path, destination)
    count = _cores() if workers is None else workers
    options = BuildOptions(
        reduced, Lossy(lossy), Part10(part10), Rendered(rendered), thumbnails, base_url,
        max_frame_bytes=max_frame_size << 20, max_unpacked=int(max_unpacked * 1e9),
    )  # fmt: skip
    store = DirectoryStore(str(Path(destination).resolve()))
    store.create()
    progress = TerminalProgress(sys.stderr)
    executor = make_executor(count)
    try:
        request = BuildRequest(tuple(sources), options, max(1, count), replace, destination)
        report = run_build(request, store, executor, progress)
    except KeyboardInterrupt:
        end_processes(executor)
        raise
    finally:
        progress.close()
        executor.shutdown(cancel_futures=True)
    _print_summary(report, sources, destination, report_file)
    if report_path is not None:
        _write_report(report, report_path)
    return report.exit_code


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_report(path: Path, destination: str) -> None:
    """Refuse a report that could not be written, before a long job rather than after it."""
    folder = path.resolve().parent
    if folder.is_relative_to(Path(destination).resolve()):
        raise UsageError(f"the report would be published with the tree: {path} is in {destination}")
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the report cannot be written to {path}: no folder to write in, or no permission")


def _write_report(report: Report, path: Path) -> None:
    try:
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n"
        # Names of files need not be Unicode; a lone surrogate becomes the JSON escape that it looks like.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}") from error


def _print_summary(report: Report, sources: list[str], destination: str, report_file: str | None) -> None:
    for item in sorted(report.rejected, key=lambda item: item.path):
        uids = "  ".join(uid for uid in (item.study, item.series, item.instance) if uid)
        click.echo(
            f"rejected   {_visible(item.path)}: {_visible(item.reason)}{f'  [{_visible(uids)}]' if uids else ''}",
            err=True,
        )
    _print_some("duplicate", [(str(item.source), "; ".join(item.notes)) for item in report.duplicates], report_file)
    _print_some("note", [(str(item.source), "; ".join(item.notes)) for item in report.noted], report_file)
    _print_some("not read", [(item.path, item.reason) for item in report.skipped if item.noteworthy], report_file)
    counts = report.outcomes
    if not counts and not report.rejected:
        click.echo(f"no DICOM found in {_visible(', '.join(sources))}", err=True)
    parts = [f"{counts[Outcome.PUBLISHED]} published"]
    parts += [f"{counts[kind]} {kind}" for kind in Outcome if counts[kind] and kind is not Outcome.PUBLISHED]
    parts += [f"{len(report.rejected)} rejected"] if report.rejected else []
    if report.skipped:
        parts.append(f"{_plural(len(report.skipped), 'other file')} passed over")
    click.echo(f"{_visible(destination)}: {', '.join(parts)}")
    studies = f"{_plural(len(report.studies), 'study', 'studies')}, {len(report.series)} series"
    made = f"{_plural(report.frames, 'frame')}, " if report.frames else ""
    size = f"{_megabytes(report.bytes_read)} in, {_megabytes(report.bytes_written)} out, " if report.bytes_read else ""
    rate = f", {report.frames / report.seconds:.0f} frames/s" if report.frames and report.seconds else ""
    click.echo(f"{studies}, {made}{size}{report.seconds:.1f} s{rate}")


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _print_some(label: str, items: list[tuple[str, str]], report_file: str | None) -> None:
    for path, text in sorted(items)[:_SHOWN]:
        click.echo(f"{label:<10} {_visible(path)}{': ' + text if text else ''}", err=True)
    if len(items) > _SHOWN:
        where = f"in {report_file}" if report_file else "with --report FILE"
        click.echo(f"{label:<10} ... and {len(items) - _SHOWN} more, all {where}", err=True)


def _visible(text: str) -> str:
    """Text from hostile files with nothing in it that moves a cursor."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


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
            click.echo(f"there is no tree in {directory} yet: stillframe build SOURCE {directory} makes one", err=True)
        click.echo(f"{directory} at {address}/  (service root {address}/dicomweb); Ctrl-C stops it")

    run(directory, host, port, viewer, announce)
    return 0


@cli.command(short_help="Show a frame's markers and resolutions.")
@click.argument("frame", metavar="FILE|URL")
def inspect(frame: str) -> int:
    """Show one frame: its markers, its resolutions, and how many bytes reach each of them."""
    from builder.byte_source import file_source, http_source
    from builder.inspection import format_report, inspect_frame

    get_bytes, size = http_source(frame) if "://" in frame else file_source(Path(frame))
    click.echo(format_report(inspect_frame(get_bytes, size)))
    return 0


class TerminalProgress:
    """A bar that redraws itself on a terminal; in a log a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._live = stream.isatty()
        self._name = ""
        self._total = self._done = 0
        self._started = self._shown = 0.0

    def stage(self, name: str, total: int) -> None:
        """See `build.Progress`."""
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._started = self._shown = time.monotonic()
        if self._live:
            self._draw()
        elif total:
            self._write(f"{name}: {total}\n")

    def step(self, count: int = 1) -> None:
        """See `build.Progress`."""
        self._done += count
        now = time.monotonic()
        if self._live and now - self._shown >= _REDRAW_SECONDS:
            self._shown = now
            self._draw()
        elif not self._live and now - self._shown >= _LOG_SECONDS:
            self._shown = now
            self._write(f"{self._name}: {self._done} of {self._total}\n")

    def _write(self, text: str) -> None:
        """Show it, unless nobody is there to see it any more: that must not end the job."""
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._stream = None

    def _draw(self) -> None:
        share = self._done / self._total if self._total else 0.0
        bar = "#" * int(share * _BAR_WIDTH)
        elapsed = time.monotonic() - self._started
        left = f"{elapsed / share - elapsed:.0f} s left" if share > 0 and elapsed > 2 else ""
        counts = f"{self._done}/{self._total}" if self._total else ""
        self._write(f"\r\x1b[K{self._name:<16} [{bar:<{_BAR_WIDTH}}] {counts} {left}")

    def close(self) -> None:
        """End the stage's line."""
        if self._live and self._name:
            self._write("\r\x1b[K")
        self._name = ""


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and exit code 1."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("stillframe: stopped; build again to go on from here", err=True)
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
