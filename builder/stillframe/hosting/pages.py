"""The pages beside a tree: the study browser and the viewer's configuration, rendered from `templates/`.

Rendering is pure: values in, text out. Every value may come from a hostile file, so HTML is autoescaped and what
enters JavaScript goes through `tojson`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2

from stillframe.dicom.json_model import PN_GROUPS, STUDY_UID
from stillframe.dicom.uids import is_uid
from stillframe.errors import StillframeError

TITLE: Final = "Stillframe"

_STUDY_DATE = "00080020"
_MODALITIES_IN_STUDY = "00080061"
_STUDY_DESCRIPTION = "00081030"
_PATIENT_NAME = "00100010"
_PATIENT_ID = "00100020"
_SERIES_COUNT = "00201206"
_INSTANCE_COUNT = "00201208"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """What the study browser shows of one study: texts as people read them, "" where the list has nothing."""

    study_uid: str
    patient_name: str
    patient_id: str
    date: str
    description: str
    modalities: tuple[str, ...]
    series_count: str
    instance_count: str


def list_studies(records: Any) -> list[StudyRow]:
    """The rows of a study browser, newest first.

    `records` is a parsed `studies` list (PS3.18 10.6.3.3.1). Records without a Study UID fit for a URL are left out.
    """
    rows = [_study_row(record) for record in records if isinstance(record, dict)] if isinstance(records, list) else []
    return sorted((row for row in rows if is_uid(row.study_uid)), key=lambda row: row.date, reverse=True)


def render_study_page(studies: Sequence[StudyRow], *, root: str, viewer: str = "", notice: str = "") -> str:
    """The study browser as an HTML page.

    `root` is the URL of the DICOMweb service root without a trailing slash, `viewer` that of a viewer that takes
    `?StudyInstanceUIDs=` ("" for none); `notice` is shown above the list.
    """
    return render("index.html.j2", title=TITLE, studies=studies, root=root, viewer=viewer, notice=notice)


def render_viewer_config(*, root: str) -> str:
    """OHIF's `app-config.js` for the service at `root`, a URL that may be relative to the page that loads it."""
    return render("app-config.js.j2", title=TITLE, root=root)


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


def _study_row(record: dict[str, Any]) -> StudyRow:
    date = _text(record, _STUDY_DATE)
    return StudyRow(
        study_uid=_text(record, STUDY_UID),
        patient_name=_text(record, _PATIENT_NAME).replace("^", ", ", 1).replace("^", " ").strip(" ,"),
        patient_id=_text(record, _PATIENT_ID),
        date=f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdecimal() else date,
        description=_text(record, _STUDY_DESCRIPTION),
        modalities=tuple(_texts(record, _MODALITIES_IN_STUDY)),
        series_count=_text(record, _SERIES_COUNT),
        instance_count=_text(record, _INSTANCE_COUNT),
    )


def _text(record: dict[str, Any], tag: str) -> str:
    return next(_texts(record, tag), "")


def _texts(record: dict[str, Any], tag: str) -> Iterator[str]:
    """The values of an attribute as text; of a person name the first component group that is there (PS3.18 F.2.2)."""
    element = record.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    for value in values if isinstance(values, list) else []:
        if isinstance(value, dict):
            yield str(next(filter(None, map(value.get, PN_GROUPS)), ""))
        elif value is not None:
            yield str(value)
