"""`stillframe grant`: signs time-limited access to one study on CloudFront."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from stillframe.cli.shared_options import FILE, option_group, warn_of_open_file
from stillframe.cli.streams import print_product, tell
from stillframe.errors import UsageError
from stillframe.hosting.grant import (
    Grant,
    Hash,
    Scope,
    Signer,
    load_private_key,
    make_grant,
    parse_lifetime,
    root_scope,
    study_scope,
)


def _make_scope(*, base_url: str, study: str | None, whole_root: bool) -> Scope:
    if (study is None) != whole_root:
        raise UsageError(f"{'only one' if whole_root else 'one'} of --study UID and --whole-root is needed")
    return root_scope(base_url) if study is None else study_scope(base_url, study)


def _make_signer(*, key_id: str, key_file: Path, algorithm: str) -> Signer:
    signer = Signer(key_id, load_private_key(key_file.read_bytes()), Hash(algorithm))
    warn_of_open_file(key_file, "private key")
    return signer


_scope_options = option_group(
    "scope",
    _make_scope,
    click.option("--base-url", required=True, metavar="URL", help="Public https URL of the service root."),
    click.option(
        "--study", default=None, metavar="UID", help="Open this study: all below it, without the list of studies."
    ),
    click.option("--whole-root", is_flag=True, help="Open the whole service root, where it holds a single study."),
)
_signer_options = option_group(
    "signer",
    _make_signer,
    click.option("--key-id", required=True, metavar="ID", help="CloudFront's ID of the public key."),
    click.option(
        "--private-key",
        "key_file",
        type=FILE,
        required=True,
        metavar="FILE",
        help="Private key, PEM without a password: RSA with 2048 bits or ECDSA on P-256.",
    ),
    click.option(
        "--hash",
        "algorithm",
        type=click.Choice(["sha256", "sha1"]),
        default="sha256",
        show_default=True,
        help="Hash of the signature.",
    ),
)


@click.command(short_help="Sign time-limited access to one study on CloudFront.")
@_scope_options
@_signer_options
@click.option(
    "--expires", required=True, metavar="TIME", help="How long access lasts: 30m, 8h or 2d, say; at most 30d."
)
@click.option("--ip", default="", metavar="CIDR", help="IPv4 address or range that requests must come from.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["cookies", "json", "url"]),
    default="cookies",
    show_default=True,
    help="Print Set-Cookie headers; all of it as JSON; or a URL whose query string opens the other URLs, too.",
)
@click.option("--cookie-domain", default="", metavar="DOMAIN", help="Parent domain that the cookies are set for.")
def grant(scope: Scope, signer: Signer, expires: str, ip: str, shape: str, cookie_domain: str) -> int:
    """Sign access to one study of an archive on CloudFront. Whoever has the printed text has access until it expires.

    --study opens every URL below URL/studies/UID/, and nothing else. Viewers that ask for the list of studies, as OHIF
    does, need a service root that holds only this study, under a name hard to guess. --whole-root opens all of it.
    """
    made = make_grant(scope, signer, now=time.time(), lifetime=parse_lifetime(expires), ip=ip)
    text = _format(made, shape, made.set_cookies(cookie_domain))
    tell(f"opens {scope.resource} until {_moment(made.expires)}")
    print_product(f"{text}\n")
    return 0


def _format(made: Grant, shape: str, cookies: list[str]) -> str:
    if shape == "url":
        return made.url()
    if shape == "cookies":
        return "\n".join(f"Set-Cookie: {cookie}" for cookie in cookies)
    values = {
        "resource": made.scope.resource,
        "expires": _moment(made.expires),
        "cookies": made.cookies(),
        "setCookie": cookies,
        "url": made.url(),
    }
    return json.dumps(values, indent=2)


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
