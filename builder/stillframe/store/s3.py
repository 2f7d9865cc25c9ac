"""A store in a bucket of S3, or of a store that speaks its protocol: keys are the URL paths, headers complete."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import batched, chain
from typing import Any, Final, override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import KeyRefused, LayoutError, NotFound, PreconditionFailed, Refused, StoreError
from stillframe.jpeg_comment import comment_of
from stillframe.layout import HEAD_BYTES, Kind, cache_control, is_json, is_key, media_type, parse_key
from stillframe.parallel import side_by_side
from stillframe.store.base import KeptVersions, ObjectHead, Store, StoredObject, Written
from stillframe.store.s3_client import PARALLEL, Bucket, Checksums
from stillframe.store.s3_parts import PART_BYTES, check_sums, put_parts, put_whole, read_part
from stillframe.store.s3_quick import Content, QuickClient, Unclear, puts_quickly, try_quickly
from stillframe.store.s3_requests import head_object, iter_pages, persist
from stillframe.store.s3_versions import kept_versions

LARGE_BYTES: Final = 2 * PART_BYTES
"""An object with more bytes in memory is put in parts."""
FOLDER_TAG: Final = '"",""'
"""The tag of what SeaweedFS holds for a key that only others begin with: empty, which it matches as one of several."""
_MOST_AT_ONCE: Final = 5 << 30  # of one PUT
_DELETED_AT_ONCE: Final = 1000  # more are refused
_GZIP_LEVEL: Final = 6
_FIRST_CONTACT_SECONDS: Final = 10.0
_HEADERS: Final = {
    "ContentType": "Content-Type",
    "CacheControl": "Cache-Control",
    "ContentEncoding": "Content-Encoding",
}


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
        """One request of boto3 about an object, and what `read` makes of its answer."""
        name = self._name(key)
        operation = getattr(self.bucket.client, method)

        def request() -> Any:
            answer = operation(Bucket=self.bucket.name, Key=name, **arguments)
            return answer if read is None else read(answer)

        return persist(request, f"s3://{self.bucket.name}/{name}", self.bucket.settings.patience)

    def _try[T](self, key: str, quick: Callable[[QuickClient], T], slow: Callable[[], T]) -> T:
        return try_quickly(self.bucket, self._name(key), quick, slow)

    @override
    def get(self, key: str) -> StoredObject | None:
        checked = self.bucket.settings.checksums is Checksums.ALWAYS
        mode = {"ChecksumMode": "ENABLED"} if checked else {}

        def ask() -> StoredObject:
            stored: StoredObject = self._call("get_object", key, _read, **mode)
            return stored

        def ask_quickly(client: QuickClient) -> StoredObject:
            return _read_quickly(client.get(self._name(key)), checked=checked)

        try:
            # What carries a checksum of its own needs no other one; whatever else has one in the store, boto3 looks at.
            return ask() if checked and not _has_checksum(parse_key(key).kind) else self._try(key, ask_quickly, ask)
        except NotFound:
            return None

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        if is_json(parse_key(key).kind):
            return super().get_range(key, offset, length)
        if length <= 0:
            return b""

        def ask() -> bytes:
            data: bytes = self._call(
                "get_object", key, lambda answer: answer["Body"].read(), Range=f"bytes={offset}-{offset + length - 1}"
            )
            return data

        try:
            return self._try(key, lambda client: client.get(self._name(key), (offset, length)).data, ask)
        except NotFound:
            return None
        except Refused as error:
            if error.code != "InvalidRange":
                raise
            return b""  # it ends before

    @override
    def head(self, key: str) -> ObjectHead | None:
        return head_object(self.bucket, self._name(key), self.bucket.settings.patience)

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        if not isinstance(data, bytes):
            return self._put_file(key, data)
        if len(data) > LARGE_BYTES and if_match is None and not if_none_match:
            return self._put_file(key, io.BytesIO(data))
        headers = self._headers(key, data[:HEAD_BYTES])
        body = compress_json(data) if "ContentEncoding" in headers else data
        try:
            if if_none_match:
                return Written(len(data), self._create(key, body, headers))
            return Written(len(data), self._put(key, body, headers, if_match=if_match))
        except NotFound as error:  # what If-Match is answered where there is nothing
            raise PreconditionFailed(f"{key} is not there any more") from error

    def _create(self, key: str, body: bytes, headers: dict[str, str]) -> str:
        """Write an object that is not there and return its tag.

        SeaweedFS 4.48 holds a folder for a key that others begin with, and takes it for an object when the key is to
        be created. A folder has an empty tag, which no object has: a second request asks for that tag to be there.
        S3 fails it where there is nothing or an object, so no object is ever overwritten; a store that refuses such a
        tag has no folders.
        """
        try:
            return self._put(key, body, headers, if_none_match=True)
        except PreconditionFailed:
            if self.head(key) is not None:
                raise
        try:
            return self._put(key, body, headers, if_match=FOLDER_TAG)
        except Refused as error:
            raise PreconditionFailed(f"{key} was there a moment ago") from error

    def _put(
        self,
        key: str,
        body: bytes,
        headers: dict[str, str],
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Write an object in one request and return its tag."""

        def ask() -> str:
            conditions = {"IfMatch": if_match} if if_match is not None else {}
            if if_none_match:
                conditions["IfNoneMatch"] = "*"
            sums = check_sums(self.bucket, body)
            tag: str = self._call("put_object", key, Body=body, **headers, **sums, **conditions)["ETag"]
            return tag

        def ask_quickly(client: QuickClient) -> str:
            named = {_HEADERS[name]: value for name, value in headers.items()}
            return client.put(self._name(key), body, named, if_match=if_match, if_none_match=if_none_match)

        return self._try(key, ask_quickly, ask) if puts_quickly(self.bucket, len(body)) else ask()

    def _headers(self, key: str, head: bytes) -> dict[str, str]:
        """Those of an object, by the names that boto3 has for them."""
        kind = parse_key(key).kind
        try:
            headers = {"ContentType": media_type(kind, head), "CacheControl": cache_control(kind, public=self.public)}
        except LayoutError as error:
            raise KeyRefused(f"{key}: {error}") from error
        if is_json(kind):
            headers["ContentEncoding"] = "gzip"
        return headers

    def _put_file(self, key: str, file: ReadableFile) -> Written:
        first = read_part(file)
        if len(first) < PART_BYTES:
            return self.put(key, first)
        headers = self._headers(key, first[:HEAD_BYTES])
        if parse_key(key).kind is Kind.PART10:
            # A whole object's key is the prefix of its frames', and SeaweedFS 4.48 completes no multipart upload there.
            size = file.seek(0, io.SEEK_END)
            if size <= _MOST_AT_ONCE:
                put_whole(self.bucket, self._name(key), headers, file, size)
                return Written(size)
            file.seek(len(first))
        parts = chain([first], iter(partial(read_part, file), b""))
        return Written(put_parts(self.bucket, self._name(key), headers, parts))

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
            self._try(
                key, lambda client: client.delete(self._name(key)), partial(self._call, "delete_object", key, _nothing)
            )

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


def _has_checksum(kind: Kind) -> bool:
    """Whether objects of a kind have one within: JSON as it is compressed, thumbnails in their comment."""
    return is_json(kind) or kind is Kind.THUMBNAIL


def _read(answer: dict[str, Any]) -> StoredObject:
    data: bytes = answer["Body"].read()
    if answer.get("ContentEncoding") == "gzip":
        with suppress(OSError, EOFError, zlib.error):  # a document that is damaged is no document
            data = gzip.decompress(data)
    return StoredObject(data, answer["ETag"])


def _read_quickly(content: Content, *, checked: bool) -> StoredObject:
    """An object as obstore read it; bytes that no checksum of their own holds may have to be read by boto3."""
    data = content.data
    if content.encoding == "gzip":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise Unclear from error
    elif checked and not comment_of(data):
        raise Unclear
    if not content.etag:
        raise Unclear
    return StoredObject(data, content.etag)


def _nothing(_: Any) -> None:
    """What an answer without content comes to."""
