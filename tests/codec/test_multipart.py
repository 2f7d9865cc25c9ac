from __future__ import annotations

import email.policy
import re
from email.parser import BytesParser

from hypothesis import given
from hypothesis import strategies as st

from stillframe.codec.multipart import wrap_part
from stillframe.dicom.syntaxes import TRANSFER_SYNTAXES
from stillframe.layout import HEAD_BYTES, Kind, media_type
from tests.support.multipart import unwrap_part

SYNTAXES = st.sampled_from(sorted(TRANSFER_SYNTAXES))
# Bytes a careless splitter would trip over.
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--", b"\r\n--stillframe-", b"\0", b"\xff\xd9", b"--\r\n"])).map(b"".join),
)


@given(payload=PAYLOADS, syntax=SYNTAXES)
def test_a_wrapped_payload_comes_back(payload: bytes, syntax: str) -> None:
    body = wrap_part(payload, syntax)
    assert unwrap_part(body) == payload
    assert wrap_part(payload, syntax) == body


@given(payload=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)), syntax=SYNTAXES)
def test_a_mime_parser_finds_one_part_with_its_type_and_transfer_syntax(payload: str, syntax: str) -> None:
    body = wrap_part(payload.encode("ascii"), syntax)
    head = f"Content-Type: {media_type(Kind.FRAME, body[:HEAD_BYTES])}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    assert message.get_content_type() == "multipart/related"
    assert message.defects == []
    (part,) = message.iter_parts()
    assert part.defects == []
    assert part.get_content_type() == TRANSFER_SYNTAXES[syntax].media_type == message.get_param("type")
    assert part.get_param("transfer-syntax") == syntax
    assert part.get_payload(decode=True) == payload.encode("ascii")


@given(payload=PAYLOADS)
def test_the_boundary_is_not_in_the_payload(payload: bytes) -> None:
    body = wrap_part(payload, "1.2.840.10008.1.2.1")
    delimiter = body.partition(b"\r\n")[0]
    assert re.fullmatch(rb"--[0-9A-Za-z'()+_,./:=?-]{1,70}", delimiter)
    assert body.count(delimiter) == 2


def test_other_payloads_have_other_boundaries() -> None:
    one, other = (wrap_part(payload, "1.2.840.10008.1.2.1").partition(b"\r\n")[0] for payload in (b"one", b"other"))
    assert one != other


def test_a_frame_of_a_syntax_without_media_type_is_a_stream_of_bytes() -> None:
    body = wrap_part(b"payload", "1.2.3")
    assert body.partition(b"\r\n")[2].startswith(
        b"Content-Type: application/octet-stream; transfer-syntax=1.2.3\r\n\r\n"
    )
    assert unwrap_part(body) == b"payload"
