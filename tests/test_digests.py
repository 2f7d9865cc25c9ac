"""Digests against published ones, and the names that say what made them."""

from __future__ import annotations

import pytest

from stillframe.digests import ALGORITHM, algorithm_of, digest_bytes, named, new_digest

# BLAKE3's test vectors (bytes that count up modulo 251); NIST's example for SHA-256 (FIPS 180-2 B.1).
VECTORS = [
    ("blake3", b"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    ("blake3", b"\0", "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
    ("sha256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
]


@pytest.mark.parametrize(("algorithm", "data", "expected"), VECTORS)
def test_digests_are_the_published_ones(algorithm: str, data: bytes, expected: str) -> None:
    assert digest_bytes(data, algorithm).hex() == expected
    digest = new_digest(algorithm)
    for byte in data:
        digest.update(bytes([byte]))
    assert digest.hexdigest() == expected
    assert digest.digest().hex() == expected


@pytest.mark.parametrize(
    ("digest", "algorithm"),
    [("sha256:00", "sha256"), ("blake3:00", "blake3"), ("md5:00", ALGORITHM), ("", ALGORITHM), ("unknown", ALGORITHM)],
)
def test_what_names_no_known_algorithm_is_compared_by_ours(digest: str, algorithm: str) -> None:
    assert algorithm_of(digest) == algorithm
    assert algorithm_of(named("sha256", "00")) == "sha256"
