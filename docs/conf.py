"""How the documentation is built: `make docs`, with every warning an error."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

if TYPE_CHECKING:
    from types import ModuleType

    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PACKAGE = "stillframe"

project = "Stillframe"
author = "the Stillframe authors"
copyright = author  # noqa: A001 Sphinx chose the name
release = version = importlib.metadata.version("stillframe")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # would make a dash of --option
default_role = "code"  # docstrings write `name`, as Markdown does

html_theme = "furo"
html_title = "Stillframe"
html_copy_source = False

myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "ignore-module-all": True,
    "show-inheritance": True,
}
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def write_api_pages(app: Sphinx) -> None:
    """Write a page for the package, and one for each room of it, below `reference/api/`."""
    packages = list(_packages(importlib.import_module(PACKAGE)))
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{_page_name(package.__name__)}.rst": _page(package) for package in packages}
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _packages(package: ModuleType) -> Iterator[ModuleType]:
    """The package and those within it, with all their modules imported."""
    _import_names_of_types(package)
    yield package
    for name, is_package in _children(package):
        child = importlib.import_module(name)
        if is_package:
            yield from _packages(child)
        else:
            _import_names_of_types(child)


def _children(package: ModuleType) -> list[tuple[str, bool]]:
    """Names of the public modules in a package, and whether each is a package itself."""
    found = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    return sorted((child.name, child.ispkg) for child in found if not child.name.rpartition(".")[2].startswith("_"))


def _page_name(package: str) -> str:
    return "index" if package == PACKAGE else package.removeprefix(f"{PACKAGE}.")


def _page(package: ModuleType) -> str:
    name = package.__name__
    rooms = [child for child, is_package in _children(package) if is_package]
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", ""]
    if rooms:
        lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {_page_name(room)}" for room in rooms), ""]
    for child, is_package in _children(package):
        if not is_package:
            title = child.rpartition(".")[2]
            lines += [title, "-" * len(title), "", f".. automodule:: {child}", ""]
    return "\n".join(lines)


def _import_names_of_types(module: ModuleType) -> None:
    """Do the imports that a module leaves to type checkers, so that its annotations say what they mean."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            code = compile(ast.Module(node.body, []), str(module.__file__), "exec")
            exec(code, module.__dict__)


def read_sections(_app: Sphinx, what: Any, name: str, value: Any, _options: Any, lines: list[str]) -> None:
    """Read the sections of a docstring in Google's style (`Returns:`, `Raises:` …).

    Napoleon as an extension would take what stands before a colon for a type, in attributes and in what is returned.
    Types are in annotations here.
    """
    if what not in {"attribute", "data", "property"}:
        config: Any = Config(napoleon_custom_sections=["Returns", "Yields"])
        lines[:] = GoogleDocstring(lines, config, what=what, name=name, obj=value).lines()


def shorten_defaults(
    _app: Sphinx, _what: str, _name: str, _value: Any, _options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Write defaults that are no Python, such as `<factory>`, as an ellipsis: signatures are parsed."""
    return signature and re.sub(r"<\w[^<>]*>", "...", signature), result


def resolve_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Any) -> Any:
    """Resolve a name that Sphinx did not find; the build fails for one that this does not find either.

    A name may be one that its module imports from another. Private names, type parameters and names of other packages
    stay plain text: the documentation of other packages is on the network, which a build does without.
    """
    if node.get("refdomain") != "py":
        return None
    name: str = node["reftarget"]
    module = sys.modules.get(node.get("py:module", ""))
    value = getattr(module, name.partition(".")[0], None)
    full = f"{value.__module__}.{name}" if inspect.isclass(value) or inspect.isfunction(value) else name
    if full.startswith(f"{PACKAGE}."):
        if full.rpartition(".")[2].startswith("_"):
            return text
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, text)
    is_parameter = len(name) == 1 and name.isupper()
    return text if value is not None or "." in full or hasattr(builtins, name) or is_parameter else None


def setup(app: Sphinx) -> None:
    """Connect the functions above with the moments of a build."""
    app.connect("builder-inited", write_api_pages)
    app.connect("autodoc-process-docstring", read_sections)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("missing-reference", resolve_name)
