"""Shards: one job in N parts, each done by a process of its own, split by the Study Instance UID.

The split follows from the UID alone, so it is the same on every machine, and whatever is decided over a whole study
(its patient, conflicts, its lists) is decided in one shard.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stillframe.errors import UsageError

AUTO: Final = "auto"
COUNT_VARIABLE: Final = "STILLFRAME_SHARDS"
"""The variable that says how many shards an Indexed Job of Kubernetes has, which tells its pods no such number."""

MAX_SHARDS: Final = 100_000
_SHARD: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)
_HASHED_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of a job; `number` counts from 1.

    A job that is no `part` is not split. One shard of one holds the same, but is reported as a shard.
    """

    number: int = 1
    count: int = 1
    part: bool = True

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, text: str) -> bool:
        """Whether a study belongs to this shard, by its UID; or an input of which no study is known, by its path.

        SHA-256 spreads what differs in a digit only, and is the same in every process and version of Python.
        """
        if self.count == 1:
            return True
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
        return int.from_bytes(digest[:_HASHED_BYTES]) % self.count == self.number - 1


WHOLE: Final = Shard(part=False)
"""All of a job that is not split."""


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """The shard that `I/N` names, or the one that the scheduler names in the environment, for `auto`.

    Raises:
        UsageError: if there is no such shard, or if the environment names none, or more than one.
    """
    if text == AUTO:
        return shard_of_environment(environment)
    match = _SHARD.fullmatch(text)
    if match is None:
        raise UsageError(f"a shard is I/N, such as 1/16, or {AUTO}: {text}")
    return _checked(int(match[1]), int(match[2]), text)


def _checked(number: int, count: int, what: str) -> Shard:
    if not 1 <= number <= count <= MAX_SHARDS:
        raise UsageError(f"a shard is one of at most {MAX_SHARDS}, counted from 1: {what}")
    return Shard(number, count)


def shard_of_environment(environment: Mapping[str, str]) -> Shard:
    """The shard of an array job of AWS Batch, of Slurm, or of an Indexed Job of Kubernetes.

    Raises:
        UsageError: if the variables of none are there, or of several, or if they contradict themselves.
    """
    found = {scheduler: read for scheduler, (name, read) in _SCHEDULERS.items() if name in environment}
    if not found:
        names = ", ".join(f"{name} ({scheduler})" for scheduler, (name, _) in _SCHEDULERS.items())
        raise UsageError(f"--shard {AUTO}: no variable of a scheduler is there: {names}")
    if len(found) > 1:
        raise UsageError(f"--shard {AUTO}: variables of {' and of '.join(found)} are there: give --shard I/N")
    ((scheduler, read),) = found.items()
    return read(_Variables(scheduler, environment))


@dataclass(frozen=True, slots=True)
class _Variables:
    """What a scheduler says in the environment."""

    scheduler: str
    environment: Mapping[str, str]

    def number(self, name: str, default: int | None = None) -> int:
        """The number that a variable holds."""
        text = self.environment.get(name, "").strip()
        if not text and default is not None:
            return default
        if not text:
            raise UsageError(f"--shard {AUTO}: {self.scheduler} goes with {name}, which is missing")
        if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
            raise UsageError(f"--shard {AUTO}: {name} is no number: {text}")
        return int(text)

    def shard(self, position: int, count: int, names: Iterable[str]) -> Shard:
        """The shard at a position from 0."""
        values = ", ".join(f"{name} {self.environment[name]}" for name in names if name in self.environment)
        return _checked(position + 1, count, f"{values} ({self.scheduler})")


_BATCH: Final = ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")
_SLURM: Final = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT")
_KUBERNETES: Final = ("JOB_COMPLETION_INDEX", COUNT_VARIABLE)


def _of_batch(variables: _Variables) -> Shard:
    """AWS Batch counts an array's children from 0, and tells each the size of the array."""
    index, size = _BATCH
    return variables.shard(variables.number(index), variables.number(size), _BATCH)


def _of_slurm(variables: _Variables) -> Shard:
    """Slurm names a task by its ID in the array, which begins anywhere and goes on by steps.

    Of an array that leaves out IDs (`--array=1,3,7`) the positions do not follow from them, and it is refused.
    """
    task, least, step, count = _SLURM
    distance = variables.number(task) - variables.number(least, 0)
    stride = max(1, variables.number(step, 1))
    total, last = variables.number(count), variables.environment.get("SLURM_ARRAY_TASK_MAX", "")
    uneven = last.isdecimal() and (int(last) - variables.number(least, 0)) // stride + 1 != total
    if distance < 0 or distance % stride or uneven:
        raise UsageError(
            f"--shard {AUTO}: the IDs of this array of Slurm leave gaps ({task} {variables.environment[task]}): "
            "give it IDs in a row, as --array=1-16, or give --shard I/N"
        )
    return variables.shard(distance // stride, total, _SLURM)


def _of_kubernetes(variables: _Variables) -> Shard:
    """Kubernetes counts the pods of an Indexed Job from 0; `infra/kubernetes-job.yaml` says how many there are."""
    index, count = _KUBERNETES
    return variables.shard(variables.number(index), variables.number(count), _KUBERNETES)


_SCHEDULERS: Final = {
    "AWS Batch": (_BATCH[0], _of_batch),
    "Slurm": (_SLURM[0], _of_slurm),
    "Kubernetes": (_KUBERNETES[0], _of_kubernetes),
}
