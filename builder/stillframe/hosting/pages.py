"""The pages beside a tree, rendered from `templates/`.

Rendering is pure: values in, text out. HTML is autoescaped, and what enters JavaScript goes through `tojson`. Nothing
of an archive is rendered here: the study page reads the JSON lists in the browser.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from stillframe.errors import StillframeError

TITLE: Final = "Stillframe"


def render_study_page(*, viewer: bool) -> str:
    """The study page as HTML; with `viewer` its rows open studies in the viewer that lies beside it."""
    return render("index.html.j2", title=TITLE, viewer=viewer)


def study_page_files() -> list[Path]:
    """The scripts and the style of the study page, which lie beside it under the same names."""
    return sorted(path for path in templates_folder().glob("study-*") if path.suffix in {".js", ".css"})


def render(template: str, **values: object) -> str:
    """A template with its values filled in."""
    return _environment().get_template(template).render(values)


def templates_folder() -> Path:
    """The folder of the templates: inside the installed package, or at the top of a source checkout.

    Raises:
        StillframeError: if it is in neither; the installation is then incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "templates", package.parents[1] / "templates"):
        if (folder / "index.html.j2").is_file():
            return folder
    raise StillframeError(f"the templates are missing: no templates folder in {package} or beside it")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
