"""Signs time-limited access to one study behind CloudFront: policies as cookies or as a query string.

A private key and a time go in, texts come out. Only signatures of elliptic curve keys are random. The sources are the
CloudFront Developer Guide's pages on custom policies for signed cookies and signed URLs.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stillframe.dicom.uids import check_uid
from stillframe.errors import UsageError
from stillframe.layout import metadata_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

type PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

MAX_LIFETIME: Final = 30 * 86_400
# Whoever knows the name of a study's service root finds it. A shorter name would be easy to guess.
MIN_ROOT_NAME: Final = 16

# A policy's resource takes * for any characters and ? for any one: neither may come from outside.
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PATH = re.compile(r"(?:/[0-9A-Za-z_-]+)*")
_KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_LIFETIME = re.compile(r"([1-9][0-9]{0,7})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_URL_SAFE: Final = bytes.maketrans(b"+=/", b"-_~")


class Hash(StrEnum):
    """How a policy is hashed before it is signed. CloudFront takes SHA-1 unless it is told otherwise."""

    SHA256 = "sha256"
    SHA1 = "sha1"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and CloudFront's ID of its public one."""

    key_id: str
    key: PrivateKey
    algorithm: Hash = Hash.SHA256


@dataclass(frozen=True, slots=True)
class Scope:
    """What a grant covers: every URL that begins with `covered`; `example` is one of them."""

    covered: str
    example: str

    @property
    def host(self) -> str:
        """The name of the host, without a port."""
        return urlsplit(self.covered).hostname or ""

    @property
    def resource(self) -> str:
        """The resource of a policy."""
        return f"{self.covered}*"

    @property
    def cookie_path(self) -> str:
        """The path below which browsers send the cookies, so that grants of several studies live side by side."""
        return urlsplit(self.covered).path


@dataclass(frozen=True, slots=True)
class Grant:
    """A signed policy: `policy` is its text, `expires` in seconds since 1970.

    `parameters` are names and values of the signature, without what cookies put before the names.
    """

    scope: Scope
    policy: str
    parameters: dict[str, str]
    expires: int

    def cookies(self) -> dict[str, str]:
        """Names and values of the cookies."""
        return {f"CloudFront-{name}": value for name, value in self.parameters.items()}

    def set_cookies(self, domain: str = "") -> list[str]:
        """The values of Set-Cookie headers; `domain` is a parent of the host, for another host that sets them.

        Without an expiry: browsers drop them when they close, CloudFront refuses them when the grant expires.

        Raises:
            UsageError: if the host is not within `domain`.
        """
        if domain and not f".{self.scope.host}".endswith(f".{domain}"):
            raise UsageError(f"cookies of {domain} do not reach {self.scope.host}")
        where = f"; Domain={domain}" if domain else ""
        attributes = f"{where}; Path={self.scope.cookie_path}; Secure; HttpOnly; SameSite=None"
        return [f"{name}={value}{attributes}" for name, value in self.cookies().items()]

    def url(self) -> str:
        """The example URL with the signature; its query string opens every other URL of the scope just the same."""
        return f"{self.scope.example}?{'&'.join(f'{name}={value}' for name, value in self.parameters.items())}"


def study_scope(base_url: str, study: str) -> Scope:
    """One study of a service root: all that lies below `studies/{study}/`, not the list `studies`.

    Raises:
        InvalidUID: if `study` is not a UID.
        UsageError: if `base_url` is not the https URL of a service root.
    """
    root = _check_base_url(base_url)
    uid = check_uid(study, "Study Instance UID")
    # The slash keeps 1.2.3 from covering 1.2.34, too.
    return Scope(f"{root}/studies/{uid}/", f"{root}/{metadata_key(uid)}")


def root_scope(base_url: str) -> Scope:
    """A whole service root, with its list of studies: for roots that hold one study under a name hard to guess.

    Raises:
        UsageError: if `base_url` is not an https URL whose last part is a name of 16 characters or more.
    """
    root = _check_base_url(base_url)
    name = urlsplit(root).path.rpartition("/")[2]
    if len(name) < MIN_ROOT_NAME:
        raise UsageError(
            f"a grant of a whole root opens every study in it: expected a root with a name of {MIN_ROOT_NAME} "
            f"characters or more, such as https://images.example.org/dicomweb/q83vEjRWeJCrze8SNFZ4kA, found {base_url}"
        )
    return Scope(f"{root}/", f"{root}/studies")


def parse_lifetime(text: str) -> int:
    """Seconds of a lifetime such as 90s, 30m, 8h or 2d.

    Raises:
        UsageError: if it is not one, or longer than 30 days.
    """
    lifetime = _LIFETIME.fullmatch(text)
    if not lifetime:
        raise UsageError(f"a lifetime is a number and s, m, h or d, such as 8h: {text!r}")
    seconds = int(lifetime[1]) * _UNITS[lifetime[2]]
    if seconds > MAX_LIFETIME:
        raise UsageError(f"a grant lasts 30 days at most, because none can be taken back alone: {text}")
    return seconds


def load_private_key(pem: bytes) -> PrivateKey:
    """A private key for signatures that CloudFront checks: RSA with 2048 bits or ECDSA on P-256, PEM without password.

    Raises:
        UsageError: if it is another, or no key. The message holds nothing of the key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise UsageError("not a private key in PEM format without a password") from error
    if isinstance(key, RSAPrivateKey) and key.key_size == 2048:
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise UsageError("CloudFront takes RSA keys of 2048 bits and ECDSA keys on P-256; this private key is neither")


def make_grant(scope: Scope, signer: Signer, *, now: float, lifetime: int, ip: str = "") -> Grant:
    """Sign access to `scope` from `now` (seconds since 1970) on, for `lifetime` seconds.

    `ip` is an IPv4 address or range that requests must come from, "" for any.

    Raises:
        UsageError: if the key ID or the addresses are malformed.
    """
    if not _KEY_ID.fullmatch(signer.key_id):
        raise UsageError(f"not the ID of a CloudFront public key: {signer.key_id!r}")
    expires = int(now) + lifetime
    condition: dict[str, object] = {"DateLessThan": {"AWS:EpochTime": expires}}
    if ip:
        condition["IpAddress"] = {"AWS:SourceIp": _check_ip(ip)}
    statement = {"Resource": scope.resource, "Condition": condition}
    policy = json.dumps({"Statement": [statement]}, separators=(",", ":"))
    parameters = {
        "Policy": _encode(policy.encode()),
        "Signature": _encode(_sign(signer, policy.encode())),
        "Key-Pair-Id": signer.key_id,
        **({"Hash-Algorithm": "SHA256"} if signer.algorithm is Hash.SHA256 else {}),
    }
    return Grant(scope, policy, parameters, expires)


def _sign(signer: Signer, message: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    # SHA-1 is what older CloudFront documentation asks for; here it hashes nothing that others wrote.
    chosen = hashes.SHA256() if signer.algorithm is Hash.SHA256 else hashes.SHA1()  # noqa: S303
    if isinstance(signer.key, EllipticCurvePrivateKey):
        return signer.key.sign(message, ECDSA(chosen))
    return signer.key.sign(message, PKCS1v15(), chosen)


def _check_base_url(base_url: str) -> str:
    """The URL without a trailing slash."""
    url = base_url.removesuffix("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not a URL: {base_url!r}") from error
    expected = f"https://{parts.hostname}{f':{port}' if port else ''}{parts.path}"
    if url.lower() != expected.lower() or not _HOST.fullmatch(parts.hostname or "") or not _PATH.fullmatch(parts.path):
        raise UsageError(
            "the base URL must be the https URL of a service root, its path of letters, digits, - and _, "
            f"such as https://images.example.org/dicomweb: {base_url!r}"
        )
    return expected


def _check_ip(ip: str) -> str:
    try:
        return str(ipaddress.IPv4Network(ip))
    except ValueError as error:
        raise UsageError(f"not an IPv4 address or range such as 192.0.2.0/24: {ip!r} ({error})") from error


def _encode(value: bytes) -> str:
    """Base64 with CloudFront's replacements for what URLs and cookies cannot hold."""
    return base64.b64encode(value).translate(_URL_SAFE).decode()
