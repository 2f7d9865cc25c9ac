from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openjpeg.utils import decode, encode_array
from pydicom.encaps import generate_frames

from stillframe.codec.codestream import nonconformities, reduce_codestream, resolutions
from stillframe.codec.htj2k import decode_frame, decode_lossless, decode_prefix, encode_frame, levels_for, samples_fit
from stillframe.codec.markers import parse_header
from stillframe.errors import CodecError
from tests.support.examples import examples
from tests.support.places import SHARED_DATA

SAMPLES = SHARED_DATA / "htj2k-input"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="shared/data/htj2k-input is absent")

Frame = npt.NDArray[Any]


def foreign_decode(data: bytes) -> Frame:
    """OpenJPEG's decoding; it clips to the precision, and has no reduced resolutions in this binding."""
    decoded: Frame = decode(data, j2k_format=0)
    return decoded


def make_frame(shape: tuple[int, ...], precision: int, *, signed: bool, content: str, seed: int = 0) -> Frame:
    """A frame of the narrowest type with one kind of content over the whole range of the precision."""
    least = -(1 << precision - 1) if signed else 0
    most = least + (1 << precision) - 1
    random = np.random.default_rng(seed)
    grid = np.indices(shape).sum(0)
    match content:
        case "noise":
            values = random.integers(least, most + 1, shape)
        case "extremes":
            values = np.where(random.integers(0, 2, shape), most, least)
        case "checkers":
            values = np.where(grid % 2, most, least)
        case "ramp":
            values = least + grid * (most - least) // max(int(grid.max()), 1)
        case _:
            values = np.full(shape, least if content == "least" else most)
    return values.astype(("i" if signed else "u") + ("1" if precision <= 8 else "2"))


CONTENTS = ["noise", "extremes", "checkers", "ramp", "least", "most"]
SIDES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 200, 513]))
# Strips: one side of 1 or 2, where encoders have failed, the other up to a few thousand.
STRIPS = st.tuples(st.integers(1, 2), st.integers(1, 3000)).flatmap(lambda s: st.permutations(s).map(tuple))
SHAPES = st.one_of(st.tuples(SIDES, SIDES), STRIPS)


@st.composite
def frames(draw: st.DrawFn) -> tuple[Frame, int]:
    shape = draw(SHAPES)
    precision = draw(st.integers(2, 16))  # 1 bit has its own test
    colour = draw(st.booleans())
    signed = not colour and draw(st.booleans())
    content, seed = draw(st.sampled_from(CONTENTS)), draw(st.integers(0, 2**32 - 1))
    return make_frame((*shape, 3) if colour else shape, precision, signed=signed, content=content, seed=seed), precision


@pytest.mark.slow
@given(frame_and_precision=frames())
@settings(max_examples=examples(1000), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_decoder_returns_what_was_encoded(frame_and_precision: tuple[Frame, int]) -> None:
    frame, precision = frame_and_precision
    data = encode_frame(frame, precision)
    assert nonconformities(data) == []
    header = parse_header(data)
    component = header.components[0]
    assert (component.precision, component.signed) == (precision, frame.dtype.kind == "i")
    for decoded in (decode_lossless(data), decode_frame(data), decode_prefix(data, 0)):
        assert decoded.dtype == frame.dtype
        assert np.array_equal(decoded, frame)
    assert np.array_equal(foreign_decode(data).reshape(frame.shape), frame)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("shape", "signed"), [((70, 90), False), ((70, 90), True), ((70, 90, 3), False)])
def test_one_bit_frames_come_back(shape: tuple[int, ...], signed: bool, content: str) -> None:
    frame = make_frame(shape, 1, signed=signed, content=content)
    data = encode_frame(frame, 1)
    assert nonconformities(data) == []
    assert np.array_equal(decode_lossless(data), frame)
    assert np.array_equal(foreign_decode(data).reshape(shape), frame)


@pytest.mark.slow
@given(frame_and_precision=frames())
@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_prefix_and_reduced_codestream_decode_to_the_lower_resolution(frame_and_precision: tuple[Frame, int]) -> None:
    frame, precision = frame_and_precision
    data = encode_frame(frame, precision)
    for r in resolutions(parse_header(data), len(data)):
        expected = decode_frame(data, r.decode_level)
        assert expected.shape[:2] == (r.height, r.width)
        assert expected.dtype == frame.dtype
        reduced = reduce_codestream(data, r.decode_level)
        assert np.array_equal(decode_prefix(data[: r.prefix_length], r.decode_level), expected)
        assert np.array_equal(decode_frame(reduced), expected)
        assert np.array_equal(foreign_decode(reduced).reshape(expected.shape), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "precision", "signed"),
    [((2048, 2500), 12, False), ((1, 4099), 16, True), ((4099, 1), 8, False), ((1030, 770, 3), 8, False)],
)
def test_large_frames_at_every_level(shape: tuple[int, ...], precision: int, signed: bool) -> None:
    noise = make_frame(shape, precision, signed=signed, content="noise")
    ramp = make_frame(shape, precision, signed=signed, content="ramp")
    frame = np.where(noise % 5 == 0, noise, ramp)
    data = encode_frame(frame, precision)
    assert nonconformities(data) == []
    assert np.array_equal(decode_lossless(data), frame)
    for r in resolutions(parse_header(data), len(data)):
        expected = decode_frame(data, r.decode_level)
        assert np.array_equal(decode_prefix(data[: r.prefix_length], r.decode_level), expected)
        foreign = foreign_decode(reduce_codestream(data, r.decode_level))
        assert np.array_equal(foreign.reshape(expected.shape), expected)


def test_overshoot_of_a_lower_resolution_is_clipped() -> None:
    frame = make_frame((64, 64), 8, signed=False, content="extremes", seed=1)
    halved = _halve_5_3(frame)
    assert halved.min() < 0
    assert halved.max() > 255
    assert np.array_equal(decode_frame(encode_frame(frame, 8), 1), halved.clip(0, 255))


def _halve_5_3(frame: Frame) -> Frame:
    """The low-pass band of the reversible 5-3 wavelet (ISO/IEC 15444-1 F.4.8.1) in both directions, of even sides."""
    band = frame.astype(np.int64) - 128
    for axis in (0, 1):
        band = np.moveaxis(band, axis, 0)
        even, odd = band[::2], band[1::2]
        high = odd - (even + np.concatenate([even[1:], even[-1:]]) >> 1)
        band = np.moveaxis(even + (np.concatenate([high[:1], high[:-1]]) + high + 2 >> 2), 0, axis)
    return band + 128


@pytest.mark.parametrize(
    ("size", "levels"),
    [((1, 1), 3), ((512, 512), 3), ((513, 1), 4), ((1, 1024), 4), ((1025, 1024), 5), ((640, 480), 4), ((4096, 3), 6)],
)
def test_levels_bring_the_base_to_64(size: tuple[int, int], levels: int) -> None:
    assert levels_for(*size) == levels


@given(width=st.integers(1, 70000), height=st.integers(1, 70000))
def test_levels_are_the_fewest(width: int, height: int) -> None:
    levels = levels_for(width, height)
    assert levels >= 3
    assert -(-max(width, height) // 2**levels) <= 64
    assert levels == 3 or -(-max(width, height) // 2 ** (levels - 1)) > 64


GREY = make_frame((90, 130), 12, signed=False, content="noise")
RGB = make_frame((60, 50, 3), 8, signed=False, content="noise")


@pytest.mark.parametrize(
    "frame",
    [
        GREY[::-1],
        GREY[:, ::-1],
        GREY[::2, ::3],
        GREY.T,
        np.asfortranarray(GREY),
        GREY.astype(">u2"),
        np.frombuffer(GREY.tobytes(), np.uint16).reshape(GREY.shape),
        np.broadcast_to(np.uint16(7), (20, 30)),
        RGB[:, ::-1],
        RGB[..., ::-1],
        np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape),
        RGB.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    ],
    ids=["up", "mirrored", "steps", "turned", "fortran", "big-endian", "read-only", "broadcast", "mirrored-colour",
         "bgr", "read-only-colour", "planar"],
)  # fmt: skip
def test_any_memory_layout_is_encoded(frame: Frame) -> None:
    precision = 8 if frame.dtype.itemsize == 1 else 12
    assert np.array_equal(decode_lossless(encode_frame(frame, precision)), frame)


def test_the_same_frame_gives_the_same_bytes() -> None:
    assert encode_frame(GREY, 12) == encode_frame(GREY.copy(), 12)


@pytest.mark.parametrize(
    ("frame", "bits_stored", "message"),
    [
        (np.zeros((4, 4), np.uint32), 16, "not of 8 or 16 bit integers"),
        (np.zeros((4, 4), np.float32), 16, "not of 8 or 16 bit integers"),
        (np.zeros((4, 4), np.bool_), 1, "not of 8 or 16 bit integers"),
        (np.zeros(4, np.uint8), 8, "neither grey nor unsigned RGB"),
        (np.zeros((4, 4, 4), np.uint8), 8, "neither grey nor unsigned RGB"),
        (np.zeros((4, 4, 3), np.int8), 8, "neither grey nor unsigned RGB"),
        (np.zeros((0, 4), np.uint8), 8, "neither grey nor unsigned RGB"),
        (np.zeros((2, 4, 4, 3), np.uint8), 8, "neither grey nor unsigned RGB"),
        (np.zeros((4, 4), np.uint8), 9, "9 bits stored do not fit uint8"),
        (np.zeros((4, 4), np.uint16), 0, "0 bits stored do not fit uint16"),
        (np.full((4, 4), 4096, np.uint16), 12, "samples from 4096 to 4096 do not fit 12 bits stored"),
        (np.full((4, 4), -129, np.int16), 8, "samples from -129 to -129 do not fit 8 bits stored"),
        (np.full((4, 4), 128, np.int16), 8, "samples from 128 to 128 do not fit 8 bits stored"),
        (np.full((4, 4, 3), 64, np.uint8), 6, "samples from 64 to 64 do not fit 6 bits stored"),
    ],
)
def test_what_cannot_be_represented_is_refused(frame: Frame, bits_stored: int, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        encode_frame(frame, bits_stored)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("bits", [1, 5, 8, 12, 16, 32])
def test_samples_fit_so_many_bits_or_do_not(kind: str, bits: int) -> None:
    """The range of so many bits, and one beyond either end, as far as the type holds them."""
    signed = kind[0] == "i"
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    limits = np.iinfo(kind)
    for value, fits in ((least, True), (most, True), (least - 1, False), (most + 1, False)):
        if limits.min <= value <= limits.max:
            frame = np.zeros((3, 3), kind)
            frame[1, 2] = value
            assert samples_fit(frame, bits) is fits


def test_sixteen_bit_containers_of_few_bits_come_back_in_eight() -> None:
    decoded = decode_lossless(encode_frame(np.full((9, 9), 200, np.uint16), 8))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.full((9, 9), 200))


CODED = encode_frame(GREY, 12)


@pytest.mark.parametrize("decode_htj2k", [decode_frame, decode_lossless])
def test_what_is_no_htj2k_is_refused(decode_htj2k: Callable[[bytes], Frame]) -> None:
    jpeg_2000 = encode_array(GREY, bits_stored=12, photometric_interpretation=2)
    for data in (b"", b"\xff\xd8\xff\xe0", CODED[:60], jpeg_2000):
        with pytest.raises(CodecError):
            decode_htj2k(data)


@pytest.mark.parametrize("level", [-1, 4])
def test_there_is_nothing_past_the_last_level(level: int) -> None:
    for decode_at in (decode_frame, decode_prefix):
        with pytest.raises(CodecError, match=f"no decode level {level}"):
            decode_at(CODED, level)


def test_an_image_that_is_empty_at_a_level_is_refused() -> None:
    """Rows 89 to 90 of the grid: the second grid line of every two, so that none is left when halved."""
    at = 2 + 4 + 14  # YOsiz in SIZ
    data = CODED[:at] + (89).to_bytes(4) + CODED[at + 4 :]
    assert parse_header(data).height == 1
    with pytest.raises(CodecError, match="empty at decode level 1"):
        decode_frame(data, 1)


def test_components_of_different_kinds_are_refused() -> None:
    data = bytearray(encode_frame(RGB, 8))
    data[2 + 4 + 36 + 4] = 2  # XRsiz of the second component
    with pytest.raises(CodecError, match="different kinds"):
        decode_frame(bytes(data))


@needs_samples
@pytest.mark.parametrize("name", ["CT1", "US1"])
def test_real_codestreams_decode_to_their_native_twins(name: str) -> None:
    native = pydicom.dcmread(SAMPLES / f"{name}_UNC.dcm").pixel_array
    encapsulated = pydicom.dcmread(SAMPLES / f"{name}_JPH.dcm").PixelData
    data = next(generate_frames(encapsulated, number_of_frames=1)).removesuffix(b"\0")
    for decoded in (decode_frame(data), decode_lossless(data)):
        assert decoded.dtype == native.dtype
        assert np.array_equal(decoded, native)
    coded_again = encode_frame(native, 16 if name == "CT1" else 8)
    assert np.array_equal(decode_lossless(coded_again), native)
