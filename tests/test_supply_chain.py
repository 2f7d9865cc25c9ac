"""What is installed for the tests: exact, hashed, and under licences that ask nothing of users."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.licences import LOCK, PAGE, is_fine, needed_packages, render_table
from tests.support.places import REPOSITORY

_ENTRIES = LOCK.read_text().replace("\\\n", " ").splitlines()
_PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def pinned() -> dict[str, str]:
    """The versions of the lock that this machine gets."""
    requirements = [Requirement(entry.partition(" --hash")[0]) for entry in _ENTRIES if not entry.startswith("#")]
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def test_the_lock_has_exact_versions_with_hashes_and_no_addresses() -> None:
    for entry in _ENTRIES[1:]:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9A-Za-z.+]+( ; [^;]*?)?\s+(--hash=sha256:[0-9a-f]{64}\s*)+", entry), entry
    assert len(_ENTRIES) > 100
    assert not re.search(r"://|index|@ |\.(org|com|io|net)\b", LOCK.read_text())


def test_the_lock_has_what_the_project_asks_for() -> None:
    versions = pinned()
    extras = _PROJECT["optional-dependencies"]
    for line in (*_PROJECT["dependencies"], *extras["test"], *extras["docs"]):
        requirement = Requirement(line)
        if requirement.name != "stillframe" and (requirement.marker is None or requirement.marker.evaluate()):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), line


def test_no_dependency_asks_anything_of_users() -> None:
    packages = needed_packages(distributions())
    assert len(packages) > 60
    assert {package.name for package in packages if package.runtime} > {"pydicom", "numpy", "boto3", "h11", "anyio"}
    assert {package.name for package in packages if not package.runtime} > {"pytest", "Sphinx", "moto"}
    assert [package for package in packages if not is_fine(package.licence)] == []


@pytest.mark.parametrize(
    ("licence", "fine"),
    [
        ("MIT", True), ("BSD-3-Clause AND 0BSD AND Zlib", True), ("MPL-2.0", True),
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("(GPL-3.0-only OR MIT) AND BSD-2-Clause", True), ("GPL-3.0-only", False), ("MIT AND GPL-2.0-or-later", False),
        ("LGPL-2.1-only", False), ("AGPL-3.0-or-later OR GPL-3.0-only", False), ("GNU General Public License", False),
        ("(GPL-3.0-only OR MIT) AND LGPL-3.0-only", False), ("", False), ("UNKNOWN", False), ("MIT AND", False),
        ("(MIT", False), ("MIT)", False), ("MIT GPL-3.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)  # fmt: skip
def test_which_licences_pass(licence: str, fine: bool) -> None:
    assert is_fine(licence) is fine


def plant(folder: Path, name: str, *lines: str) -> None:
    """Install a package of that name, as far as its metadata go."""
    (folder / f"{name}-1.0.dist-info").mkdir()
    head = ("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0")
    (folder / f"{name}-1.0.dist-info/METADATA").write_text("\n".join((*head, *lines, "", "")))


@pytest.mark.parametrize(
    "lines",
    [
        ("License-Expression: GPL-3.0-or-later",), ("License: GPLv3",), ("License: GNU LGPL 2.1",), (),
        ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",),
        ("Classifier: License :: OSI Approved :: MIT License",
         "Classifier: License :: OSI Approved :: GNU General Public License (GPL)"),
        ("License: MIT License and more",),
        ("License: MIT", "License-Expression: GPL-2.0-only"),
    ],
)  # fmt: skip
def test_a_planted_package_under_another_licence_is_found(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """It is a dependency of a dependency, and only on the way of an extra."""
    plant(tmp_path, "stillframe", "Provides-Extra: test", "Requires-Dist: near; extra == 'test'", "Requires-Dist: used")
    plant(tmp_path, "near", "License: MIT", "Requires-Dist: far[more]>=1")
    plant(tmp_path, "far", "License: BSD", "Provides-Extra: more", "Requires-Dist: planted; extra == 'more'")
    plant(tmp_path, "used", "License-Expression: MPL-2.0")
    plant(tmp_path, "stranger", "License: GPL")
    plant(tmp_path, "planted", *lines)
    packages = needed_packages(distributions(path=[str(tmp_path)]))
    assert [(package.name, package.runtime) for package in packages] == [
        ("far", False), ("near", False), ("planted", False), ("used", True),
    ]  # fmt: skip
    assert [package.name for package in packages if not is_fine(package.licence)] == ["planted"]


def test_the_page_lists_them() -> None:
    packages = needed_packages(distributions())
    versions: dict[str, Any] = pinned()
    if any(versions.get(canonicalize_name(package.name)) != package.version for package in packages):
        pytest.skip("the page tells of the versions of requirements.lock, and others are installed")
    assert PAGE.read_text().endswith(render_table(packages)), "python -m tests.support.licences writes it anew"
