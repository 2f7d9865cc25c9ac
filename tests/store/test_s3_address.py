"""Where requests go, as boto3 has it: regions, virtual hosts, profiles, certificates, proxies."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from stillframe.errors import StoreError
from stillframe.store.s3 import S3Store
from stillframe.store.s3_address import Address, find_address
from stillframe.store.s3_client import Bucket, S3Settings
from tests.support.scripted_store import ScriptedStore, answer, in_turn, of_obstore

WRITTEN = answer("200 OK", ETag='"e"')


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "aws_ca_bundle", "requests_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "url", "region"),
    [
        ("archive", {"region": "us-east-1"}, "https://archive.s3.amazonaws.com", "us-east-1"),
        ("archive", {"region": "eu-central-1"}, "https://archive.s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("archive", {"region": "cn-north-1"}, "https://archive.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("archive", {"region": "aws-global"}, "https://archive.s3.amazonaws.com", "us-east-1"),
        # Certificates of AWS hold for one label before the host.
        ("my.archive", {"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/my.archive", "eu-central-1"),
        ("archive", {"region": "eu-central-1", "path_style": True}, "https://s3.eu-central-1.amazonaws.com/archive",
         "eu-central-1"),
        ("archive", {"endpoint_url": "https://s3.example.org:9/"}, "https://s3.example.org:9/archive", "us-east-1"),
        ("archive", {"endpoint_url": "https://s3.example.org", "path_style": False, "region": "auto"},
         "https://archive.s3.example.org", "auto"),
    ],
)  # fmt: skip
def test_addresses_of_buckets(name: str, settings: dict[str, object], url: str, region: str) -> None:
    bucket = Bucket(name, S3Settings(**settings))  # type: ignore[arg-type]  # as S3Settings has them
    assert find_address(bucket) == Address(url, region, past_proxies=False)


def test_requests_that_nobody_signs_have_no_region_to_sign_for() -> None:
    settings = S3Settings(endpoint_url="https://s3.example.org", no_sign_request=True)
    address = find_address(Bucket("archive", settings))
    assert address == Address("https://s3.example.org/archive", "", past_proxies=False)


@pytest.mark.parametrize("name", ["arn:aws:s3:eu-west-1:123456789012:accesspoint/archive", "archive--use1-az4--x-s3"])
def test_access_points_and_directory_buckets_are_boto3s(name: str) -> None:
    assert find_address(Bucket(name, S3Settings(region="us-east-1"))) is None


def test_what_a_profile_says_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its credentials, endpoint, region and way to the bucket."""
    profiles = tmp_path / "config"
    profiles.write_text(
        "[profile own]\naws_access_key_id = k\naws_secret_access_key = s\n"
        "endpoint_url = https://s3.example.org\nregion = moon-1\n"
        "[profile fast]\naws_access_key_id = k\naws_secret_access_key = s\n"
        "region = eu-central-1\ns3 =\n    use_accelerate_endpoint = true\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    own = find_address(Bucket("archive", S3Settings(profile="own")))
    assert own == Address("https://s3.example.org/archive", "moon-1", past_proxies=False)
    fast = find_address(Bucket("archive", S3Settings(profile="fast")))
    assert fast == Address("https://archive.s3-accelerate.amazonaws.com", "eu-central-1", past_proxies=False)
    with pytest.raises(StoreError, match="missing"):
        find_address(Bucket("archive", S3Settings(profile="missing")))


def test_the_endpoint_of_a_profile_is_where_objects_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedStore(in_turn(WRITTEN)) as server:
        profiles = tmp_path / "config"
        profiles.write_text(
            f"[profile here]\naws_access_key_id = k\naws_secret_access_key = s\nendpoint_url = {server.endpoint_url}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
        S3Store(Bucket("archive", S3Settings(profile="here", path_style=True))).put("studies", b"[]")
        (request,) = server.requests
    assert (request.target, of_obstore(request)) == ("/archive/studies", True)


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_what_goes_through_a_proxy_is_boto3s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "s3.example.org")
    settings = S3Settings(endpoint_url="https://other.example.org")
    assert find_address(Bucket("archive", settings)) is None
    beside = find_address(Bucket("archive", replace(settings, endpoint_url="https://s3.example.org")))
    assert beside == Address("https://s3.example.org/archive", "us-east-1", past_proxies=True)


@pytest.mark.parametrize("beside", ["*", "127.0.0.1"])
def test_a_host_beside_the_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch, beside: str) -> None:
    """By both: obstore alone would take a proxy where NO_PROXY is a star."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", beside)
    with ScriptedStore(in_turn(WRITTEN)) as server:
        S3Store(server.bucket()).put("studies", b"[]")
        assert [of_obstore(request) for request in server.requests] == [True]


# --- certificates -----------------------------------------------------------------------------------------------------


def make_certificate(folder: Path, *, signed_by_itself: bool) -> tuple[Path, Path]:
    """A file with a certificate for 127.0.0.1 and its key, and the bundle that vouches for it."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = dt.datetime.now(dt.UTC)

    def issue(name: str, key: ec.EllipticCurvePrivateKey, *, may_issue: bool) -> bytes:
        names = {whose: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whose)]) for whose in (name, "authority")}
        signing = key if signed_by_itself else authority
        builder = x509.CertificateBuilder().subject_name(names[name]).public_key(key.public_key())
        builder = builder.issuer_name(names[name if signed_by_itself else "authority"])
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(1))
        builder = builder.not_valid_after(now + dt.timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca=may_issue, path_length=None), critical=True)
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = builder.add_extension(addresses, critical=False).sign(signing, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM)

    certificate = issue("server", own, may_issue=signed_by_itself)
    bundle, served = folder / "bundle.pem", folder / "served.pem"
    bundle.write_bytes(certificate if signed_by_itself else issue("authority", authority, may_issue=True))
    served.write_bytes(certificate + own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return served, bundle


@pytest.mark.parametrize("signed_by_itself", [False, True])
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_whoever_trusts_certificates_of_his_own_has_boto3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed_by_itself: bool, variable: str
) -> None:
    """obstore would trust the system's as well, and refuses a server that vouches for itself."""
    served, bundle = make_certificate(tmp_path, signed_by_itself=signed_by_itself)
    monkeypatch.setenv(variable, str(bundle))
    with ScriptedStore(in_turn(WRITTEN), served) as server:
        bucket = server.bucket()
        assert find_address(bucket) is None
        assert S3Store(bucket).put("studies", b"[]").etag == '"e"'
        assert not any(of_obstore(request) for request in server.requests)


def test_certificates_that_the_system_trusts_are_trusted_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, bundle = make_certificate(tmp_path, signed_by_itself=False)
    for variable in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, str(bundle))
    with ScriptedStore(in_turn(WRITTEN), served) as server:
        assert S3Store(server.bucket()).put("studies", b"[]").etag == '"e"'
        assert [of_obstore(request) for request in server.requests] == [True]


@pytest.mark.slow
def test_a_server_that_nobody_vouches_for_is_refused_by_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, _ = make_certificate(tmp_path, signed_by_itself=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with (
        ScriptedStore(in_turn(WRITTEN), served) as server,
        pytest.raises(StoreError, match="SSL validation failed"),
    ):
        S3Store(server.bucket(patience=5.0)).put("studies", b"[]")
    assert server.requests == []
