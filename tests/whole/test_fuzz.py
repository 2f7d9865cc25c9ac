from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.dicom_files import (
    EXPLICIT,
    encapsulated_value,
    image_attributes,
    jpeg,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import j2k
from tests.support.fuzz import (
    Case,
    judge_colours,
    judge_elements,
    judge_frames,
    made_samples,
    mutate,
    run_cases,
    small_samples,
)
from tests.support.trees import PICTURED, build_tree

_SEEDS = 30


@pytest.mark.slow
def test_mutated_files_are_published_as_pydicom_reads_them_or_named_with_the_reason(tmp_path: Path) -> None:
    """`make fuzz` tries other seeds, for as long as one likes."""
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir()
    work.mkdir()
    installed = small_samples(2)
    if not installed:
        pytest.skip("neither pydicom nor pydicom-data has sample files here")
    samples = installed | made_samples(source)
    cases = [Case(name, seed) for seed in range(_SEEDS) for name in sorted(samples)]
    verdicts = list(run_cases(cases, samples, 2, str(work)))
    assert [verdict for verdict in verdicts if verdict.finding] == []
    assert [verdict.case for verdict in verdicts] == cases
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    assert set(outcomes) <= {"published", "rejected", "not DICOM", "decoder crashed"}
    assert outcomes["published"] > len(cases) / 5
    assert outcomes["rejected"] > len(cases) / 5
    assert outcomes["decoder crashed"] < len(cases) / 100


def test_a_mutation_follows_from_its_seed_and_changes_the_part_it_should() -> None:
    data = bytes(1000) + b"\xe0\x7f\x10\0OW\0\0" + bytes(1000)
    for seed in range(50):
        changed = mutate(data, seed)
        assert changed == mutate(data, seed)
        part = slice(0, 132) if seed % 2 else slice(0, 1000)
        assert changed[part] == data[part]


def test_the_judges_see_an_element_that_is_lost_and_a_picture_in_other_colours(tmp_path: Path) -> None:
    samples = made_samples(tmp_path)
    build_tree(tmp_path / "tree", samples["made-jfif"], options=PICTURED)
    (folder,) = (path.parent for path in (tmp_path / "tree").glob("studies/*/series/*/instances/*/metadata"))
    (metadata,) = json.loads((folder / "metadata").read_bytes())
    assert judge_elements(samples["made-jfif"], folder, metadata, ["Photometric Interpretation is RGB, but"]) == ""
    assert judge_colours(folder, metadata) == ""
    del metadata["00100020"]
    assert "are not pydicom's" in judge_elements(samples["made-jfif"], folder, metadata, [])
    Image.open(folder / "rendered").convert("YCbCr").point(lambda value: 255 - value).convert("RGB").save(
        folder / "rendered", "JPEG"
    )
    assert "other colours than frame 1" in judge_colours(folder, metadata)


def test_the_judges_read_decimals_where_integers_must_stand(tmp_path: Path) -> None:
    """Pixel Aspect Ratio (0028,0034) is an IS; pydicom reads 0.125 and writes 0."""
    frame = random_samples((20, 30), "u1", 8)
    attributes = image_attributes(frame, PixelAspectRatio=["10001", "20002"])
    path = write_dicom(tmp_path / "image", EXPLICIT, attributes, frame.tobytes())
    path.write_bytes(path.read_bytes().replace(b"10001\\20002", b"0.125\\1.500"))
    folder, metadata, notes = _built(tmp_path, path)
    assert metadata["00280034"] == {"vr": "IS", "Value": [0.125, 1.5]}
    assert judge_elements(path, folder, metadata, notes) == ""
    metadata["00280034"]["Value"] = [0, 1]
    assert "00280034" in judge_elements(path, folder, metadata, notes)


def test_the_judges_know_codestreams_that_say_their_sign(tmp_path: Path) -> None:
    """Under Pixel Representation 0, pydicom cuts the sign of samples that the codestream calls signed."""
    frame = random_samples((40, 50), "i2", 12)
    attributes = image_attributes(frame, PixelRepresentation=0)
    path = write_dicom(tmp_path / "signed", jpeg(90), attributes, encapsulated_value([j2k(frame, 12)]), vr="OB")
    folder, metadata, notes = _built(tmp_path, path)
    assert judge_frames(path, folder, metadata, notes) == ""
    assert "not pydicom's" in judge_frames(path, folder, metadata, [])
    assert "another sign" in judge_frames(path, folder, metadata | {"00280103": {"vr": "US", "Value": [0]}}, notes)
    same_bits = (frame & 0xFFF).astype("u2")
    write_dicom(path, jpeg(90), attributes, encapsulated_value([j2k(same_bits, 12)]), vr="OB")
    assert "not pydicom's" in judge_frames(path, folder, metadata, notes)


def _built(folder: Path, path: Path) -> tuple[Path, dict[str, Any], list[str]]:
    """Where the one instance is published, its metadata and its notes."""
    report = build_tree(folder / "tree", path)
    (place,) = (folder / "tree").glob("studies/*/series/*/instances/*/metadata")
    (metadata,) = json.loads(place.read_bytes())
    return place.parent, metadata, [note for item in report.noted for note in item.notes]
