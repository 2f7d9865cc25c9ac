"""Commands in hostile surroundings: limits of the system, full and missing folders, a user without rights."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

STILLFRAME: Final = Path(sys.executable).with_name("stillframe")
# Nobody else has it, so that nothing else counts against its limits.
_USER: Final = str(50000 + os.getpid() % 10000)
# Rights to read, which the folder of the interpreter may ask for, and no others.
_WITHOUT_RIGHTS: Final = (
    "setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups",
    "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
    "--bounding-set", "-sys_resource,-sys_admin",
)  # fmt: skip


def run_in(surroundings: str, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run stillframe after lines of bash that set limits or redirect streams; a hang is a failure."""
    prefix = _WITHOUT_RIGHTS if may_give_up_rights() else ()
    script = f'{surroundings}\nexec "$@"'
    return subprocess.run(
        [*prefix, "bash", "-c", script, "bash", str(STILLFRAME), *map(str, command)],
        capture_output=True, text=True, check=False, timeout=120, env=os.environ | environment,
    )  # fmt: skip


def run_with_mounts(mounts: str, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `run_in`, where root has mounted something before; the mounts are this command's alone."""
    if not may_mount():
        pytest.skip("needs the right to mount in a namespace of its own")
    prefix = shlex.join(_WITHOUT_RIGHTS) if may_give_up_rights() else ""
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", f'set -e; {mounts}\nexec {prefix} "$@"', "bash", str(STILLFRAME),
         *map(str, command)],
        capture_output=True, text=True, check=False, timeout=120, env=os.environ | environment,
    )  # fmt: skip


def limit_processes(count: int) -> str:
    """Lines that let a user start no more processes and threads; root is not bound by such a limit."""
    if os.geteuid() == 0 and not may_give_up_rights():
        pytest.skip("needs setpriv: limits of processes do not bind root")
    return f"ulimit -u {count}"


@cache
def may_give_up_rights() -> bool:
    """Whether commands can be run as a user without rights."""
    return os.geteuid() == 0 and _succeeds([*_WITHOUT_RIGHTS, sys.executable, "-c", "import stillframe"])


@cache
def may_mount() -> bool:
    """Whether folders can be mounted in a namespace of a command's own."""
    return _succeeds(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def open_folder(path: Path) -> Path:
    """A folder that a user without rights may write to."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    return path
