"""Grants: signed as CloudFront checks them, and open to nothing but their study."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive.roots import MIN_SECRET_BYTES, root_token
from stillframe.errors import InvalidUID, UsageError
from stillframe.hosting.grant import (
    Grant,
    Hash,
    PrivateKey,
    Scope,
    Signer,
    load_private_key,
    make_grant,
    parse_lifetime,
    root_scope,
    study_scope,
)
from tests.support.command import run

BASE = "https://images.example.org/dicomweb"
STUDY = "1.2.3"
ROOT = f"{BASE}/q83vEjRWeJCrze8SNFZ4kA"
NOW = 1_900_000_000.5
KEY_ID = "K2JCJMDEHXQW5F"
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())


class CloudFront:
    """What CloudFront does with a signature, as its developer guide has it, for one trusted public key."""

    def __init__(self, key: PrivateKey) -> None:
        self.public_key = key.public_key()

    def allows(self, url: str, cookies: dict[str, str], *, now: float = NOW, ip: str = "192.0.2.7") -> bool:
        parameters = {name.removeprefix("CloudFront-"): value for name, value in cookies.items()}
        policy = decode(parameters["Policy"])
        algorithm = hashes.SHA256() if parameters.get("Hash-Algorithm") == "SHA256" else hashes.SHA1()
        try:
            if isinstance(self.public_key, rsa.RSAPublicKey):
                self.public_key.verify(decode(parameters["Signature"]), policy, padding.PKCS1v15(), algorithm)
            else:
                self.public_key.verify(decode(parameters["Signature"]), policy, ec.ECDSA(algorithm))
        except InvalidSignature:
            return False
        (statement,) = json.loads(policy)["Statement"]
        return parameters["Key-Pair-Id"] == KEY_ID and self._matches(statement, url, now, ip)

    @staticmethod
    def _matches(statement: dict[str, Any], url: str, now: float, ip: str) -> bool:
        pattern = re.escape(statement["Resource"]).replace(r"\*", ".*").replace(r"\?", ".")
        condition = statement["Condition"]
        source = condition.get("IpAddress", {}).get("AWS:SourceIp", "0.0.0.0/0")
        return (
            re.fullmatch(pattern, url, re.DOTALL) is not None
            and now < condition["DateLessThan"]["AWS:EpochTime"]
            and ipaddress.ip_address(ip) in ipaddress.ip_network(source)
        )


def decode(value: str) -> bytes:
    assert not set(value) & set("+/=; ,&")
    return base64.b64decode(value.translate(str.maketrans("-_~", "+=/")), validate=True)


def grant(scope: Scope | None = None, key: PrivateKey = RSA, **changes: Any) -> Grant:
    given: dict[str, Any] = {"key_id": KEY_ID, "key": key, "now": NOW, "lifetime": 3600, **changes}
    signer = Signer(given.pop("key_id"), given.pop("key"), given.pop("algorithm", Hash.SHA256))
    return make_grant(scope or study_scope(BASE, STUDY), signer, **given)


@pytest.mark.parametrize("key", [RSA, P256], ids=["RSA", "P-256"])
@pytest.mark.parametrize("algorithm", list(Hash))
def test_a_study_is_open_for_its_time(key: PrivateKey, algorithm: Hash) -> None:
    cookies = grant(key=key, algorithm=algorithm).cookies()
    assert ("CloudFront-Hash-Algorithm" in cookies) == (algorithm is Hash.SHA256)
    cloudfront = CloudFront(key)
    instance = f"{BASE}/studies/{STUDY}/series/1.2.4/instances/1.2.5"
    for url in (
        f"{BASE}/studies/{STUDY}/metadata",
        f"{BASE}/studies/{STUDY}/series?x=1",
        f"{instance}/frames/1",
        instance,
    ):
        assert cloudfront.allows(url, cookies)
    assert cloudfront.allows(instance, cookies, now=NOW + 3599)
    assert not cloudfront.allows(instance, cookies, now=NOW + 3600)
    other = rsa.generate_private_key(65537, 2048) if key is RSA else ec.generate_private_key(ec.SECP256R1())
    assert not CloudFront(other).allows(instance, cookies)
    forged = json.loads(decode(cookies["CloudFront-Policy"]))
    forged["Statement"][0]["Resource"] = "*"
    text = base64.b64encode(json.dumps(forged).encode()).decode().translate(str.maketrans("+=/", "-_~"))
    assert not cloudfront.allows(instance, {**cookies, "CloudFront-Policy": text})


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/studies", f"{BASE}/studies/", f"{BASE}/studies/{STUDY}", f"{BASE}/studies/1.2.34/metadata",
        f"{BASE}/studies/1.2/metadata", f"{BASE}/studies/11.2.3/metadata", f"{BASE}/studies/1.2.3.4/metadata",
        f"{BASE}/studies/9.9/metadata?/studies/{STUDY}/", f"{BASE}/studies/9.9/{STUDY}/metadata",
        f"{BASE}/studies/1x2x3/metadata", f"https://evil.example/dicomweb/studies/{STUDY}/metadata",
        f"https://images.example.org.evil.example/dicomweb/studies/{STUDY}/metadata",
        f"http://images.example.org/dicomweb/studies/{STUDY}/metadata", f"{ROOT}/studies/{STUDY}/metadata",
        f"https://images.example.org/studies/{STUDY}/metadata", "https://images.example.org/",
    ],
)  # fmt: skip
def test_nothing_else_is(url: str) -> None:
    assert not CloudFront(RSA).allows(url, grant().cookies())


def test_the_roots_of_unlisted_archives_can_be_opened() -> None:
    root = f"{BASE}/{root_token(bytes(MIN_SECRET_BYTES), STUDY)}"
    assert CloudFront(RSA).allows(f"{root}/studies", grant(root_scope(root)).cookies())


def test_a_whole_root_has_its_list() -> None:
    cookies = grant(root_scope(ROOT)).cookies()
    for url in (f"{ROOT}/studies?limit=1", f"{ROOT}/studies/{STUDY}/metadata"):
        assert CloudFront(RSA).allows(url, cookies)
    for url in (f"{BASE}/studies", ROOT, f"{ROOT}A/studies", f"{BASE}/q83vEjRWeJCrze8SNFZ4kB/studies"):
        assert not CloudFront(RSA).allows(url, cookies)


@pytest.mark.parametrize("url", [BASE, "https://images.example.org", f"{BASE}/studies", f"{BASE}/short"])
def test_a_root_that_may_hold_many_studies_is_not_opened_whole(url: str) -> None:
    with pytest.raises(UsageError, match="opens every study"):
        root_scope(url)


def test_addresses() -> None:
    cookies = grant(ip="192.0.2.0/29").cookies()
    url = f"{BASE}/studies/{STUDY}/metadata"
    assert CloudFront(RSA).allows(url, cookies, ip="192.0.2.7")
    assert not CloudFront(RSA).allows(url, cookies, ip="192.0.2.8")
    only = grant(ip="192.0.2.7")
    assert json.loads(only.policy)["Statement"][0]["Condition"]["IpAddress"] == {"AWS:SourceIp": "192.0.2.7/32"}
    for ip in ("192.0.2.1/29", "2001:db8::/32", "anywhere", "192.0.2.0/33", "*"):
        with pytest.raises(UsageError, match="not an IPv4 address"):
            grant(ip=ip)


@pytest.mark.parametrize(
    "study", ["", "*", "1.2.*", "1.2.?", "1.2.3/../9", "1.2.3/", "1..2", "1.2.3\n", "1.2.3 ", "1" * 65, "１.2"]
)
def test_hostile_uids_are_refused(study: str) -> None:
    with pytest.raises(InvalidUID):
        study_scope(BASE, study)


@pytest.mark.parametrize(
    "url",
    [
        "", "images.example.org/dicomweb", "http://images.example.org", "https://*.example.org", "https://*", "https://",
        f"{BASE}*", f"{BASE}?x", f"{BASE}?", f"{BASE}#x", f"{BASE}/..", f"{BASE}//", f"{BASE}/a b", f"{BASE}/%2e",
        "https://user:password@images.example.org", "https://images.example.org:port", "https://[::1", f"{BASE}\n",
        'https://images.example.org/a"b', "https://images.example.org/a\\b",
    ],
)  # fmt: skip
def test_hostile_base_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        study_scope(url, STUDY)


def test_host_names_are_lower_case_and_a_slash_at_the_end_counts_for_nothing() -> None:
    assert study_scope("https://IMAGES.example.org/dicomweb/", STUDY) == study_scope(BASE, STUDY)
    assert study_scope("https://images.example.org", STUDY).resource == f"https://images.example.org/studies/{STUDY}/*"
    assert study_scope("https://images.example.org:8443", STUDY).example.startswith("https://images.example.org:8443/")


@given(st.text(max_size=40), st.text(max_size=80))
def test_no_input_brings_a_wildcard_into_a_policy(study: str, url: str) -> None:
    for base, uid in ((BASE, study), (url, STUDY), (f"{BASE}/{url}", STUDY)):
        try:
            scope = study_scope(base, uid)
        except (UsageError, InvalidUID):
            continue
        assert scope.resource.index("*") == len(scope.resource) - 1
        assert "?" not in scope.resource
        assert scope.resource.endswith(f"/studies/{uid}/*")


def test_cookies_go_to_their_study_alone() -> None:
    made = grant()
    lines = made.set_cookies()
    assert [line.partition("=")[0] for line in lines] == [
        "CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id", "CloudFront-Hash-Algorithm",
    ]  # fmt: skip
    for line in lines:
        assert line.endswith(f"; Path=/dicomweb/studies/{STUDY}/; Secure; HttpOnly; SameSite=None")
        assert "Domain" not in line
    assert all("; Domain=example.org; Path=" in line for line in made.set_cookies("example.org"))
    assert all("; Domain=images.example.org; " in line for line in made.set_cookies("images.example.org"))
    for domain in ("ample.org", "other.org", "x.images.example.org", "example.org; Path=/", ".example.org"):
        with pytest.raises(UsageError, match="do not reach"):
            made.set_cookies(domain)


def test_botocore_signs_the_same() -> None:
    made = grant(algorithm=Hash.SHA1, ip="192.0.2.0/24")
    signer = CloudFrontSigner(KEY_ID, lambda message: RSA.sign(message, padding.PKCS1v15(), hashes.SHA1()))
    expires = datetime.fromtimestamp(made.expires, UTC)
    assert signer.build_policy(made.scope.resource, expires, ip_address="192.0.2.0/24") == made.policy
    assert signer.generate_presigned_url(made.scope.example, policy=made.policy) == made.url()


def test_a_url_carries_what_cookies_do() -> None:
    made = grant()
    parts = urlsplit(made.url())
    assert parts._replace(query="").geturl() == f"{BASE}/studies/{STUDY}/metadata"
    parameters = {name: value for name, (value,) in parse_qs(parts.query, strict_parsing=True).items()}
    assert parameters == made.parameters
    assert CloudFront(RSA).allows(f"{BASE}/studies/{STUDY}/series", parameters)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28_800), ("30d", 2_592_000)])
def test_lifetimes(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "h", "0h", "-1h", "1.5h", "8 h", "8h\n", "31d", "99999999d", "8H", "\uff11h"]
)
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(UsageError):
        parse_lifetime(text)


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    written: bytes = key.private_bytes(serialization.Encoding.PEM, form, encryption)
    return written


def test_keys_that_cloudfront_takes() -> None:
    for key in (RSA, P256):
        assert load_private_key(pem(key)).private_numbers() == key.private_numbers()
    old = RSA.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert load_private_key(old).private_numbers() == RSA.private_numbers()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"not a key", pem(RSA, b"password"), pem(rsa.generate_private_key(65537, 3072)),
        pem(ec.generate_private_key(ec.SECP384R1())), pem(ed25519.Ed25519PrivateKey.generate()),
        RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "password", "3072", "P-384", "Ed25519", "public"],
)  # fmt: skip
def test_other_keys_are_refused_without_showing_them(data: bytes) -> None:
    with pytest.raises(UsageError) as refused:
        load_private_key(data)
    assert "BEGIN" not in str(refused.value)


@pytest.mark.parametrize("key_id", ["", "K 1", "K;1", "K\n1", "K/1"])
def test_key_ids(key_id: str) -> None:
    with pytest.raises(UsageError, match="public key"):
        grant(key_id=key_id)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "private.pem"
    path.write_bytes(pem(RSA))
    path.chmod(0o600)
    return path


@pytest.mark.slow
def test_the_command(key_file: Path) -> None:
    common = ("--base-url", BASE, "--key-id", KEY_ID, "--private-key", key_file, "--expires", "8h")
    done = run("grant", *common, "--study", STUDY)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)
    assert done.stdout.startswith("Set-Cookie: CloudFront-Policy=")
    assert re.fullmatch(rf"opens {re.escape(BASE)}/studies/1\.2\.3/\* until 2\S+Z\n", done.stderr)
    values = json.loads(run("grant", *common, "--study", STUDY, "--format", "json").stdout)
    url = f"{BASE}/studies/{STUDY}/metadata"
    assert CloudFront(RSA).allows(url, values["cookies"], now=time.time())
    assert not CloudFront(RSA).allows(url, values["cookies"], now=time.time() + 8 * 3600 + 1)
    shown = run("grant", "--base-url", ROOT, *common[2:], "--whole-root", "--format", "url", "--hash", "sha1").stdout
    assert shown.startswith(f"{ROOT}/studies?Policy=")
    assert "Hash-Algorithm" not in shown


@pytest.mark.slow
def test_what_the_command_refuses(key_file: Path, tmp_path: Path) -> None:
    common = ("--base-url", BASE, "--key-id", KEY_ID, "--expires", "8h", "--private-key", key_file)
    for arguments, message in (
        ((), "one of --study UID and --whole-root is needed"),
        (("--study", STUDY, "--whole-root"), "only one of --study UID and --whole-root"),
        (("--whole-root",), "opens every study"),
        (("--study", "1.2.*"), "is not a UID"),
        (("--study", STUDY, "--expires", "1y"), "a lifetime is"),
        (("--study", STUDY, "--cookie-domain", "evil.example"), "do not reach"),
    ):
        done = run("grant", *common, *arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_private_key_that_others_can_read_is_warned_of(key_file: Path) -> None:
    key_file.chmod(0o644)
    done = run("grant",
        "--base-url", BASE, "--study", STUDY, "--key-id", KEY_ID, "--expires", "8h", "--private-key", key_file
    )  # fmt: skip
    assert done.returncode == 0
    assert f"warning: the private key {key_file} is open to others" in done.stderr
    assert "PRIVATE KEY" not in done.stdout + done.stderr
