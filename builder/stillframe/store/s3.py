"""A store in a bucket of S3, or of a store that speaks its protocol: keys are the URL paths, headers complete."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import batched, chain
from typing import Any, Final, override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import KeyRefused, LayoutError, NotFound, PreconditionFailed, Refused, StoreError
from stillframe.layout import HEAD_BYTES, Kind, cache_control, is_json, is_key, media_type, parse_key
from stillframe.parallel import map_ahead, side_by_side
from stillframe.store.base import KeptVersions, ObjectHead, Store, StoredObject, Written
from stillframe.store.s3_client import PARALLEL, Bucket, Checksums
from stillframe.store.s3_requests import head_object, iter_pages, persist
from stillframe.store.s3_versions import kept_versions

PART_BYTES: Final = 16 << 20
"""Of a multipart upload; 10,000 of them are allowed, so an object may have 160 GB."""
LARGE_BYTES: Final = 2 * PART_BYTES
"""An object with more bytes in memory is put in parts."""
FOLDER_TAG: Final = '"",""'
"""The tag of what SeaweedFS holds for a key that only others begin with: empty, which it matches as one of several."""
_PARTS_AT_ONCE: Final = 4
_MOST_AT_ONCE: Final = 5 << 30  # of one PUT
_DELETED_AT_ONCE: Final = 1000  # more are refused
_GZIP_LEVEL: Final = 6
_FIRST_CONTACT_SECONDS: Final = 10.0


class S3Store(Store):
    """Objects below a prefix of a bucket. JSON is stored gzip-encoded; frames never are."""

    def __init__(self, bucket: Bucket, prefix: str = "", *, public: bool = True) -> None:
        """A store; `public` says whether caches shared by several people may keep its objects."""
        self.bucket = bucket
        self.prefix = prefix
        self.public = public

    @property
    @override
    def parallel(self) -> int:
        return PARALLEL

    @override
    def below(self, name: str) -> S3Store:
        return S3Store(self.bucket, f"{self.prefix}/{name}".lstrip("/"), public=self.public)

    @property
    @override
    def key_prefix(self) -> str:
        return self._name("")

    def __str__(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    def check(self) -> None:
        """See that the bucket is there and answers, before a long job rather than within it.

        Raises:
            StoreError: if it does not, within seconds.
        """
        patience = min(_FIRST_CONTACT_SECONDS, self.bucket.settings.patience)
        bucket = Bucket(self.bucket.name, replace(self.bucket.settings, patience=patience))
        try:
            next(iter_pages(bucket, self._name("studies"), patience, MaxKeys=1))
        except NotFound as error:
            raise StoreError(f"{self}: there is no such bucket") from error

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _call(self, method: str, key: str, read: Any = None, **arguments: Any) -> Any:
        """One request about an object, and what `read` makes of its answer."""
        name = self._name(key)
        operation = getattr(self.bucket.client, method)

        def request() -> Any:
            answer = operation(Bucket=self.bucket.name, Key=name, **arguments)
            return answer if read is None else read(answer)

        return persist(request, f"s3://{self.bucket.name}/{name}", self.bucket.settings.patience)

    @override
    def get(self, key: str) -> StoredObject | None:
        try:
            stored: StoredObject = self._call("get_object", key, _read, **self._checked())
            return stored
        except NotFound:
            return None

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        if is_json(parse_key(key).kind):
            return super().get_range(key, offset, length)
        if length <= 0:
            return b""
        try:
            data: bytes = self._call(
                "get_object", key, lambda answer: answer["Body"].read(), Range=f"bytes={offset}-{offset + length - 1}"
            )
            return data
        except NotFound:
            return None
        except Refused as error:
            if error.code != "InvalidRange":
                raise
            return b""  # it ends before

    @override
    def head(self, key: str) -> ObjectHead | None:
        return head_object(self.bucket, self._name(key), self.bucket.settings.patience)

    def _checked(self) -> dict[str, str]:
        return {"ChecksumMode": "ENABLED"} if self.bucket.settings.checksums is Checksums.ALWAYS else {}

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        if not isinstance(data, bytes):
            return self._put_file(key, data)
        conditions = {"IfMatch": if_match} if if_match is not None else {}
        if if_none_match:
            conditions["IfNoneMatch"] = "*"
        if len(data) > LARGE_BYTES and not conditions:
            return self._put_file(key, io.BytesIO(data))
        headers = self._headers(key, data[:HEAD_BYTES])
        body = compress_json(data) if "ContentEncoding" in headers else data
        request = {"Body": body, **headers, **self._sums(body)}
        try:
            answer = self._put_conditional(key, request, conditions)
        except NotFound as error:  # what If-Match is answered where there is nothing
            raise PreconditionFailed(f"{key} is not there any more") from error
        return Written(len(data), answer["ETag"])

    def _put_conditional(self, key: str, request: dict[str, Any], conditions: dict[str, str]) -> Any:
        """One request that puts an object; a second one where a store does not create what it does not have.

        SeaweedFS 4.48 holds a folder for a key that others begin with, and takes it for an object when the key is to
        be created. A folder has an empty tag, which no object has: the second request asks for that tag to be there.
        S3 fails it where there is nothing or an object, so no object is ever overwritten; a store that refuses such a
        tag has no folders.
        """
        try:
            return self._call("put_object", key, **request, **conditions)
        except PreconditionFailed:
            if "IfNoneMatch" not in conditions or self.head(key) is not None:
                raise
        try:
            return self._call("put_object", key, **request, IfMatch=FOLDER_TAG)
        except Refused as error:
            raise PreconditionFailed(f"{key} was there a moment ago") from error

    def _headers(self, key: str, head: bytes) -> dict[str, str]:
        kind = parse_key(key).kind
        try:
            headers = {"ContentType": media_type(kind, head), "CacheControl": cache_control(kind, public=self.public)}
        except LayoutError as error:
            raise KeyRefused(f"{key}: {error}") from error
        if is_json(kind):
            headers["ContentEncoding"] = "gzip"
        return headers

    def _sums(self, body: bytes) -> dict[str, str]:
        """What lets the store see that the bytes arrived as they were sent."""
        if self.bucket.settings.checksums is Checksums.ALWAYS:
            return {"ChecksumAlgorithm": "CRC32"}
        return {"ContentMD5": _md5([body])}

    def _put_file(self, key: str, file: ReadableFile) -> Written:
        first = _read_part(file)
        if len(first) < PART_BYTES:
            return self.put(key, first)
        if parse_key(key).kind is Kind.PART10:
            size = file.seek(0, io.SEEK_END)
            if size <= _MOST_AT_ONCE:
                return self._put_whole(key, first[:HEAD_BYTES], file, size)
            file.seek(len(first))
        parts = chain([first], iter(partial(_read_part, file), b""))
        return self._put_parts(key, first[:HEAD_BYTES], parts)

    def _put_whole(self, key: str, head: bytes, file: ReadableFile, size: int) -> Written:
        """A file in one request: a whole object's key is the prefix of its frames'.

        SeaweedFS 4.48 does not complete a multipart upload to such a key.
        """
        headers = self._headers(key, head)
        sums = {"ChecksumAlgorithm": "CRC32"}
        if self.bucket.settings.checksums is Checksums.REQUIRED:
            file.seek(0)
            sums = {"ContentMD5": _md5(iter(partial(file.read, 1 << 20), b""))}
        operation, name = self.bucket.client.put_object, self._name(key)

        def request() -> Any:
            file.seek(0)
            return operation(Bucket=self.bucket.name, Key=name, Body=file, ContentLength=size, **headers, **sums)

        persist(request, f"s3://{self.bucket.name}/{name}", self.bucket.settings.patience)
        return Written(size)

    def _put_parts(self, key: str, head: bytes, pieces: Iterable[bytes]) -> Written:
        """A multipart upload; a few parts at once, so that no more of a large file is in memory."""
        headers = self._headers(key, head)
        sums = {"ChecksumAlgorithm": "CRC32"} if self.bucket.settings.checksums is Checksums.ALWAYS else {}
        upload = self._call("create_multipart_upload", key, **headers, **sums)["UploadId"]
        try:
            numbered = enumerate(pieces, 1)
            put = map_ahead(partial(self._put_part, key, upload), numbered, _PARTS_AT_ONCE, window=_PARTS_AT_ONCE - 1)
            parts, sizes = zip(*put, strict=True)
            self._complete(key, upload, parts)
        except BaseException:
            with suppress(StoreError):
                self._call("abort_multipart_upload", key, UploadId=upload)
            raise
        return Written(sum(sizes))

    def _put_part(self, key: str, upload: str, numbered: tuple[int, bytes]) -> tuple[dict[str, Any], int]:
        number, part = numbered
        answer = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=part, **self._sums(part))
        sums = {name: value for name, value in answer.items() if name == "ChecksumCRC32"}
        return {"ETag": answer["ETag"], "PartNumber": number} | sums, len(part)

    def _complete(self, key: str, upload: str, parts: Sequence[dict[str, Any]]) -> None:
        try:
            self._call("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts})
        except StoreError:
            # An answer that got lost is followed by one that there is no such upload.
            head = self.head(key)
            if head is None or head.etag != _multipart_etag(parts):
                raise

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        own = resource.rstrip("/")
        if own:
            head = self.head(own)
            if head is not None:
                yield own, head.size
        start = len(self._name(""))
        for page in self._pages(self._name(f"{own}/" if own else "")):
            for content in page.get("Contents", ()):
                if is_key(content["Key"][start:]):  # not one of a stranger, or a marker of a folder
                    yield content["Key"][start:], content["Size"]

    @override
    def children(self, resource: str) -> Iterator[str]:
        below = self._name(f"{resource.rstrip('/')}/" if resource.rstrip("/") else "")
        for page in self._pages(below, Delimiter="/"):
            names = {common["Prefix"] for common in page.get("CommonPrefixes", ())}
            names |= {content["Key"] for content in page.get("Contents", ())}
            yield from sorted({name.removeprefix(below).rstrip("/") for name in names})

    def _pages(self, prefix: str, **arguments: str) -> Iterator[dict[str, Any]]:
        return iter_pages(self.bucket, prefix, self.bucket.settings.patience, **arguments)

    @override
    def delete(self, key: str) -> None:
        with suppress(NotFound):
            self._call("delete_object", key)

    @override
    def delete_many(self, keys: Iterable[str]) -> None:
        if self.bucket.settings.checksums is Checksums.REQUIRED:
            side_by_side(self.parallel, self.delete, keys)  # the request for many needs one of the newer checksums
            return
        for batch in batched(keys, _DELETED_AT_ONCE):
            names = {"Objects": [{"Key": self._name(key)} for key in batch], "Quiet": True}
            request = partial(self.bucket.client.delete_objects, Bucket=self.bucket.name, Delete=names)
            answer = persist(request, str(self), self.bucket.settings.patience)
            for error in answer.get("Errors", ()):
                if error.get("Code") != "NoSuchKey":
                    raise StoreError(f"s3://{self.bucket.name}/{error['Key']}: {error['Code']} {error.get('Message')}")

    @override
    def kept_versions(self, key: str) -> KeptVersions | None:
        return kept_versions(self.bucket, self._name(key))


def compress_json(data: bytes) -> bytes:
    """A JSON document as it is stored: gzip-encoded, the same bytes every time."""
    return gzip.compress(data, _GZIP_LEVEL, mtime=0)


def _read(answer: dict[str, Any]) -> StoredObject:
    data: bytes = answer["Body"].read()
    if answer.get("ContentEncoding") == "gzip":
        with suppress(OSError, EOFError, zlib.error):  # a document that is damaged is no document
            data = gzip.decompress(data)
    return StoredObject(data, answer["ETag"])


def _md5(pieces: Iterable[bytes]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode("ascii")


def _read_part(file: ReadableFile) -> bytes:
    """As many bytes as a part has, fewer only at the end of the file."""
    part = bytearray()
    while len(part) < PART_BYTES and (piece := file.read(PART_BYTES - len(part))):
        part += piece
    return bytes(part)


def _multipart_etag(parts: Sequence[dict[str, Any]]) -> str:
    """The tag that S3 gives an object made of these parts, where tags are MD5 digests."""
    digests = b"".join(bytes.fromhex(tag) for part in parts if len(tag := part["ETag"].strip('"')) == 32)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
