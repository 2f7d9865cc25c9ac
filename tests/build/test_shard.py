from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.build.shard import Shard, parse_shard, shard_of_environment
from stillframe.errors import UsageError

BATCH = {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "16"}
SLURM = {
    "SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_MAX": "16",
    "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4",
}  # fmt: skip
KUBERNETES = {"JOB_COMPLETION_INDEX": "7", "STILLFRAME_SHARDS": "8"}


@given(st.text(), st.integers(1, 40))
def test_everything_is_held_by_one_shard(text: str, count: int) -> None:
    assert sum(Shard(number, count).holds(text) for number in range(1, count + 1)) == 1


def test_the_split_follows_from_the_uid_alone() -> None:
    """The first eight bytes of its SHA-256, as a number, modulo the count: whoever knows that finds the shard."""
    for uid in ("1.2.3", "1.2.826.0.1.3680043.10.543.1"):
        number = int(sha256(uid.encode()).hexdigest()[:16], 16) % 16 + 1
        assert Shard(number, 16).holds(uid)
    code = "from stillframe.build.shard import Shard; print([Shard(n, 16).holds('1.2.3') for n in range(1, 17)])"
    told = set()
    for seed in ("1", "2"):  # of Python's own hashes
        seeded = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=seeded)
        told.add(done.stdout)
    assert len(told) == 1


def test_studies_are_spread_evenly() -> None:
    """10,000 UIDs of one root in 16 shards: a standard deviation is 24."""
    counts = [
        sum(Shard(number, 16).holds(f"1.3.6.1.4.1.14519.5.2.1.{uid}") for uid in range(10_000))
        for number in range(1, 17)
    ]
    assert max(abs(count - 625) for count in counts) < 5 * 24


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("3/16", Shard(3, 16)), ("16/16", Shard(16, 16))])
def test_shards_are_named_from_1(text: str, shard: Shard) -> None:
    assert parse_shard(text, BATCH) == shard
    assert parse_shard(str(shard), {}) == shard


@pytest.mark.parametrize("text", ["0/16", "17/16", "1/0", "1", "a/b", "1/2/3", "-1/4", "1/1000000", "²/4", ""])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a shard is"):
        parse_shard(text, {})


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (BATCH, Shard(1, 16)),
        (BATCH | {"AWS_BATCH_JOB_ARRAY_INDEX": "15"}, Shard(16, 16)),
        (SLURM, Shard(3, 4)),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "10"}, Shard(1, 4)),
        # Without a step it is 1, and without a least ID it is 0.
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MAX": "3"}, Shard(4, 4)),
        (KUBERNETES, Shard(8, 8)),
    ],
)
def test_a_scheduler_names_the_shard(environment: dict[str, str], shard: Shard) -> None:
    assert parse_shard("auto", environment | {"PATH": "/bin"}) == shard


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "no variable of a scheduler is there: AWS_BATCH_JOB_ARRAY_INDEX"),
        (BATCH | KUBERNETES, "variables of AWS Batch and of Kubernetes are there: give --shard I/N"),
        ({"JOB_COMPLETION_INDEX": "0"}, "Kubernetes goes with STILLFRAME_SHARDS, which is missing"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0"}, "AWS_BATCH_JOB_ARRAY_SIZE, which is missing"),
        (BATCH | {"AWS_BATCH_JOB_ARRAY_INDEX": "16"}, "AWS_BATCH_JOB_ARRAY_INDEX 16, AWS_BATCH_JOB_ARRAY_SIZE 16"),
        (BATCH | {"AWS_BATCH_JOB_ARRAY_SIZE": "many"}, "AWS_BATCH_JOB_ARRAY_SIZE is no number: many"),
        (KUBERNETES | {"STILLFRAME_SHARDS": "0"}, "a shard is one of at most"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "15"}, "the IDs of this array of Slurm leave gaps"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "9"}, "the IDs of this array of Slurm leave gaps"),
        # --array=1,3,7: three tasks, of which the IDs go from 1 to 7.
        (
            {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "7",
             "SLURM_ARRAY_TASK_STEP": "1", "SLURM_ARRAY_TASK_COUNT": "3"},
            "the IDs of this array of Slurm leave gaps",
        ),
    ],
)  # fmt: skip
def test_an_environment_that_names_no_shard_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        shard_of_environment(environment)
    assert message in str(refused.value)
