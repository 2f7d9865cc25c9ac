"""`stillframe build --dry-run`: its run with the prices of the store, and what it prints at the end."""

from __future__ import annotations

from concurrent.futures import Executor

from stillframe.build.decide import Decision
from stillframe.build.dryrun.forecast import Forecast
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.cli.streams import say
from stillframe.cli.terminal import megabytes, plural
from stillframe.layout import Kind
from stillframe.progress import Progress
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore

_WOULD = {
    Decision.PUBLISH: "would be published",
    Decision.REBUILD: "would be rebuilt: other options, an older format, or objects are missing",
    Decision.REDRAW: "would get other pictures, or none, or an older format's record anew; no frame is touched",
    Decision.REPLACE: "would replace what is published",
    Decision.RESUME: "would be listed: written by a job that was cut off",
    Decision.UNCHANGED: "unchanged",
    Decision.DUPLICATE: "duplicate: the same bytes as another input",
    Decision.COMPARE: "to be compared: same UID, other content (duplicates, or conflicts that would be rejected)",
}


def forecast_build(
    request: BuildRequest, store: Store, executor: Executor, progress: Progress
) -> tuple[Report, Forecast]:
    """As `dryrun.run.forecast_build`. A folder holds JSON as it is, and costs nothing."""
    from stillframe.build.dryrun import run
    from stillframe.build.dryrun.prices import S3_STANDARD
    from stillframe.store.s3 import compress_json

    local = isinstance(store, DirectoryStore)
    destination = run.Destination(store) if local else run.Destination(store, compress_json, S3_STANDARD)
    return run.forecast_build(request, destination, executor, progress)


def print_forecast(report: Report, forecast: Forecast, destination: str) -> None:
    """Print what a build would do, on stdout."""
    say(f"{destination}: dry run, nothing is written")
    lines = [(forecast.inputs[decision], text) for decision, text in _WOULD.items()]
    lines.append((len(report.rejected), "would be rejected"))
    lines.append((len(report.skipped), f"other {'file' if len(report.skipped) == 1 else 'files'} passed over"))
    for count, text in lines:
        if count:
            say(f"{count:>10,} {text}")
    if not forecast.objects.count:
        return
    _print_objects(forecast)
    sample = forecast.sample
    made = f"{plural(sample['instances'], 'instance')} and {plural(sample['frames'], 'frame')}"
    rejected = sample["rejected"]
    bad = f"; {rejected} of these would be rejected, perhaps others like them" if rejected else ""
    say(f"sizes estimated from a sample of {made} of {forecast.frames:,}{bad}; {report.seconds:.1f} s")
    _print_cost(forecast)


def _print_objects(forecast: Forecast) -> None:
    studies = f"{plural(forecast.studies, 'study', 'studies')}, {forecast.series} series"
    say(f"{studies}, {plural(forecast.frames, 'frame')}, {megabytes(forecast.bytes_read)} in; would be written:")
    count, size = forecast.objects.count, forecast.objects.size
    for kind in Kind:
        if count[kind]:
            say(f"{count[kind]:>10,} {kind:<16}{megabytes(size[kind]):>14}")
    say(f"{count.total():>10,} {'in all':<16}{megabytes(size.total()):>14}")


def _print_cost(forecast: Forecast) -> None:
    prices, requests = forecast.prices, forecast.requests
    if prices is None:
        return
    counts = f"{requests.put + requests.list:,} PUT and LIST, {requests.get:,} GET"
    say(f"requests of the build: {counts}: {forecast.build_price:.4f} {prices.currency}")
    say(f"storage: {forecast.month_price:.4f} {prices.currency} a month")
    say(f"at list prices of {prices.store}, {prices.date}; check them: {prices.source}")
