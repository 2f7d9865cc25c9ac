"""The CloudFormation template, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.embed import TEMPLATE


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template as plain values; cfn-lint is what reads it."""
    from cfnlint.decode import decode

    read, errors = decode(str(TEMPLATE))
    assert not errors
    plain: dict[str, Any] = json.loads(json.dumps(read))
    return plain
