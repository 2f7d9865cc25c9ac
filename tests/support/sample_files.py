"""Real files that are installed with pydicom and pydicom-data."""

from __future__ import annotations

import importlib.util
from pathlib import Path


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
