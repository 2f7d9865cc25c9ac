"""Values as query lists hold them: those that clients can read. The metadata of instances keep what the source has.

One value that a client does not expect may cost it the whole list: a viewer that meets a null in a name shows no study.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stillframe.dicom.json_model import PN_GROUPS
from stillframe.dicom.uids import is_uid

# Far more characters than any VR of a list may have (PS3.5 6.2), so that one record weighs little in a list of many.
_LONGEST: Final = 1024
_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,64}\s*")
_EXACT: Final = 1 << 53  # up to here a double holds every integer
_MOST_OF_US: Final = 0xFFFF


def readable_element(element: Mapping[str, Any], vr: str, *, several: bool = False) -> dict[str, Any] | None:
    """An attribute of a list, of the VR that PS3.6 gives it; None if nothing of it is of any use to a client.

    Empty values, which the JSON model writes as null (PS3.18 F.2.5), are passed over: of an attribute with one value
    the first that can be read counts. One that may have `several` values is left out if any of them cannot be read,
    since their order has a meaning.
    """
    if element.get("vr") != vr:
        return None
    read: Callable[[Any], Any] = _READ.get(vr, _text)
    values = [read(value) for value in element.get("Value") or ()]
    if several:
        return {"vr": vr, "Value": values} if values and None not in values else None
    first = next((value for value in values if value is not None), None)
    return None if first is None else {"vr": vr, "Value": [first]}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() and len(value) <= _LONGEST else None


def _uid(value: Any) -> str | None:
    return value if isinstance(value, str) and is_uid(value) else None


def _name(value: Any) -> dict[str, str] | None:
    """A person's name by its groups (PS3.18 F.2.2)."""
    if not isinstance(value, dict):
        return None
    return {name: value[name] for name in PN_GROUPS if _text(value.get(name))} or None


def _integer(value: Any) -> int | str | None:
    """A number of VR IS; text that is one becomes it, unless a double would change it."""
    number = int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    return number if abs(number) < _EXACT else value.strip() if isinstance(value, str) else None


def _short(value: Any) -> int | None:
    number = value if isinstance(value, int) and not isinstance(value, bool) else -1
    return number if 0 <= number <= _MOST_OF_US else None


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {"UI": _uid, "PN": _name, "IS": _integer, "US": _short}
