"""Options that several commands share: where an archive is, how its store is reached, what its roots are."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from builder.errors import InvalidationError, UsageError
from builder.invalidation import Invalidation, invalidation_paths, url_prefixes
from builder.roots import MIN_SECRET_BYTES
from builder.s3_client import SCHEME, Bucket, Checksums, S3Settings, check_prefix, parse_location

if TYPE_CHECKING:
    from builder.directory_store import DirectoryStore
    from builder.s3_store import S3Store

SECRET_VARIABLE: Final = "STILLFRAME_SECRET"


class FiniteRange(click.FloatRange):
    """A range of numbers, none of which is NaN or infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As a range of numbers does; what is no number is a mistake, too."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is no number", param, ctx)


_STORE_OPTIONS: Final = (
    click.option(
        "--endpoint-url",
        default="",
        metavar="URL",
        help="Address of a store that speaks the S3 protocol; AWS without it.",
    ),
    click.option("--region", default="", metavar="NAME", help="Region of the bucket, if botocore does not find it."),
    click.option("--profile", default="", metavar="NAME", help="Profile of the AWS configuration to use."),
    click.option(
        "--path-style/--virtual-hosts",
        default=None,
        help="Bucket names in the path or in the host name.  [default: path with an endpoint URL]",
    ),
    click.option(
        "--checksums",
        type=click.Choice([str(choice) for choice in Checksums]),
        default=str(Checksums.ALWAYS),
        show_default=True,
        help="CRC-32 checksums with every request, or where required and Content-MD5 elsewhere (older stores).",
    ),
    click.option(
        "--patience",
        type=FiniteRange(0),
        default=300.0,
        metavar="SECONDS",
        show_default=True,
        help="How long a store may fail in a row before the job ends.",
    ),
)
_SOURCE_OPTIONS: Final = (
    click.option(
        "--source-profile",
        default="",
        metavar="NAME",
        help="Profile of the AWS configuration for s3:// sources.  [default: as --profile]",
    ),
    click.option(
        "--source-endpoint-url",
        default="",
        metavar="URL",
        help="Address of the store of s3:// sources.  [default: as --endpoint-url]",
    ),
)
_UNLISTED_OPTIONS: Final = (
    click.option(
        "--unlisted",
        is_flag=True,
        help="Every study under an unguessable root of its own, which only the report names.",
    ),
    click.option(
        "--secret-file",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        metavar="FILE",
        help=f"Holds the secret that the roots follow from.  [default: the environment's {SECRET_VARIABLE}]",
    ),
)


_INVALIDATE: Final = click.option(
    "--invalidate",
    "distribution",
    default="",
    metavar="DISTRIBUTION",
    help="CloudFront distribution that is told which objects it holds are old.",
)


def invalidate_option[R](command: Callable[..., R]) -> Callable[..., R]:
    """The CDN to be told what changed; the command gets it as `distribution`, empty for none."""

    @wraps(command)
    def with_distribution(*args: Any, distribution: str, **kwargs: Any) -> R:
        if distribution:
            from builder.cloudfront import check_distribution

            check_distribution(distribution)
        return command(*args, distribution=distribution, **kwargs)

    return _INVALIDATE(with_distribution)


def store_options[R](command: Callable[..., R]) -> Callable[..., R]:
    """Options of how an S3 store is reached; the command gets them as `s3`, an `S3Settings`."""

    @wraps(command)
    def with_settings(
        *args: Any, endpoint_url: str, region: str, profile: str, path_style: bool | None, checksums: str,
        patience: float, **kwargs: Any,
    ) -> R:  # fmt: skip
        _check_endpoint(endpoint_url)
        settings = S3Settings(
            endpoint_url=endpoint_url, region=region, profile=profile, path_style=path_style,
            checksums=Checksums(checksums), patience=patience,
        )  # fmt: skip
        return command(*args, s3=settings, **kwargs)

    return _with_options(with_settings, _STORE_OPTIONS)


def _check_endpoint(url: str) -> None:
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"the endpoint URL must begin with http:// or https://: {url}")


def source_options[R](command: Callable[..., R]) -> Callable[..., R]:
    """Options of how `s3://` sources are reached where that is not as `s3` says; the command gets `source_s3`."""

    @wraps(command)
    def with_sources(*args: Any, s3: S3Settings, source_profile: str, source_endpoint_url: str, **kwargs: Any) -> R:
        _check_endpoint(source_endpoint_url)
        source_s3 = replace(
            s3, profile=source_profile or s3.profile, endpoint_url=source_endpoint_url or s3.endpoint_url
        )
        return command(*args, s3=s3, source_s3=source_s3, **kwargs)

    return _with_options(with_sources, _SOURCE_OPTIONS)


def unlisted_options[R](command: Callable[..., R]) -> Callable[..., R]:
    """Options of unlisted archives; the command gets them as `secret`, empty for a listed one."""

    @wraps(command)
    def with_secret(*args: Any, unlisted: bool, secret_file: Path | None, **kwargs: Any) -> R:
        if secret_file is not None and not unlisted:
            raise UsageError("--secret-file goes with --unlisted")
        return command(*args, secret=_read_secret(secret_file) if unlisted else b"", **kwargs)

    return _with_options(with_secret, _UNLISTED_OPTIONS)


def _with_options[R](command: Callable[..., R], options: tuple[Callable[..., Any], ...]) -> Callable[..., R]:
    for option in reversed(options):
        command = option(command)
    return command


def _read_secret(path: Path | None) -> bytes:
    if path is None:
        secret = os.environ.get(SECRET_VARIABLE, "").encode()
        where = f"the environment's {SECRET_VARIABLE}"
    else:
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise UsageError(f"the secret cannot be read from {path}: {error.strerror}") from error
        where = str(path)
    if len(secret) < MIN_SECRET_BYTES:
        raise UsageError(
            f"{where} must hold a secret of at least {MIN_SECRET_BYTES} bytes, such as openssl rand -hex 32 makes; "
            "keep it: without it nobody finds the roots again"
        )
    return secret


def check_base_url(base_url: str) -> None:
    """Refuse what is no URL of a service root.

    Raises:
        UsageError: saying so.
    """
    if base_url and not base_url.startswith(("http://", "https://")):
        raise UsageError(f"the base URL must begin with http:// or https://: {base_url}")


def check_report(path: Path, destination: str) -> None:
    """Refuse a report that could not be written, before a long job rather than after it.

    Raises:
        UsageError: saying why.
    """
    folder = path.resolve().parent
    if not destination.startswith(SCHEME) and folder.is_relative_to(Path(destination).resolve()):
        raise UsageError(f"the report would be published with the tree: {path} is in {destination}")
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the report cannot be written to {path}: no folder to write in, or no permission")


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON.

    Raises:
        UsageError: if it cannot be written.
    """
    try:
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        # Names of files need not be Unicode; a lone surrogate becomes the JSON escape that it looks like.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}") from error


def tell_cdn(
    distribution: str, changed: Iterable[tuple[str, str]], destination: str, base_url: str, s3: S3Settings
) -> Invalidation | None:
    """Have CloudFront forget objects that changed, each a root's name and a key; None if there is nothing to tell."""
    from builder.cloudfront import invalidate, make_client

    prefix = parse_location(destination)[1] if destination.startswith(SCHEME) else ""
    paths = invalidation_paths(changed, url_prefixes(base_url, prefix))
    if not distribution or not paths:
        return None
    try:
        return invalidate(make_client(s3.profile), distribution, paths)
    except InvalidationError as error:
        return Invalidation(distribution, paths, failure=str(error))


def open_archive(location: str, s3: S3Settings) -> DirectoryStore | S3Store:
    """The store of an archive that is there already; nothing is created.

    Raises:
        UsageError: if there is no such folder, or it cannot be a location of an archive.
        StoreError: if the store does not answer.
    """
    if not location.startswith(SCHEME) and not Path(location).is_dir():
        raise UsageError(f"there is no archive at {location}: no such folder")
    return open_store(location, s3)


def open_store(
    location: str, s3: S3Settings, *, public: bool = True, read_only: bool = False
) -> DirectoryStore | S3Store:
    """The store at a location that may not hold an archive yet, seen to be one that can be used.

    Unless it is `read_only`, a folder that is missing is made, and a store other than AWS tried with small objects.

    Raises:
        UsageError: if it cannot be a location of an archive.
        StoreError: if it does not answer.
    """
    if location.startswith(SCHEME):
        from builder.s3_probe import is_aws, probe_store
        from builder.s3_store import S3Store

        bucket, prefix = parse_location(location)
        check_prefix(prefix, location)
        remote = S3Store(Bucket(bucket, s3), prefix, public=public)
        remote.check()
        if not read_only and not is_aws(remote):
            probe_store(remote)
        return remote
    from builder.directory_store import DirectoryStore

    local = DirectoryStore(str(Path(location).resolve()))
    if read_only:
        local.check()
    else:
        local.create()
    return local
