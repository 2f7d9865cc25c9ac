"""Fixtures that several test modules share."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real studies that may lie beside the repository."""
    folder = _ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no shared/data beside the repository")
    return folder


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def pydicom_files() -> list[Path]:
    """Every sample file that is installed with pydicom and pydicom-data, sorted; some are broken on purpose."""
    files = sample_files()
    if not files:
        pytest.skip("neither pydicom nor pydicom-data has sample files here")
    return files


def sample_files() -> list[Path]:
    """The same as a function. The folders are listed: pydicom's own functions download what is not installed."""
    folders = [*_package_folders("pydicom", "data"), *_package_folders("data_store", "data")]  # of pydicom-data
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and _looks_dicom(path))


def _package_folders(package: str, child: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) / child for folder in (spec.submodule_search_locations or [])] if spec else []


def _looks_dicom(path: Path) -> bool:
    if path.suffix == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
