"""Options that several commands share: they say where an archive is, how to reach its store, and what its roots are."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, override
from urllib.parse import urlsplit

import click

from stillframe.archive.roots import MIN_SECRET_BYTES
from stillframe.cli.streams import tell
from stillframe.errors import InvalidationError, UsageError
from stillframe.hosting.invalidation import Invalidation, invalidation_paths, url_prefixes
from stillframe.plain_text import keep_secret
from stillframe.store.s3_client import SCHEME, Bucket, Checksums, S3Settings, check_prefix, parse_location

if TYPE_CHECKING:
    from stillframe.store.directory import DirectoryStore
    from stillframe.store.s3 import S3Store

SECRET_VARIABLE: Final = "STILLFRAME_SECRET"  # noqa: S105  (the name of a variable)

FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
ANY_FILE: Final = click.Path(dir_okay=False, path_type=Path)


class FiniteRange(click.FloatRange):
    """A range of numbers, none of which is NaN or infinite."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert as a range of numbers does; refuse what is no number."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is no number", param, ctx)


# Adds an option to a command.
type _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_group[V](name: str, make: Callable[..., V], *options: _Decorator) -> _Decorator:
    """A decorator that gives a command one value made of several options.

    Args:
        name: of the command's parameter.
        make: takes the options by their names.
        options: as from `click.option`, in the order of the help.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_value(**values: Any) -> Any:
            value = make(**{option: values.pop(option) for option in names})
            return command(**values, **{name: value})

        for option in reversed(options):
            option(with_value)
        names = [parameter.name for parameter in with_value.__click_params__[-len(options) :]]  # type: ignore[attr-defined]
        return with_value

    return decorate


def choice_option(flag: str, choices: type[StrEnum], default: StrEnum, text: str) -> _Decorator:
    """An option that takes one of the values of an enumeration."""
    return click.option(
        flag,
        type=click.Choice([str(choice) for choice in choices]),
        callback=lambda _context, _parameter, value: choices(value),
        default=str(default),
        show_default=True,
        help=text,
    )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked_url(_context: click.Context, parameter: click.Parameter, url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"the URL of {parameter.opts[0]} must begin with http:// or https://: {url}")
    return url


def _checked_public_url(context: click.Context, parameter: click.Parameter, url: str) -> str:
    if "@" in urlsplit(_checked_url(context, parameter, url)).netloc:
        raise UsageError(f"the URL of {parameter.opts[0]} would publish its user and password: leave them out")
    if "?" in url or "#" in url:
        raise UsageError(f"the URL of {parameter.opts[0]} may have no query and no fragment: paths are added to it")
    return url


def _checked_distribution(_context: click.Context, _parameter: click.Parameter, distribution: str) -> str:
    if distribution:
        from stillframe.hosting.cloudfront import check_distribution

        check_distribution(distribution)
    return distribution


host_option: Final = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


def viewer_option(text: str) -> _Decorator:
    """The option for the folder of a viewer that is served beside a tree."""
    return click.option("--viewer", type=FOLDER, default=None, metavar="DIST", help=text)


def base_url_option(text: str) -> _Decorator:
    """The option for the public URL of the service root, empty for none."""
    return click.option("--base-url", default="", metavar="URL", callback=_checked_public_url, help=text)


def public_root_option(text: str) -> _Decorator:
    """The option for the URL of a service root that is elsewhere, empty for none."""
    return click.option("--root", default="", metavar="URL", callback=_checked_public_url, help=text)


@dataclass(frozen=True, slots=True)
class PublicSide:
    """How the world reaches an archive: the URL of its service root, and its CloudFront distribution, if any."""

    base_url: str
    distribution: str

    def tell(self, changed: Iterable[tuple[str, str]], destination: str, profile: str) -> Invalidation | None:
        """Have CloudFront drop its copies of changed objects, each given as a root's name and a key.

        The result is None if there is nothing to tell. `profile` is that of the AWS configuration.
        """
        if not self.distribution:
            return None
        from stillframe.hosting.cloudfront import invalidate, make_client

        prefix = parse_location(destination)[1] if destination.startswith(SCHEME) else ""
        paths = invalidation_paths(changed, url_prefixes(self.base_url, prefix))
        if not paths:
            return None
        try:
            return invalidate(make_client(profile), self.distribution, paths)
        except InvalidationError as error:
            return Invalidation(self.distribution, paths, failure=str(error))


def public_options(base_url_help: str) -> _Decorator:
    """The options of a `PublicSide`, the command's parameter `public`."""
    return option_group(
        "public",
        PublicSide,
        base_url_option(base_url_help),
        click.option(
            "--invalidate",
            "distribution",
            default="",
            metavar="DISTRIBUTION",
            callback=_checked_distribution,
            help="ID of the CloudFront distribution that must drop its copies of changed objects.",
        ),
    )


_STORE_OPTIONS: Final = (
    click.option(
        "--endpoint-url",
        default="",
        metavar="URL",
        callback=_checked_url,
        help="Address of a store that speaks the S3 protocol. Without it, the store is AWS.",
    ),
    click.option("--region", default="", metavar="NAME", help="Region of the bucket, where botocore does not find it."),
    click.option("--profile", default="", metavar="NAME", help="Profile of the AWS configuration to use."),
    click.option(
        "--path-style/--virtual-hosts",
        default=None,
        help="Put bucket names in the path, or in the host name.  [default: path with an endpoint URL]",
    ),
    choice_option(
        "--checksums",
        Checksums,
        Checksums.ALWAYS,
        "Send newer checksums (SHA-256, CRC-32) with every request, or only where required and Content-MD5 elsewhere "
        "(for older stores).",
    ),
    click.option(
        "--patience",
        type=FiniteRange(0),
        default=300.0,
        metavar="SECONDS",
        show_default=True,
        help="How long a store may fail in a row before the job gives up.",
    ),
    click.option(
        "--no-sign-request",
        is_flag=True,
        help="Sign no requests for the archive, where everybody may do what is asked.",
    ),
)
store_options: Final = option_group("s3", S3Settings, *_STORE_OPTIONS)


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How the stores of the destination and of `s3://` sources are reached."""

    destination: S3Settings
    sources: S3Settings


def _make_access(
    *, source_profile: str, source_endpoint_url: str, source_no_sign_request: bool, **settings: Any
) -> StoreAccess:
    destination = S3Settings(**settings)
    sources = replace(
        destination,
        profile=source_profile or destination.profile,
        endpoint_url=source_endpoint_url or destination.endpoint_url,
        no_sign_request=source_no_sign_request,
    )
    return StoreAccess(destination, sources)


access_options: Final = option_group(
    "access",
    _make_access,
    *_STORE_OPTIONS,
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
        callback=_checked_url,
        help="Address of the store of s3:// sources.  [default: as --endpoint-url]",
    ),
    click.option(
        "--source-no-sign-request",
        is_flag=True,
        help="Sign no requests for s3:// sources, which everybody may read.",
    ),
)


def _make_secret(*, unlisted: bool, secret_file: Path | None) -> bytes:
    if secret_file is not None and not unlisted:
        raise UsageError("--secret-file goes with --unlisted")
    if not unlisted:
        return b""
    if secret_file is None:
        secret = os.environb.get(SECRET_VARIABLE.encode(), b"").strip()
        where = f"the environment's {SECRET_VARIABLE}"
    else:
        try:
            secret = secret_file.read_bytes().strip()
        except OSError as error:
            raise UsageError(f"the secret cannot be read from {secret_file}: {error.strerror}") from error
        warn_of_open_file(secret_file, "secret")
        where = str(secret_file)
    keep_secret(os.fsdecode(secret))
    if len(secret) < MIN_SECRET_BYTES:
        raise UsageError(
            f"{where} must hold a secret of at least {MIN_SECRET_BYTES} bytes, such as openssl rand -hex 32 makes; "
            "keep it: without it, nobody finds the roots again"
        )
    return secret


unlisted_options: Final = option_group(
    "secret",  # empty for a listed archive
    _make_secret,
    click.option(
        "--unlisted",
        is_flag=True,
        help="An archive whose studies each have an unguessable root of their own, which only the report names.",
    ),
    click.option(
        "--secret-file",
        type=ANY_FILE,
        default=None,
        metavar="FILE",
        help=f"File with the secret from which the roots follow.  [default: the environment's {SECRET_VARIABLE}]",
    ),
)


def warn_of_open_file(path: Path, what: str) -> None:
    """Warn of a file with a secret that others on this machine may read or write."""
    if mode := path.stat().st_mode & 0o077:
        tell(f"warning: the {what} {path} is open to others: chmod go= (now {mode:03o})")


def open_archive(location: str, s3: S3Settings) -> DirectoryStore | S3Store:
    """The store of an archive that exists; nothing is created.

    Raises:
        UsageError: if there is no such folder, or it cannot be a location of an archive.
        StoreError: if the store does not answer.
    """
    if not location.startswith(SCHEME) and not Path(location).is_dir():
        raise UsageError(f"there is no archive at {location}: no such folder")
    return open_store(location, s3)


def open_store(
    location: str, s3: S3Settings, *, public: bool = True, read_only: bool = False, durable: bool = True
) -> DirectoryStore | S3Store:
    """The store at a location that may not hold an archive yet, after a check that it can be used.

    Unless it is `read_only`, this makes a folder that is missing, and tries a store other than AWS with small objects.
    A folder that is `durable` is synced to its disk.

    Raises:
        UsageError: if it cannot be a location of an archive.
        StoreError: if it does not answer.
    """
    if location.startswith(SCHEME):
        from stillframe.store.s3 import S3Store
        from stillframe.store.s3_check import is_aws, probe_store

        bucket, prefix = parse_location(location)
        check_prefix(prefix, location)
        remote = S3Store(Bucket(bucket, s3), prefix, public=public)
        remote.check()
        if not read_only and not is_aws(remote):
            probe_store(remote)
        return remote
    from stillframe.store.directory import DirectoryStore

    local = DirectoryStore(str(Path(location).resolve()), durable=durable)
    if read_only:
        local.check()
    else:
        local.create()
    return local
