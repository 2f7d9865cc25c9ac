from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from stillframe.dicom.files import LoadedInput
from stillframe.source.open import InputDigest, digest_of

# The input of 102,400 bytes among BLAKE3's test vectors, and its digest.
DATA = (bytes(range(251)) * 408)[:102400]
EXPECTED = "blake3:bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"


@pytest.mark.parametrize("beside", [False, True])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, beside: bool) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as file:
        file.seek(7)
        digest = InputDigest(file, beside=beside)
        assert digest.wait() == digest.wait() == EXPECTED
        assert file.tell() == (7 if beside else len(DATA))
        assert (digest.seconds_beside() > 0) == beside
        assert digest.seconds_beside() == 0
    assert InputDigest(LoadedInput(DATA), beside=beside).wait() == EXPECTED


def test_a_digest_of_the_older_kind_is_made_where_a_record_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    expected = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    with (tmp_path / "file").open("rb") as file:
        assert digest_of(file, "sha256") == expected
    assert digest_of(LoadedInput(DATA), "sha256") == expected


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see open files")
def test_a_digest_beside_outlives_the_file_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (tmp_path / "file").open("rb") as file:
        digest = InputDigest(file, beside=True)
    assert digest.wait() == EXPECTED
    for thread in threading.enumerate():
        if thread.name == "digest":
            thread.join(60)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_cannot_be_read_is_told_who_asks_for_the_digest(tmp_path: Path) -> None:
    """A folder can be opened, but not read (read(2), EISDIR)."""

    class Folder(LoadedInput):
        def fileno(self) -> int:
            return descriptor

    descriptor = os.open(tmp_path, os.O_RDONLY)
    digest = InputDigest(Folder(b""), beside=True)
    with pytest.raises(IsADirectoryError):
        digest.wait()
    os.close(descriptor)
