"""What a bucket with versions keeps of an object that was deleted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from stillframe.errors import NotFound, Refused
from stillframe.store.base import KeptVersions
from stillframe.store.s3_client import SCHEME, Bucket
from stillframe.store.s3_requests import persist


def kept_versions(bucket: Bucket, name: str) -> KeptVersions | None:
    """What a bucket keeps of an object that was deleted, or None if it keeps nothing.

    S3 says so when it is asked for the object (`x-amz-delete-marker`), which takes no right that a job lacks.

    Raises:
        StoreError: as `persist` does.
    """
    what, patience = f"{SCHEME}{bucket.name}/{name}", bucket.settings.patience
    try:
        if not persist(partial(_is_marked, bucket, name), what, patience):
            return None
    except NotFound:
        return None
    request = partial(bucket.client.get_bucket_lifecycle_configuration, Bucket=bucket.name)
    try:
        rules = persist(request, what, patience)["Rules"]
    except (NotFound, Refused):  # there is none, or the job may not read it
        return KeptVersions(None)
    return KeptVersions(days_kept(rules, name))


def days_kept(rules: Iterable[dict[str, Any]], name: str) -> int | None:
    """After how many days lifecycle rules delete the last older version of an object; None if they do not."""
    return min((days for rule in rules if (days := _days(rule, name)) is not None), default=None)


def _is_marked(bucket: Bucket, name: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        bucket.client.head_object(Bucket=bucket.name, Key=name)
    except ClientError as error:
        if error.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-delete-marker") == "true":
            return True
        raise
    return False


def _days(rule: dict[str, Any], name: str) -> int | None:
    """After how many days one rule does. One that looks at tags or sizes may not be for this object."""
    expiration = rule.get("NoncurrentVersionExpiration", {})
    where = rule.get("Filter", {})
    if rule.get("Status") != "Enabled" or "NewerNoncurrentVersions" in expiration or {*where} - {"Prefix"}:
        return None
    days: int | None = expiration.get("NoncurrentDays")
    return days if name.startswith(where.get("Prefix", rule.get("Prefix", ""))) else None
