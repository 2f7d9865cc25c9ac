"""Requests about small objects: who makes them, what their failures mean, and when the other client takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import override

import numpy as np
import pytest

from stillframe.codec.jpeg import encode_jpeg
from stillframe.errors import NotFound, PreconditionFailed, Refused, StoreError
from stillframe.jpeg_comment import with_comment
from stillframe.plain_text import without_secrets
from stillframe.store.base import ObjectHead
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket, Checksums, S3Settings
from stillframe.store.s3_quick import MOST_BYTES, is_nameable
from stillframe.store.s3_requests import read_version
from tests.support.faulty_proxy import Fault, FaultyProxy, Plan, Request
from tests.support.places import REPOSITORY
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY
from tests.support.scripted_store import ScriptedStore, answer, header, in_turn, of_obstore, refusal

LIST = "studies"
FRAME = "studies/1.2/series/1.3/instances/1.4/frames/1"
THUMBNAIL = "studies/1.2/series/1.3/thumbnail"
CODESTREAM = b"\xff\x4f" + b"frame" * 100
WRITTEN = answer("200 OK", ETag='"e"')


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    with FaultyProxy(bucket.settings.endpoint_url) as running:
        yield running


def through(proxy: FaultyProxy, bucket: Bucket, **changes: object) -> S3Store:
    settings = replace(bucket.settings, endpoint_url=proxy.endpoint_url, **changes)  # type: ignore[arg-type]
    return S3Store(Bucket(bucket.name, settings))


def once(fault: Fault, method: str = "") -> Plan:
    """A fault of the first request, or of the first with a method."""
    left = [fault]

    def plan(number: int, request: Request) -> Fault | None:
        return left.pop() if left and request.method == (method or request.method) else None

    return plan


# --- who makes a request ----------------------------------------------------------------------------------------------


def test_a_healthy_store_gets_one_request_of_obstore_for_each_verb(proxy: FaultyProxy, bucket: Bucket) -> None:
    store = through(proxy, bucket)
    first = store.put(LIST, b"[1]", if_none_match=True)
    second = store.put(LIST, b"[2]", if_match=first.etag)
    store.put(FRAME, CODESTREAM)
    assert store.get(LIST).data == b"[2]"  # type: ignore[union-attr]  # it was just written
    assert store.head(LIST).etag == second.etag  # type: ignore[union-attr]  # as above
    assert store.get_range(FRAME, 2, 5) == b"frame"
    store.delete(FRAME)
    assert store.get_range(FRAME, 2, 5) is None
    assert store.head(FRAME) is None
    assert store.get("studies/1.2/metadata") is None
    methods = ["PUT", "PUT", "PUT", "GET", "HEAD", "GET", "DELETE", "GET", "HEAD", "GET"]
    assert [request.method for request in proxy.requests] == methods
    assert all(of_obstore(request) for request in proxy.requests)


def test_headers_conditions_and_checksums_of_a_put() -> None:
    with ScriptedStore(in_turn(WRITTEN)) as server:
        store = S3Store(server.bucket(), public=False)
        store.put(LIST, b"[1]", if_match='"a"')
        store.put(FRAME, CODESTREAM, if_none_match=True)
        store.put(FRAME, CODESTREAM)
    names = ("Content-Type", "Content-Encoding", "Cache-Control", "If-Match", "If-None-Match")
    frame = ("image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202", "", "private, max-age=31536000, immutable", "")
    assert [tuple(header(request, name) for name in names) for request in server.requests] == [
        ("application/dicom+json", "gzip", "no-cache", '"a"', ""), (*frame, "*"), (*frame, ""),
    ]  # fmt: skip
    sum_of_frame = "DWTkLkdBvpCYd6FznMzHPR9Z8dBHKoghvlURAe2U9hQ="  # openssl dgst -sha256 -binary | base64
    assert [header(request, "x-amz-checksum-sha256") for request in server.requests[1:]] == [sum_of_frame] * 2
    assert all(of_obstore(request) for request in server.requests)
    assert not [request for request in server.requests if "x-amz-meta" in request.head.decode().lower()]


def test_older_stores_get_the_checksum_that_they_know_which_obstore_cannot_send() -> None:
    with ScriptedStore(in_turn(WRITTEN)) as server:
        S3Store(server.bucket(checksums=Checksums.REQUIRED)).put(FRAME, CODESTREAM)
    (request,) = server.requests
    assert not of_obstore(request)
    assert header(request, "Content-MD5") == "oElar/+PcMQIrosX/YNysA=="  # openssl dgst -md5 -binary | base64
    assert header(request, "x-amz-checksum-sha256") == ""


def test_objects_of_some_size_are_sent_by_boto3(proxy: FaultyProxy, bucket: Bucket) -> None:
    """obstore holds nearly three times the bytes of a put in memory, and gives it 30 seconds."""
    store = through(proxy, bucket)
    for size, quick in ((MOST_BYTES, True), (MOST_BYTES + 1, False)):
        store.put(FRAME, CODESTREAM[:2] + bytes(size - 2))
        assert of_obstore(proxy.requests[-1]) is quick
        assert store.head(FRAME).size == size  # type: ignore[union-attr]  # as above


@pytest.mark.parametrize(("checksums", "quick"), [(Checksums.ALWAYS, False), (Checksums.REQUIRED, True)])
def test_boto3_reads_whole_objects_where_checksums_are_looked_at(
    proxy: FaultyProxy, bucket: Bucket, checksums: Checksums, quick: bool
) -> None:
    """obstore looks at none; what is compressed has one of its own."""
    store = through(proxy, bucket, checksums=checksums)
    etag = store.put(FRAME, CODESTREAM).etag
    store.put(LIST, b"[]")
    assert store.get(FRAME).data == CODESTREAM  # type: ignore[union-attr]  # as above
    assert of_obstore(proxy.requests[-1]) is quick
    assert read_version(store.bucket, FRAME, ObjectHead(len(CODESTREAM), etag)) == CODESTREAM
    assert of_obstore(proxy.requests[-1]) is quick
    assert read_version(store.bucket, FRAME, ObjectHead(len(CODESTREAM), etag), (2, 5)) == b"frame"
    assert of_obstore(proxy.requests[-1])
    assert store.get(LIST).data == b"[]"  # type: ignore[union-attr]  # as above
    assert of_obstore(proxy.requests[-1])


def test_a_thumbnail_that_tells_its_own_checksum_is_read_quickly(proxy: FaultyProxy, bucket: Bucket) -> None:
    """Where it tells none, or is damaged, boto3 looks at that of the store."""
    store = through(proxy, bucket)
    picture = with_comment(encode_jpeg(np.zeros((8, 8), np.uint8), 90), "what it shows")
    for data, quick in ((picture, True), (picture[:-3] + b"\0\xff\xd9", False), (b"\xff\xd8\xff\xd9", False)):
        store.put(THUMBNAIL, data)
        assert store.get(THUMBNAIL).data == data  # type: ignore[union-attr]  # as above
        assert of_obstore(proxy.requests[-1]) is quick


@pytest.mark.parametrize(
    ("key", "nameable"),
    [
        ("a/b", True), ("a b/%2F+é#?", True), ("..a/b..", True), ("a//b", False), ("/a", False), ("a/", False),
        ("", False), ("a/./b", False), ("a/../b", False), ("a\x1f", False), ("a\x7f", False), ("a\x85", False),
    ],
)  # fmt: skip
def test_keys_that_obstore_takes_for_others_or_refuses_are_boto3s(key: str, nameable: bool) -> None:
    assert is_nameable(key) is nameable


# --- what failures mean -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("condition", [{"if_none_match": True}, {"if_match": '"a"'}])
def test_a_conflict_is_tried_again_under_its_condition(condition: dict[str, object]) -> None:
    """409: another conditional write was under way. It says nothing of the condition."""
    conflict = refusal("409 Conflict", "ConditionalRequestConflict")
    with ScriptedStore(in_turn(conflict, conflict, WRITTEN)) as server:
        written = S3Store(server.bucket()).put(LIST, b"[]", **condition)  # type: ignore[arg-type]
    assert written.etag == '"e"'
    assert [of_obstore(request) for request in server.requests] == [True, False, False]
    wanted = {"if_none_match": ("", "*"), "if_match": ('"a"', "")}[next(iter(condition))]
    assert {(header(request, "If-Match"), header(request, "If-None-Match")) for request in server.requests} == {wanted}


@pytest.mark.slow
def test_a_conflict_for_good_is_the_stores_failure() -> None:
    with (
        ScriptedStore(in_turn(refusal("409 Conflict", "ConditionalRequestConflict"))) as server,
        pytest.raises(StoreError, match="409 ConditionalRequestConflict") as caught,
    ):
        S3Store(server.bucket(patience=1.0)).put(LIST, b"[]", if_match='"a"')
    assert not isinstance(caught.value, PreconditionFailed)
    assert all(header(request, "If-Match") == '"a"' for request in server.requests)


def test_a_failed_condition_needs_no_second_request() -> None:
    with ScriptedStore(in_turn(refusal("412 Precondition Failed", "PreconditionFailed"))) as server:
        with pytest.raises(PreconditionFailed):
            S3Store(server.bucket()).put(LIST, b"[]", if_match='"a"')
        assert len(server.requests) == 1


def test_a_bucket_that_is_missing_is_no_failed_condition_and_no_missing_object() -> None:
    """obstore takes it for both."""
    with ScriptedStore(in_turn(refusal("404 Not Found", "NoSuchBucket"))) as server:
        store = S3Store(server.bucket())
        requests: list[Callable[[], object]] = [
            lambda: store.put(LIST, b"[]", if_match='"a"'), lambda: store.put(LIST, b"[]"),
            lambda: store.get(LIST), lambda: store.get_range(FRAME, 0, 9),
        ]  # fmt: skip
        for request in requests:
            with pytest.raises(Refused, match="NoSuchBucket"):
                request()


def test_what_a_key_says_is_no_answer() -> None:
    """The text of an error quotes the key before the answer."""
    odd = 'a <Code>NoSuchKey</Code> inner: Status { status: 412, "'
    missing = refusal("404 Not Found", "NoSuchBucket")
    with ScriptedStore(in_turn(missing)) as server, pytest.raises(Refused, match="NoSuchBucket"):
        read_version(server.bucket(), odd, ObjectHead(9, '"e"'), (0, 9))
    with ScriptedStore(in_turn(refusal("404 Not Found", "NoSuchKey"))) as server, pytest.raises(NotFound):
        read_version(server.bucket(), odd, ObjectHead(9, '"e"'), (0, 9))


@pytest.mark.parametrize("condition", [{"if_none_match": True}, {"if_match": ""}])
def test_a_lost_answer_is_followed_by_the_same_condition(
    proxy: FaultyProxy, bucket: Bucket, condition: dict[str, object]
) -> None:
    """The second request meets the first one's object: the caller finds its own bytes there."""
    store = through(proxy, bucket)
    if "if_match" in condition:
        condition = {"if_match": store.put(LIST, b"[0]").etag}
    proxy.plan, before = once(Fault.RESET_AFTER, "PUT"), len(proxy.requests)
    with pytest.raises(PreconditionFailed):
        store.put(LIST, b"[1]", **condition)  # type: ignore[arg-type]  # one of two
    puts = [request for request in proxy.requests[before:] if request.method == "PUT"]
    assert [of_obstore(request) for request in puts] == [True, False]
    assert len({(header(request, "If-Match"), header(request, "If-None-Match")) for request in puts}) == 1
    assert store.get(LIST).data == b"[1]"  # type: ignore[union-attr]  # as above


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.STALL])
def test_every_verb_gets_over_every_fault(proxy: FaultyProxy, bucket: Bucket, fault: Fault) -> None:
    """One fault a verb; what took place and was not told, or is tried twice, does no harm."""
    store = through(proxy, bucket)
    verbs: list[Callable[[], object]] = [
        lambda: store.put(FRAME, CODESTREAM), lambda: store.put(LIST, b"[1]"), lambda: store.get(LIST),
        lambda: store.head(LIST), lambda: store.get_range(FRAME, 2, 5), lambda: store.delete(FRAME),
    ]  # fmt: skip
    got = []
    for verb in verbs:
        proxy.plan = once(fault)
        got.append(verb())
    assert proxy.injected.total() == len(verbs)
    assert got[2].data == b"[1]"  # type: ignore[attr-defined]  # it was there
    assert got[4] == b"frame"
    assert store.get(FRAME) is None


class DamagingProxy(FaultyProxy):
    """Changes a byte near the end of what passes: of the first request with a method, or of its answer."""

    damaged = ""
    answers_too = False

    @override
    def _forward(self, request: Request) -> bytes:
        if request.method != self.damaged:
            return super()._forward(request)
        self.damaged = ""
        if self.answers_too:
            return damage(super()._forward(request))
        return super()._forward(replace(request, body=damage(request.body)))


def damage(data: bytes) -> bytes:
    return data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]


def test_bytes_that_were_damaged_on_their_way_are_sent_again(bucket: Bucket) -> None:
    with DamagingProxy(bucket.settings.endpoint_url) as proxy:
        store = through(proxy, bucket)
        proxy.damaged = "PUT"
        store.put(FRAME, CODESTREAM)
    assert [request.method for request in proxy.requests] == ["PUT", "PUT"]
    assert S3Store(bucket).get(FRAME).data == CODESTREAM  # type: ignore[union-attr]  # as above


def test_a_document_that_was_damaged_on_its_way_is_read_again(bucket: Bucket) -> None:
    S3Store(bucket).put(LIST, b'["a document"]')
    with DamagingProxy(bucket.settings.endpoint_url) as proxy:
        proxy.damaged, proxy.answers_too = "GET", True
        assert through(proxy, bucket).get(LIST).data == b'["a document"]'  # type: ignore[union-attr]  # as above
    assert [of_obstore(request) for request in proxy.requests] == [True, False]


@pytest.mark.parametrize(
    "odd",
    [
        answer("200 OK", b"abcde", ETag='"other"'), answer("200 OK", b"abcdefgh", ETag='"e"'),
        answer("206 Partial Content", b"abc", ETag='"e"', Content_Range="bytes 2-4/9"),
    ],
)  # fmt: skip
def test_ranges_of_stores_that_know_none_or_no_if_match_are_looked_at(odd: bytes) -> None:
    """Another version, a whole object, a shorter range: boto3 gets the same, and then it is said."""
    with ScriptedStore(in_turn(odd)) as server:
        with pytest.raises(StoreError, match=r"another version by now|asked for 5 bytes, the store sends"):
            read_version(server.bucket(), "key", ObjectHead(9, '"e"'), (2, 5))
        assert [of_obstore(request) for request in server.requests] == [True, False]


# --- when boto3 takes over --------------------------------------------------------------------------------------------


def in_region(region: str, refused: bytes) -> Callable[[Request], bytes]:
    """What S3 answers whoever signs for another region."""
    return lambda request: WRITTEN if f"/{region}/s3/aws4_request" in header(request, "Authorization") else refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code"),
    [("301 Moved Permanently", "PermanentRedirect"), ("400 Bad Request", "AuthorizationHeaderMalformed")],
)
def test_a_bucket_in_another_region_is_found_by_boto3_which_takes_over(status: str, code: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message><Region>eu-central-1</Region></Error>"
    refused = answer(status, body.encode(), x_amz_bucket_region="eu-central-1")
    with ScriptedStore(in_region("eu-central-1", refused)) as server:
        store = S3Store(server.bucket())
        for _ in range(6):
            assert store.put(FRAME, CODESTREAM).etag == '"e"'
        quick = [of_obstore(request) for request in server.requests]
    assert sum(quick) == 3
    assert not any(quick[-3:])


def test_a_temporary_redirect_is_not_followed_without_a_signature_for_it() -> None:
    with ScriptedStore(in_turn(WRITTEN)) as elsewhere:
        redirect = answer("307 Temporary Redirect", Location=f"{elsewhere.endpoint_url}/archive/{LIST}")
        with ScriptedStore(in_turn(redirect, WRITTEN)) as server:
            assert S3Store(server.bucket()).put(LIST, b"[]").etag == '"e"'
        assert not [request for request in elsewhere.requests if of_obstore(request)]


def test_a_store_that_fails_now_and_then_stays_with_obstore(proxy: FaultyProxy, bucket: Bucket) -> None:
    store = through(proxy, bucket)
    for _ in range(4):
        proxy.plan = once(Fault.RESET_BEFORE)
        store.put(FRAME, CODESTREAM)
        store.put(FRAME, CODESTREAM)
    assert of_obstore(proxy.requests[-1])


@pytest.mark.slow
def test_an_answer_may_take_long_as_long_as_it_comes() -> None:
    """A time that is set is one without a byte, not one for all of them."""

    class Slow(ScriptedStore):
        @override
        def _answer(self, client: object, request: Request, fault: Fault | None) -> None:
            whole = self._forward(request)
            for place in range(0, len(whole), 40):
                client.sendall(whole[place : place + 40])  # type: ignore[attr-defined]  # a socket
                time.sleep(0.3)

    content = answer("206 Partial Content", bytes(400), ETag='"e"', Content_Range="bytes 0-399/400")
    with Slow(in_turn(content)) as server:
        bucket = server.bucket(patience=2.0)
        assert read_version(bucket, "key", ObjectHead(400, '"e"'), (0, 400)) == bytes(400)
        assert [of_obstore(request) for request in server.requests] == [True]


@pytest.mark.slow
def test_a_put_that_takes_too_long_for_obstore_is_made_by_boto3() -> None:
    """Its time is for the bytes and the answer together; boto3 waits for as long as bytes are passing."""

    def script(request: Request) -> bytes:
        time.sleep(4 if of_obstore(request) else 0)
        return WRITTEN

    with ScriptedStore(script) as server:
        assert S3Store(server.bucket(patience=3.0)).put(LIST, b"[]", if_match='"a"').etag == '"e"'
        assert [of_obstore(request) for request in server.requests] == [True, False]
        assert {header(request, "If-Match") for request in server.requests} == {'"a"'}


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_given_up_in_time() -> None:
    def sleep(_: Request) -> bytes:
        time.sleep(4)
        return WRITTEN

    began = time.monotonic()
    with ScriptedStore(sleep) as server, pytest.raises(StoreError, match=r"[Rr]ead timeout"):
        S3Store(server.bucket(patience=1.0)).get(LIST)
    assert time.monotonic() - began < 10
    assert [of_obstore(request) for request in server.requests][:2] == [True, False]


# --- credentials, environment, processes ------------------------------------------------------------------------------


@pytest.mark.slow
def test_credentials_are_asked_for_anew_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a role end; each call of this process hands out others, which end in four minutes."""
    counter, process = tmp_path / "counter", tmp_path / "credentials"
    counter.write_text("0")
    process.write_text(
        f"#!{sys.executable}\n"
        "import datetime, json, pathlib\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "number = int(counter.read_text()) + 1\n"
        "counter.write_text(str(number))\n"
        "end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=4)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'KEY{number}', 'SecretAccessKey': 's',\n"
        "                  'SessionToken': f'token-of-session-{number}', 'Expiration': end.isoformat()}))\n"
    )
    process.chmod(0o700)
    profiles = tmp_path / "config"
    profiles.write_text(f"[profile rotating]\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with ScriptedStore(in_turn(WRITTEN)) as server:
        store = S3Store(server.bucket(profile="rotating"))
        for _ in range(3):
            store.put(LIST, b"[]")
            time.sleep(0.3)
    assert all(of_obstore(request) for request in server.requests)
    tokens = [header(request, "x-amz-security-token") for request in server.requests]
    assert len(set(tokens)) == 3
    assert len({header(request, "Authorization").partition("/")[0] for request in server.requests}) == 3
    for token in tokens:
        assert token not in without_secrets(f"a message with {token}")


def test_variables_that_boto3_does_not_know_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore reads more of the environment than the AWS tools do."""

    def sent() -> set[str]:
        with ScriptedStore(in_turn(WRITTEN)) as server:
            assert S3Store(server.bucket()).put(LIST, b"[]", if_none_match=True).etag == '"e"'
        (request,) = server.requests
        assert of_obstore(request)
        assert "UNSIGNED" not in request.head.decode()
        assert f"Credential={ACCESS_KEY}/" in header(request, "Authorization")
        lines = request.head.decode().split("\r\n")
        return {line.partition(":")[0].lower() for line in lines} | {lines[0]}

    plain = sent()
    for name, value in {
        "AWS_SKIP_SIGNATURE": "true", "AWS_UNSIGNED_PAYLOAD": "true", "AWS_ENDPOINT": "http://127.0.0.1:9",
        "AWS_BUCKET": "other", "AWS_S3_EXPRESS": "true", "AWS_REQUEST_PAYER": "requester", "AWS_PROXY_URL": "http://[",
        "AWS_CONDITIONAL_PUT": "disabled", "AWS_TIMEOUT": "1ns", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        "AWS_ALLOW_HTTP": "false", "AWS_DEFAULT_CONTENT_TYPE": "text/plain", "AWS_HTTP2_ONLY": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert sent() == plain


@pytest.mark.parametrize("variable", ["AWS_SERVER_SIDE_ENCRYPTION", "AWS_CHECKSUM_ALGORITHM"])
def test_where_obstore_would_obey_a_variable_boto3_does_all(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "aws:kms" if "ENCRYPTION" in variable else "crc64nvme")
    with ScriptedStore(in_turn(WRITTEN)) as server:
        S3Store(server.bucket()).put(LIST, b"[]")
    (request,) = server.requests
    assert not of_obstore(request)


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


_STORE = """
import os, sys, warnings
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket, S3Settings
store = S3Store(Bucket(sys.argv[2], S3Settings(endpoint_url=sys.argv[1], region="us-east-1")))
"""


@pytest.mark.slow
def test_a_process_forked_after_the_first_request_does_not_hang(proxy: FaultyProxy, bucket: Bucket) -> None:
    """obstore's threads are not in it. boto3 makes its requests."""
    code = f"""{_STORE}
warnings.simplefilter("ignore")  # of forking with threads
store.put("studies", b"[1]")
if not os.fork():
    os._exit(store.get("studies").data != b"[1]")
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    process = run_python(code, proxy.endpoint_url, bucket.name)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert [(request.method, of_obstore(request)) for request in proxy.requests] == [("PUT", True), ("GET", False)]


@pytest.mark.slow
def test_a_request_that_hangs_can_be_interrupted() -> None:
    def interrupt(_: Request) -> bytes:
        began.append(time.monotonic())
        process.send_signal(signal.SIGINT)
        time.sleep(20)
        return WRITTEN

    code = f"""{_STORE}
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    store.get("studies")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""
    began: list[float] = []
    with ScriptedStore(interrupt) as server:
        process = run_python(code, server.endpoint_url, "archive")
        assert process.communicate(timeout=60)[0] == "interrupted\n"
        assert [of_obstore(request) for request in server.requests] == [True]
    assert time.monotonic() - began[0] < 15


@pytest.mark.slow
def test_the_command_does_not_load_obstore_before_it_needs_it() -> None:
    code = (
        "import sys\nfrom stillframe.cli import main\nfrom stillframe.store import s3\nprint('obstore' in sys.modules)"
    )
    assert run_python(code).communicate(timeout=60) == ("False\n", "")


def test_the_secret_is_in_no_message(free_port: int) -> None:
    settings = S3Settings(endpoint_url=f"http://127.0.0.1:{free_port}", region="us-east-1", patience=1.0)
    with pytest.raises(StoreError) as caught:
        S3Store(Bucket("archive", settings)).put(LIST, b"[]")
    assert SECRET_KEY not in str(caught.value)
    assert "Could not connect" in str(caught.value)
