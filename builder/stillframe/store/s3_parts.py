"""Large objects: written in parts, a few at once, or from a file in one request. boto3 sends them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from stillframe.dicom.files import ReadableFile
from stillframe.errors import StoreError
from stillframe.parallel import map_ahead
from stillframe.store.s3_client import SCHEME, Bucket, Checksums
from stillframe.store.s3_requests import head_object, persist

PART_BYTES: Final = 16 << 20
"""Of a multipart upload; 10,000 of them are allowed, so an object may have 160 GB."""
_PARTS_AT_ONCE: Final = 4


def check_sums(bucket: Bucket, body: bytes) -> dict[str, str]:
    """The arguments that let the store see that the bytes arrived as they were sent."""
    if bucket.settings.checksums is Checksums.ALWAYS:
        return {"ChecksumAlgorithm": "CRC32"}
    return {"ContentMD5": _md5([body])}


def read_part(file: ReadableFile) -> bytes:
    """As many bytes as a part has, fewer only at the end of the file."""
    part = bytearray()
    while len(part) < PART_BYTES and (piece := file.read(PART_BYTES - len(part))):
        part += piece
    return bytes(part)


def put_whole(bucket: Bucket, name: str, headers: dict[str, str], file: ReadableFile, size: int) -> None:
    """Write an object from a file of `size` bytes in one request. `headers` are arguments of boto3.

    Raises:
        StoreError: as `persist` does.
    """
    sums = {"ChecksumAlgorithm": "CRC32"}
    if bucket.settings.checksums is Checksums.REQUIRED:
        file.seek(0)
        sums = {"ContentMD5": _md5(iter(partial(file.read, 1 << 20), b""))}

    def request() -> Any:
        file.seek(0)
        return bucket.client.put_object(Bucket=bucket.name, Key=name, Body=file, ContentLength=size, **headers, **sums)

    persist(request, f"{SCHEME}{bucket.name}/{name}", bucket.settings.patience)


def put_parts(bucket: Bucket, name: str, headers: dict[str, str], pieces: Iterable[bytes]) -> int:
    """Write an object with a multipart upload and return its size in bytes. `headers` are arguments of boto3.

    A few parts are sent at once, so that no more of a large file is in memory.

    Raises:
        StoreError: as `persist` does.
    """
    upload = _Upload(bucket, name, headers)
    try:
        numbered = enumerate(pieces, 1)
        put = map_ahead(upload.put, numbered, _PARTS_AT_ONCE, window=_PARTS_AT_ONCE - 1)
        parts, sizes = zip(*put, strict=True)
        upload.complete(parts)
    except BaseException:
        with suppress(StoreError):
            upload.abort()
        raise
    return sum(sizes)


class _Upload:
    """A multipart upload that has been begun."""

    def __init__(self, bucket: Bucket, name: str, headers: dict[str, str]) -> None:
        self._bucket = bucket
        self._name = name
        sums = {"ChecksumAlgorithm": "CRC32"} if bucket.settings.checksums is Checksums.ALWAYS else {}
        self._id = {"UploadId": self._call("create_multipart_upload", **headers, **sums)["UploadId"]}

    def _call(self, method: str, **arguments: Any) -> Any:
        request = partial(getattr(self._bucket.client, method), Bucket=self._bucket.name, Key=self._name, **arguments)
        return persist(request, f"{SCHEME}{self._bucket.name}/{self._name}", self._bucket.settings.patience)

    def put(self, numbered: tuple[int, bytes]) -> tuple[dict[str, Any], int]:
        """Send a part; what completes the upload is told of it, and its size."""
        number, part = numbered
        sums = check_sums(self._bucket, part)
        answer = self._call("upload_part", PartNumber=number, Body=part, **self._id, **sums)
        told = {name: value for name, value in answer.items() if name == "ChecksumCRC32"}
        return {"ETag": answer["ETag"], "PartNumber": number} | told, len(part)

    def complete(self, parts: Sequence[dict[str, Any]]) -> None:
        """Let the parts be the object."""
        try:
            self._call("complete_multipart_upload", MultipartUpload={"Parts": parts}, **self._id)
        except StoreError:
            # An answer that got lost is followed by one that there is no such upload.
            head = head_object(self._bucket, self._name, self._bucket.settings.patience)
            if head is None or head.etag != _multipart_etag(parts):
                raise

    def abort(self) -> None:
        """Have the store forget the parts."""
        self._call("abort_multipart_upload", **self._id)


def _md5(pieces: Iterable[bytes]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode("ascii")


def _multipart_etag(parts: Sequence[dict[str, Any]]) -> str:
    """The tag that S3 gives an object made of these parts, where tags are MD5 digests."""
    digests = b"".join(bytes.fromhex(tag) for part in parts if len(tag := part["ETag"].strip('"')) == 32)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
