"""The wheel holds what a user needs: the templates, the metadata, the command."""

from __future__ import annotations

import configparser
import email
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from stillframe import __version__
from tests.support.places import REPOSITORY

pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")

_TEMPLATES = {f"stillframe/templates/{path.name}" for path in (REPOSITORY / "templates").iterdir()}


def build(target: str, source: Path, output: Path) -> Path:
    """Build with the project's own backend, in this environment: no network."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", output], cwd=source, check=True, timeout=60
    )
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as an installer makes it that has only the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    return build("wheel", source, folder / "dist")


@pytest.mark.slow
def test_the_sdist_is_the_source_without_what_was_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "LICENSE",
        "Makefile",
        "builder/stillframe/layout.py",
        "templates/index.html.j2",
        "infra/archive.yaml",
    } <= names
    assert "tests/conftest.py" in names
    assert not [
        name for name in names if name.split("/")[0] in {".venv", "site", "dist", ".git"} or "__pycache__" in name
    ]


@pytest.mark.slow
def test_the_wheel_has_the_package_and_its_templates(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"stillframe/templates/index.html.j2", "stillframe/templates/app-config.js.j2"} <= _TEMPLATES <= names
    assert {"stillframe/__init__.py", "stillframe/layout.py", "stillframe/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"stillframe", f"stillframe-{__version__}.dist-info"}


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    info = f"stillframe-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = configparser.ConfigParser()
        entry_points.read_string(archive.read(f"{info}/entry_points.txt").decode())
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert (metadata["Name"], metadata["Version"]) == ("stillframe", __version__)
    assert metadata["Requires-Python"] == ">=3.12"
    assert entry_points["console_scripts"]["stillframe"] == "stillframe.cli.main:main"
    base = {value for value in metadata.get_all("Requires-Dist", []) if "extra ==" not in value}
    assert any(value.startswith("pydicom") for value in base)
    assert not [value for value in base if value.split(">")[0] in {"pylibjpeg-libjpeg", "distributed"}]


@pytest.mark.slow
def test_an_installed_wheel_finds_its_templates(wheel: Path, tmp_path: Path) -> None:
    """Installed by unpacking, as a pure wheel may be; the libraries are those of this environment."""
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv/lib").glob("python3*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (libraries,) = {path for path in sys.path if path.endswith("site-packages") and Path(path, "jinja2").is_dir()}
    # After the wheel's own folder, without following .pth files: the source checkout must stay out of sight.
    (packages / "libraries.pth").write_text(f"{libraries}\n")
    code = "from stillframe.hosting import pages, viewer_config; print(pages.templates_folder()); "
    code += "print(viewer_config.render_viewer_config())"
    shown = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", code],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert shown.splitlines()[0] == str((packages / "stillframe/templates").resolve())
    assert "window.config" in shown
