"""Tokens in a store: small objects by which two machines find out whether they see the same one.

In a folder a token is a temporary file, which is no object of an archive. In a bucket it lies below `probe`.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.folder_files import failure
from stillframe.store.s3 import S3Store
from stillframe.store.s3_check import is_aws, request


def leave_token(store: Store, after: str = "") -> str:
    """Leave a new token; its name, empty where none is needed: the name of a bucket of AWS stands for one bucket only.

    One that is left `after` another goes with it.

    Raises:
        StoreError: if it cannot be written.
    """
    name = f"{after}{uuid.uuid4().hex}"
    if isinstance(store, DirectoryStore):
        try:
            _path(store, name).write_bytes(b"")
        except OSError as error:
            raise failure(f"the destination {store.root} cannot be written", error) from error
    elif isinstance(store, S3Store) and not is_aws(store):
        request(store, "put_object", Key=_key(store, name), Body=b"token")
    else:
        name = ""
    return name


def has_token(store: Store, name: str) -> bool:
    """Whether a token is there that somebody else left; without a name, whether none is needed here, too.

    Raises:
        StoreError: if the store does not tell.
    """
    if isinstance(store, DirectoryStore):
        return bool(name) and _path(store, name).exists()
    if isinstance(store, S3Store) and name:
        return request(store, "head_object", Key=_key(store, name)) is not None
    return not isinstance(store, S3Store) or is_aws(store)


def remove_tokens(store: Store, name: str) -> None:
    """Remove a token, and those that were left after it.

    Raises:
        StoreError: if that fails.
    """
    if not name:
        return
    if isinstance(store, DirectoryStore):
        try:
            for path in Path(store.root).glob(f".{name}*.part"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise failure(f"a token in {store.root}", error) from error
    elif isinstance(store, S3Store):
        listed = request(store, "list_objects_v2", Prefix=_key(store, name))
        for content in listed.get("Contents", ()):
            request(store, "delete_object", Key=content["Key"])


def _path(store: DirectoryStore, name: str) -> Path:
    return Path(store.root) / f".{name}.part"


def _key(store: S3Store, name: str) -> str:
    return f"{store.prefix}/probe/{name}".lstrip("/")
