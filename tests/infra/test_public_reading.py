"""The bucket policy of the documentation that lets everybody read, held against the keys of an archive."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

from tests.support.places import REPOSITORY
from tests.support.urls import KEYS, TOKEN, TRAPS, WORD

_PAGE = (REPOSITORY / "docs/how-to/host-on-other-stores.md").read_text()
_LISTED = [key for key in KEYS if not key.startswith(TOKEN)]
_OTHERS = [path for path in TRAPS if "studies" not in path.lower()]


def covered(resource: str, key: str) -> bool:
    """Whether a policy's resource covers a key: its star stands for any characters, slashes among them."""
    return fnmatchcase(f"arn:aws:s3:::my-archive/dicomweb/{key}", resource)


def test_everybody_may_read_objects_of_the_service_and_list_nothing() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", _PAGE, re.DOTALL)
    (statement,) = json.loads(block)["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Allow", "s3:GetObject", "*")
    assert all(covered(statement["Resource"], key) for key in _LISTED)
    assert f"pending/{WORD}" in _OTHERS
    assert not [path for path in (*_OTHERS, f"{TOKEN}/studies") if covered(statement["Resource"], path)]


def test_unlisted_studies_have_a_resource_of_their_own() -> None:
    (resource,) = re.findall(r"`(arn:aws:s3:::my-archive/dicomweb/\*\S*)`", _PAGE)
    assert all(covered(resource, f"{TOKEN}/{key}") for key in _LISTED)
    assert not [path for path in (*_OTHERS, *_LISTED[:1]) if covered(resource, path)]
