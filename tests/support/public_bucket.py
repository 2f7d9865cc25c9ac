"""The policy and the CORS rules of the documentation, with which everybody may read a bucket."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from stillframe.store.s3_client import Bucket
from tests.support.places import REPOSITORY

PAGE: Final = REPOSITORY / "docs/how-to/host-on-other-stores.md"
_BUCKET: Final = "my-archive"
_PREFIX: Final = "dicomweb"


def public_policy() -> dict[str, Any]:
    """The policy as the page has it, for the archive `s3://my-archive/dicomweb`."""
    (block,) = re.findall(r"```json\n(\{\"Version\".*?)```", PAGE.read_text(), re.DOTALL)
    policy: dict[str, Any] = json.loads(block)
    return policy


def cors_rules() -> dict[str, Any]:
    """The CORS configuration as the page has it."""
    (block,) = re.findall(r"```json\n(\{\"CORSRules\".*?)```", PAGE.read_text(), re.DOTALL)
    rules: dict[str, Any] = json.loads(block)
    return rules


def open_to_all(bucket: Bucket, prefix: str) -> None:
    """Let everybody read the archive and its site below a prefix of a bucket, and browsers of any origin."""
    text = json.dumps(public_policy()).replace(f":::{_BUCKET}/{_PREFIX}/", f":::{bucket.name}/{prefix}/")
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=text)
    rules = cors_rules()
    for rule in rules["CORSRules"]:
        rule["AllowedOrigins"] = ["*"]
    bucket.client.put_bucket_cors(Bucket=bucket.name, CORSConfiguration=rules)
