"""The house: which room imports which, where libraries are at home, and that a violation is noticed."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillframe.worker_process import PRELOADED
from tests.support.places import REPOSITORY

PACKAGE = REPOSITORY / "builder/stillframe"
ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)


def check_contract(folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold the package in a folder against the contract of pyproject.toml."""
    command = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(command), "--no-cache", "--no-logo", str(REPOSITORY / "pyproject.toml")],
        cwd=folder, env={"PYTHONPATH": str(folder), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to plant violations in."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "stillframe", ignore=ignored))


def test_the_contract_holds(copy: Path) -> None:
    done = check_contract(copy.parent)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("dicom/walk.py", "from stillframe.cli import terminal", "A room imports only from rooms below it BROKEN"),
        ("store/base.py", "from stillframe.source import inputs", "A room imports only from rooms below it BROKEN"),
        ("build/plan.py", "from stillframe.hosting import serve", "A room imports only from rooms below it BROKEN"),
        ("errors.py", "from stillframe.dicom import uids", "A room imports only from rooms below it BROKEN"),
        ("dicom/uids.py", "from stillframe.dicom import read", "No circle among rooms, nor among the modules of one"),
        ("store/s3.py", "from stillframe.codec import htj2k", "knows nothing of pixels BROKEN"),
        ("build/plan.py", "import click", "click: at home in cli BROKEN"),
        ("archive/qido.py", "import numpy", "numpy: at home in"),
        ("source/scan.py", "import pydicom", "pydicom: at home in dicom and pixels BROKEN"),
        ("source/s3_objects.py", "import botocore", "boto3, botocore: at home in"),
        ("source/s3_objects.py", "import obstore", "obstore: at home in store BROKEN"),
        ("cli/main.py", "import jinja2", "jinja2, cryptography: at home in hosting BROKEN"),
    ],
)
def test_a_planted_import_breaks_the_contract(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / module
    path.write_text(path.read_text() + f"\n{line}\n")
    done = check_contract(copy.parent)
    assert done.returncode == 1
    (broken,) = [text for text in done.stdout.splitlines() if contract in text and text.endswith(" BROKEN")]
    assert broken


def test_a_new_room_has_to_be_given_its_floor(copy: Path) -> None:
    (copy / "attic").mkdir()
    (copy / "attic/__init__.py").write_text('"""A room that the contract does not know."""\n')
    done = check_contract(copy.parent)
    assert done.returncode == 1
    assert "stillframe.attic" in done.stdout


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_says_what_it_is_for_and_imports_nothing(room: Path) -> None:
    (statement,) = ast.parse((room / "__init__.py").read_text()).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)
    assert str(statement.value.value).endswith(".")


def test_what_workers_preload_is_there() -> None:
    for name in PRELOADED:
        assert (PACKAGE.parent / f"{name.replace('.', '/')}.py").is_file()


@pytest.mark.slow
def test_no_test_imports_another_test() -> None:
    for path in (REPOSITORY / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if ".test_" in name], path
