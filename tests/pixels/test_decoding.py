from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import imagecodecs
import numpy as np
import pytest

from stillframe.codec.facts import FrameFacts
from stillframe.codec.htj2k import encode_frame
from stillframe.codec.markers import parse_header
from stillframe.codec.probe import probe_frame
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import CodecError, PixelDataError
from stillframe.execute import ProcessExecutor
from stillframe.options import DecoderLimits
from stillframe.pixels.decoders import LimitReached, decode_compressed, read_recompressed
from stillframe.pixels.decoding import DecoderStopped, OtherSize, run_decoder, run_restorer
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.foreign_codestreams import check_passed, decode_published, decode_reduced
from stillframe.sandbox import NO_PROCESS, ChildDied, Sandbox, has_starter
from tests.support.dicom_files import jpeg, random_samples
from tests.support.frame_encoders import htj2k, j2k, jpeg_lossy, jpegls, jpegxl, lossless_jpeg, rle

SMALL = DecoderLimits(memory=64 << 20, seconds=0.5)


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1) as executor:
        yield executor


def described(frame: np.ndarray[Any, Any], bits: int) -> PixelDescription:
    colour = frame.ndim == 3
    return PixelDescription(
        rows=frame.shape[0],
        columns=frame.shape[1],
        frames=1,
        samples=3 if colour else 1,
        photometric="RGB" if colour else "MONOCHROME2",
        planar=0,
        bits_allocated=8 * frame.itemsize,
        bits_stored=bits,
        high_bit=bits - 1,
        pixel_representation=0,
    )


def decode_in_sandbox(data: bytes, facts: FrameFacts, description: PixelDescription) -> np.ndarray[Any, Any]:
    assert has_starter()
    return decode_compressed(data, facts, description, DecoderLimits()).array


@pytest.mark.parametrize("shape", [(37, 53), (37, 53, 3)])
@pytest.mark.parametrize(
    ("encode", "syntax", "bits"),
    [
        (jpegls, jpeg(80), 8),
        (jpegls, jpeg(80), 12),
        (lossless_jpeg, jpeg(70), 8),
        (lossless_jpeg, jpeg(70), 16),
        (j2k, jpeg(90), 8),
        (j2k, jpeg(90), 12),
        (htj2k, jpeg(201), 8),
        (htj2k, jpeg(201), 12),
        (jpegxl, jpeg(110), 8),
        (rle, "1.2.840.10008.1.2.5", 8),
        (rle, "1.2.840.10008.1.2.5", 16),
    ],
)
def test_every_lossless_family_is_decoded_in_a_sandbox(
    worker: ProcessExecutor, encode: Callable[..., bytes], syntax: str, bits: int, shape: tuple[int, ...]
) -> None:
    frame = random_samples(shape, "u1" if bits == 8 else "u2", bits)
    data, description = encode(frame, bits), described(frame, bits)
    expected = FrameFacts(
        width=53, height=37, samples=description.samples, precision=description.bits_allocated, lossless=True
    )
    facts = probe_frame(data, transfer_syntax(syntax), expected)
    decoded = worker.submit(decode_in_sandbox, data, facts, description).result(timeout=60)
    np.testing.assert_array_equal(decoded, frame)


def outcome(expression: str, limits: DecoderLimits) -> tuple[str, str, bool]:
    """Runs in a worker or here: what comes of a decoder that is a Python expression."""
    try:
        frame = run_decoder(eval, expression, shape=(2, 3), limits=limits)
    except CodecError as error:
        return type(error).__name__, str(error), isinstance(error, DecoderStopped) and error.limited
    return str(frame.dtype), str(frame.tolist()), False


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("__import__('numpy').arange(6, dtype='<u2').reshape(2, 3)", ("uint16", "[[0, 1, 2], [3, 4, 5]]")),
        ("__import__('numpy').arange(6, dtype='>i4').reshape(2, 3)[:, ::-1]", ("int32", "[[2, 1, 0], [5, 4, 3]]")),
        ("__import__('numpy').zeros((5, 7), 'u1')", (OtherSize.__name__, "finds 7 x 5 pixels")),
        (
            "(_ for _ in ()).throw(__import__('stillframe').errors.CodecError('gives up'))",
            (CodecError.__name__, "gives up"),
        ),
    ],
)
def test_what_a_decoder_makes_of_a_frame_is_the_same_with_a_sandbox_and_without(
    worker: ProcessExecutor, expression: str, told: tuple[str, str]
) -> None:
    assert outcome(expression, SMALL) in ((*told, False), (told[0].replace("int32", ">i4"), told[1], False))
    assert worker.submit(outcome, expression, SMALL).result(timeout=60) == (*told, False)


def restored(expression: str, shape: tuple[int, ...], limits: DecoderLimits) -> tuple[str, bytes]:
    """Runs in a worker or here: what comes of a function that makes bytes of bytes, a Python expression."""
    try:
        return "", run_restorer(eval, expression.encode(), shape=shape, limits=limits)
    except CodecError as error:
        return type(error).__name__, str(error).encode()


MOST = 2 * 3 * 4 + (1 << 20)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("b'a frame'", ("", b"a frame")),
        ("b''", ("", b"")),
        (f"bytes({MOST})", ("", bytes(MOST))),
        (
            "(_ for _ in ()).throw(__import__('stillframe').errors.CodecError('gives up'))",
            (CodecError.__name__, b"gives up"),
        ),
    ],
)
def test_bytes_of_a_sandbox_are_the_same_as_without(
    worker: ProcessExecutor, expression: str, told: tuple[str, bytes]
) -> None:
    assert restored(expression, (2, 3), SMALL) == told
    assert worker.submit(restored, expression, (2, 3), SMALL).result(timeout=60) == told


def test_more_bytes_than_a_frame_can_need_are_refused(worker: ProcessExecutor) -> None:
    expression = "bytes(1 << 22)"
    most = MOST + 4 * len(expression)
    told = CodecError.__name__, f"makes {1 << 22} bytes of a frame that needs no more than {most}".encode()
    assert restored(expression, (2, 3), SMALL) == told
    assert worker.submit(restored, expression, (2, 3), SMALL).result(timeout=60) == told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "messages"),
    [
        ("__import__('os')._exit(7)", ["ended its process with exit code 7"]),
        ("bytearray(1 << 28)", ["needs more than 64 MiB of memory; --max-decoder-memory allows more"]),
        (
            "any(iter(int, 1))",
            [
                "took more than 1 s of processor time; --max-decoder-seconds allows more",
                "gave no answer within 11 s; --max-decoder-seconds allows more",  # on a busy machine
            ],
        ),
    ],
)
def test_what_makes_bytes_has_the_limits_of_a_decoder(
    worker: ProcessExecutor, expression: str, messages: list[str]
) -> None:
    kind, message = worker.submit(restored, expression, (2, 3), SMALL).result(timeout=120)
    assert kind == DecoderStopped.__name__
    assert message.decode() in messages


def restored_in_sandbox(data: bytes, description: PixelDescription, limits: DecoderLimits) -> tuple[str, bytes]:
    assert has_starter()
    try:
        return "", read_recompressed(data, description, limits)
    except PixelDataError as error:
        return type(error).__name__, str(error).encode()


@pytest.fixture
def new_worker() -> Iterator[ProcessExecutor]:
    """A worker whose sandbox has no memory yet that a library keeps."""
    with ProcessExecutor(1) as executor:
        yield executor


def test_recompressed_images_are_given_back_in_a_sandbox(new_worker: ProcessExecutor) -> None:
    frame = random_samples((370, 530, 3), "u1", 8)
    image = jpeg_lossy(frame, 8)
    data = bytes(imagecodecs.jpegxl_encode_jpeg(image))

    def told(data: bytes, like: np.ndarray[Any, Any], limits: DecoderLimits) -> tuple[str, bytes]:
        return new_worker.submit(restored_in_sandbox, data, described(like, 8), limits).result(timeout=60)

    reason = b"does not give its JPEG image back"
    kind, message = told(data, frame[:1, :1], DecoderLimits(memory=4 << 20))  # a frame that is said to be tiny
    assert (kind, message.startswith(reason + b": libjxl needs more than ")) == (LimitReached.__name__, True)
    assert told(data, frame, DecoderLimits()) == ("", image)
    assert told(data[:-100], frame, DecoderLimits()) == (PixelDataError.__name__, reason)


MORE_MEMORY = "--max-decoder-memory allows more"
MAY_TAKE = f"it may take 64 MiB of memory, {MORE_MEMORY}"
# 2 x 3 samples of 32 bytes are 192 bytes more than the limit says.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "message", "limited"),
    [
        ("__import__('os').abort()", f"ended with SIGABRT; {MAY_TAKE}", False),
        (
            "__import__('ctypes').string_at(0)",
            f"ended with SIGSEGV; {MAY_TAKE}",
            False,
        ),
        ("bytearray(1 << 28)", f"needs more than 64 MiB of memory; {MORE_MEMORY}", True),
        ("__import__('os')._exit(7)", "ended its process with exit code 7", False),
        (
            "__import__('time').sleep(1000)",
            "gave no answer within 11 s; --max-decoder-seconds allows more",  # 20 for each CPU second
            True,
        ),
        ("1 // 0", "ended its process with exit code 1", False),
        (
            "any(iter(int, 1))",
            "took more than 1 s of processor time; --max-decoder-seconds allows more",
            True,
        ),
    ],
)
def test_what_stopped_a_decoder_is_told(worker: ProcessExecutor, expression: str, message: str, limited: bool) -> None:
    assert worker.submit(outcome, expression, SMALL).result(timeout=120) == ("DecoderStopped", message, limited)


@contextmanager
def lying(head: str, body: str) -> Iterator[None]:
    """Within it, the sandbox answers this, whatever it is asked."""
    from unittest.mock import patch

    from stillframe.pixels import decoding

    sandbox = decoding._SANDBOX

    class Lying:
        def run(self, _work: Any, _arguments: Any, limits: Any, take: Any) -> Any:
            return sandbox.run(eval, (f"({head}, {body})",), limits, take)

    with patch.object(decoding, "_SANDBOX", Lying()):
        yield


def lie(head: str, body: str) -> tuple[str, str, bool]:
    """Runs in a worker: what comes of a decoder there."""
    with lying(head, body):
        return outcome("", SMALL)


def lie_in_bytes(head: str, body: str) -> tuple[str, bytes]:
    """Runs in a worker: what comes there of a function that makes bytes of bytes."""
    with lying(head, body):
        return restored("", (2, 3), SMALL)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("b'short'", "b''"),
        ("__import__('struct').pack('<B2s3I', 0, b'u2', 2, 4, 0)", "bytes(16)"),  # another shape
        ("__import__('struct').pack('<B2s3I', 0, b'u2', 1 << 31, 1 << 31, 1 << 31)", "b''"),
        ("__import__('struct').pack('<B2s3I', 0, b'O8', 2, 3, 0)", "bytes(48)"),  # objects are addresses
        ("__import__('struct').pack('<B2s3I', 0, b'V9', 2, 3, 0)", "bytes(54)"),
        ("__import__('struct').pack('<B2s3I', 2, b'', 1 << 31, 0, 0)", "bytes(100)"),  # a text without end
        ("__import__('struct').pack('<B2s3I', 9, b'', 0, 0, 0)", "b''"),
        ("__import__('struct').pack('<B2s3I', 4, b'', 6, 0, 0)", "bytes(6)"),  # bytes, where samples were asked for
    ],
)
def test_an_answer_that_makes_no_sense_ends_the_sandbox(worker: ProcessExecutor, head: str, body: str) -> None:
    kind, message, limited = worker.submit(lie, head, body).result(timeout=60)
    assert (kind, message, limited) == ("DecoderStopped", "gave an answer without sense", False)
    assert worker.submit(outcome, "__import__('numpy').zeros((2, 3), 'u1')", SMALL).result()[0] == "uint8"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("__import__('struct').pack('<B2s3I', 4, b'', (1 << 32) - 1, 0, 0)", "bytes(100)"),  # bytes without end
        ("__import__('struct').pack('<B2s3I', 0, b'u1', 2, 3, 0)", "bytes(6)"),  # samples, where bytes were asked for
        ("b'short'", "b''"),
    ],
)
def test_an_answer_of_bytes_that_makes_no_sense_ends_the_sandbox(worker: ProcessExecutor, head: str, body: str) -> None:
    told = worker.submit(lie_in_bytes, head, body).result(timeout=60)
    assert told == (DecoderStopped.__name__, b"gave an answer without sense")
    assert worker.submit(restored, "b'1'", (2, 3), SMALL).result(timeout=60) == ("", b"1")


def test_control_characters_of_an_answer_are_not_passed_on(worker: ProcessExecutor) -> None:
    head = "__import__('struct').pack('<B2s3I', 2, b'', 5, 0, 0)"
    assert worker.submit(lie, head, "b'a\\n\\x1b[m'").result(timeout=60) == ("CodecError", "a??[m", False)


def of_a_codestream(data: bytes) -> list[Any]:
    """Runs in a worker or here: all that is done with codestreams of others."""
    header = parse_header(data)
    return [check_passed(data, header), decode_published(data), decode_reduced(data, 1, header)]


def test_codestreams_of_others_are_decoded_in_a_sandbox(worker: ProcessExecutor) -> None:
    frame = random_samples((70, 90), "u2", 12)
    data = encode_frame(frame, 12)
    boxed, bare = worker.submit(of_a_codestream, data).result(timeout=60), of_a_codestream(data)
    for array, other in zip(boxed, bare, strict=True):
        np.testing.assert_array_equal(array, other)
    np.testing.assert_array_equal(boxed[0], frame)
    np.testing.assert_array_equal(boxed[1], frame)


def stopped_while_decoding(expression: str) -> tuple[str, str]:
    """Runs in a worker: the error of a frame whose two decoders do the same."""
    from unittest.mock import patch

    from stillframe.pixels import decoders

    frame = random_samples((2, 3), "u1", 8)
    facts = FrameFacts(width=3, height=2, samples=1, precision=8, lossless=True)
    asked = [("one", eval, expression), ("other", eval, expression)]
    with patch.object(decoders, "_decoders", lambda *_: iter(asked)):
        try:
            decode_compressed(b"", facts, described(frame, 8), SMALL)
        except PixelDataError as error:
            return type(error).__name__, str(error)
    return "", ""


def test_the_reason_names_each_decoder_and_what_it_did(worker: ProcessExecutor) -> None:
    crashed = worker.submit(stopped_while_decoding, "__import__('os')._exit(7)").result(timeout=60)
    ended = "(which ended its process with exit code 7)"
    assert crashed == (PixelDataError.__name__, f"cannot be decoded by one {ended} or other {ended}")


def test_a_limit_says_nothing_of_the_frame(worker: ProcessExecutor) -> None:
    kind, message = worker.submit(stopped_while_decoding, "bytearray(1 << 28)").result(timeout=60)
    assert kind == LimitReached.__name__
    assert message.startswith(f"cannot be decoded by one (which needs more than 64 MiB of memory; {MORE_MEMORY})")


def test_a_decoder_without_a_process_is_no_fault_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoProcess(Sandbox):
        def run(self, *_: Any) -> Any:
            raise ChildDied(NO_PROCESS, late=False)

    monkeypatch.setattr("stillframe.pixels.decoding._SANDBOX", NoProcess())
    monkeypatch.setattr("stillframe.pixels.decoding.has_starter", lambda: True)
    assert outcome("", SMALL) == ("DecoderStopped", "has no process to run in: the system gives no more", True)
