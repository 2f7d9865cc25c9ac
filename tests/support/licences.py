"""The licences of everything that Stillframe and its tests install, as the packages themselves declare them.

`python -m tests.support.licences` writes docs/reference/licences.md anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.places import REPOSITORY

PAGE: Final = REPOSITORY / "docs/reference/licences.md"
LOCK: Final = REPOSITORY / "requirements.lock"
_BEGIN: Final = "| package | licence | needed by |\n|---|---|---|\n"

_PERMISSIVE: Final = frozenset(
    ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU",
     "PSF-2.0", "Unlicense", "Zlib", "BSD", "LicenseRef-Public-Domain")
)  # fmt: skip
# Its obligations are for its own files: none is changed here, and none is published with Stillframe.
_UNMODIFIED: Final = frozenset(("MPL-2.0",))
# What older metadata say in words, and what it is called by its SPDX identifier. "BSD" is one of several.
_WORDS: Final = {
    "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0", "apache software license": "Apache-2.0",
    "bsd": "BSD", "bsd license": "BSD", "bsd 2-clause license": "BSD-2-Clause", "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "public domain": "LicenseRef-Public-Domain",
    "python software foundation license": "PSF-2.0",
}  # fmt: skip
# Where the metadata mislead. docutils names the GPL for a mode of Emacs, which is not installed (its COPYING.rst).
_LOOKED_UP: Final = {"docutils": "LicenseRef-Public-Domain AND BSD-2-Clause AND BSD-3-Clause"}
_TOKENS: Final = re.compile(r"[()]|[^\s()]+")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package; `runtime` says whether Stillframe itself needs it, not its tests alone."""

    name: str
    version: str
    licence: str
    runtime: bool


def declared_licence(distribution: Distribution) -> str:
    """What a package declares, as an SPDX expression where it can be told; empty if it declares nothing."""
    metadata = distribution.metadata
    if canonicalize_name(distribution.name) in _LOOKED_UP:
        return _LOOKED_UP[canonicalize_name(distribution.name)]
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    lines = metadata.get_all("Classifier", [])
    classifiers = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License :: ")]
    text = str(metadata.get("License") or "")
    # A text of several lines is a licence itself, and "Dual License" names none.
    told = is_fine(_spdx(text)) or (text and "\n" not in text and not classifiers)
    return " AND ".join(map(_spdx, [text] if told else classifiers))


def _spdx(words: str) -> str:
    return _WORDS.get(words.lower(), words)


def is_fine(licence: str) -> bool:
    """Whether an expression of SPDX (its annex D) leaves a way of using a package that is permissive.

    MPL-2.0 passes: tools and libraries under it are used unmodified.
    """
    tokens = _TOKENS.findall(licence)
    try:
        return _any_of(tokens) and not tokens
    except IndexError:  # it ends in the middle
        return False


def _any_of(tokens: list[str]) -> bool:
    fine = _all_of(tokens)
    while tokens[:1] == ["OR"]:
        del tokens[0]
        fine = _all_of(tokens) or fine
    return fine


def _all_of(tokens: list[str]) -> bool:
    fine = _one(tokens)
    while tokens[:1] == ["AND"]:
        del tokens[0]
        fine = _one(tokens) and fine
    return fine


def _one(tokens: list[str]) -> bool:
    token = tokens.pop(0)
    if token != "(":
        return token in _PERMISSIVE | _UNMODIFIED
    fine = _any_of(tokens)
    return tokens.pop(0) == ")" and fine


def needed_packages(installed: Iterable[Distribution], extras: Iterable[str] = ("test",)) -> list[Package]:
    """Stillframe's dependencies and theirs, of what is installed: those of some extras with them, by their names."""
    found: dict[str, Distribution] = {canonicalize_name(distribution.name): distribution for distribution in installed}
    runtime = set(_reachable(found, "stillframe", frozenset()))
    every = set(_reachable(found, "stillframe", frozenset(extras))) - {"stillframe"}
    return [
        Package(found[name].name, found[name].version, declared_licence(found[name]), name in runtime)
        for name in sorted(every)
    ]


def _reachable(found: Mapping[str, Distribution], name: str, extras: frozenset[str]) -> Iterator[str]:
    waiting, seen = [(name, extras)], {(name, extras)}
    while waiting:
        name, extras = waiting.pop()
        if name not in found:  # an optional one, or one of another system
            continue
        yield name
        for line in found[name].requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                step = (canonicalize_name(requirement.name), frozenset(requirement.extras))
                if step not in seen:
                    seen.add(step)
                    waiting.append(step)


def render_table(packages: Iterable[Package]) -> str:
    """The rows of the page."""
    return "".join(
        f"| {package.name} | {package.licence} | {'Stillframe' if package.runtime else 'tests'} |\n"
        for package in packages
    )


def write_page() -> None:
    """Write the page's table anew, from what is installed."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        text.partition(_BEGIN)[0] + _BEGIN + render_table(needed_packages(distributions())), encoding="utf-8"
    )


if __name__ == "__main__":
    write_page()
