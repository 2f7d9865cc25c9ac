"""Requests about single small objects, made by obstore: each takes a fifth of the time that boto3's takes.

obstore makes a request once. What it then has no clear answer to is boto3's: whatever fails, is redirected, refused or
lost is judged, waited for, tried again and told by `s3_requests` alone. So a condition is only taken as failed where
the store says so with 412: 409 (another write is under way) is boto3's, under the same condition.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stillframe.errors import NotFound, PreconditionFailed, StillframeError
from stillframe.parallel import made_once
from stillframe.store.base import ObjectHead
from stillframe.store.s3_address import find_address
from stillframe.store.s3_client import SCHEME, Bucket, Checksums
from stillframe.store.s3_obstore import RUNTIME, call_interruptibly, make_remote
from stillframe.wait_log import waiting

if TYPE_CHECKING:
    from obstore.store import S3Store as Remote

MOST_BYTES: Final = 1 << 20
"""Of an object that is put: the sending of larger ones takes longer than their requests do, and more memory here."""

_SLOW_SECONDS: Final = 20.0
_LONGEST_PAUSE: Final = 0.3
# After that many requests in a row that boto3 alone could make, it makes all for a while.
_FAILURES_IN_A_ROW: Final = 3
_REST_SECONDS: Final = 60.0
# Status and body of an answer, which an error has in its text alone. No key can look like that: they are quoted there.
_ANSWER: Final = re.compile(
    r'\n *inner: Status \{\n *status: (\d{3}),\n *body: (?:None|Some\(\n *"((?:[^"\\]|\\.)*)"),'
)
_MISSING: Final = "<Code>NoSuchKey</Code>"


class Unclear(StillframeError):
    """What became of a request is for boto3 to find out; `status` is the answer's, 0 where none came."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(f"no clear answer ({status})")
        self.status = status


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of an object as they are stored, the tag of this version, and their Content-Encoding."""

    data: bytes
    etag: str
    encoding: str


class QuickClient:
    """A bucket as obstore reaches it, for any thread. Every method raises `Unclear` where boto3 has to be asked."""

    def __init__(self, bucket: Bucket, remote: Remote) -> None:
        self._location = f"{SCHEME}{bucket.name}"
        self._remote = remote
        self._failures = 0
        self._rests_until = 0.0

    def rests(self) -> bool:
        """Whether boto3 makes all requests for now."""
        return time.monotonic() < self._rests_until

    def count(self, *, failed: bool) -> None:
        """Count a request that got a clear answer, or failed where boto3's succeeded."""
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= _FAILURES_IN_A_ROW:
            self._failures = 0
            self._rests_until = time.monotonic() + _REST_SECONDS

    def get(self, key: str, bytes_range: tuple[int, int] | None = None, if_match: str = "") -> Content:
        """An object, or the part of it that begins at an offset and has a length, of one version if that is named.

        Raises:
            NotFound: if there is no such object.
            PreconditionFailed: if another version is there.
        """
        import obstore

        options: Any = {"if_match": if_match} if if_match else {}
        if bytes_range:
            options["range"] = (bytes_range[0], sum(bytes_range))

        def request() -> Content:
            answer = obstore.get(self._remote, key, options=options)
            etag = answer.meta["e_tag"]
            return Content(bytes(answer.bytes()), etag or "", answer.attributes.get("Content-Encoding", ""))

        return self._answer(key, request)

    def head(self, key: str) -> ObjectHead:
        """Size and tag of an object.

        Raises:
            NotFound: if there is no such object.
        """
        import obstore

        found = self._answer(key, lambda: obstore.head(self._remote, key), has_body=False)
        if not found["e_tag"]:
            raise Unclear
        return ObjectHead(found["size"], found["e_tag"])

    def put(
        self,
        key: str,
        data: bytes,
        headers: dict[str, str],
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Write an object and return the tag of this version. At most one of the conditions may be given.

        Raises:
            PreconditionFailed: if the condition does not hold.
        """
        import obstore

        mode: Any = {"e_tag": if_match} if if_match is not None else "create" if if_none_match else "overwrite"
        written = self._answer(
            key,
            lambda: obstore.put(self._remote, key, data, attributes=headers, mode=mode, use_multipart=False),
        )
        return written["e_tag"] or ""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        self._answer(key, lambda: obstore.delete(self._remote, key))

    def _answer[T](self, key: str, request: Callable[[], T], *, has_body: bool = True) -> T:
        """What a request returns, or what its failure says for certain."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            RUNTIME.begin()
            with waiting(self._location, "no answer yet", _SLOW_SECONDS):
                return call_interruptibly(request)
        except (AlreadyExistsError, PreconditionError) as error:
            if (status := _told(error)[0]) == 412:
                raise PreconditionFailed(f"{self._location}/{key} is another version by now") from error
            raise Unclear(status) from error
        except FileNotFoundError as error:
            if not has_body or _MISSING in _told(error)[1]:  # and not the bucket
                raise NotFound(f"{self._location}/{key} is not there") from error
            raise Unclear(404) from error
        except (BaseError, OSError, RuntimeError, ValueError) as error:
            raise Unclear(_told(error)[0]) from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # of Rust: it has no other name, and is no Exception
                raise Unclear from error
            raise


def try_quickly[T](bucket: Bucket, key: str, quick: Callable[[QuickClient], T], slow: Callable[[], T]) -> T:
    """What `quick` returns; what `slow`, by way of boto3, does where obstore cannot be asked or has no clear answer."""
    client = _client_for(bucket, key)
    if client is None or client.rests():
        return slow()
    try:
        result = quick(client)
    except (NotFound, PreconditionFailed):
        client.count(failed=False)
        raise
    except Unclear as unclear:
        status = unclear.status
    else:
        client.count(failed=False)
        return result
    if status in (409, 429) or status >= 500:
        time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311
    result = slow()
    client.count(failed=True)
    return result


def puts_quickly(bucket: Bucket, size: int) -> bool:
    """Whether obstore puts so many bytes.

    It can send SHA-256 along, and not what older stores check (Content-MD5). Without signatures, that is all there is.
    """
    settings = bucket.settings
    return size <= MOST_BYTES and settings.checksums is Checksums.ALWAYS and not settings.no_sign_request


def is_nameable(key: str) -> bool:
    """Whether obstore asks for this very key: it refuses some, and leaves out a slash at the end."""
    segments = key.split("/")
    return not {"", ".", ".."}.intersection(segments) and not any(
        character < " " or "\x7f" <= character < "\xa0" for character in key
    )


def _client_for(bucket: Bucket, key: str) -> QuickClient | None:
    if not is_nameable(key) or not RUNTIME.is_usable():
        return None
    return _quick_client(bucket)


@made_once
def _quick_client(bucket: Bucket) -> QuickClient | None:
    """The process's client for a bucket, None if only boto3 reaches it."""
    address = find_address(bucket)
    remote = None if address is None else make_remote(bucket, address)
    return None if remote is None else QuickClient(bucket, remote)


def _told(error: BaseException) -> tuple[int, str]:
    """Status and body of the answer that an error tells of, 0 and nothing if none came."""
    found = _ANSWER.search(str(error))
    return (int(found.group(1)), found.group(2) or "") if found else (0, "")
