"""What answers of a store mean: of one object, or of the store."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from stillframe.errors import KeyRefused, NotFound, PreconditionFailed, Refused, StoreError
from stillframe.store.s3_requests import persist


def answered(code: str, status: int, operation: str) -> type[StoreError]:
    """The error that an answer becomes, without patience."""

    def request() -> None:
        response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, operation)

    with pytest.raises(StoreError) as caught:
        persist(request, "s3://b/k", 0.0)
    return type(caught.value)


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("KeyTooLongError", 400),
        ("InvalidArgument", 400),
        ("InvalidURI", 400),
        ("EntityTooLarge", 400),
        ("XMinioInvalidObjectName", 400),
        ("414", 414),
    ],
)
def test_a_refusal_of_one_key_is_told_from_one_of_all(code: str, status: int, operation: str) -> None:
    assert answered(code, status, operation) is KeyRefused
    assert answered(code, status, "ListObjectsV2") is Refused


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"])
def test_a_refusal_of_all_is_the_stores(code: str) -> None:
    assert answered(code, 403, "PutObject") is Refused


def test_other_answers_keep_their_meaning() -> None:
    assert answered("NoSuchKey", 404, "PutObject") is NotFound
    assert answered("PreconditionFailed", 412, "PutObject") is PreconditionFailed
    assert answered("InternalError", 500, "PutObject") is StoreError
