"""What is started finds no code in the working folder, nor where empty and relative entries lead."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stillframe.errors import MachineError
from stillframe.process_start import forget_working_folder, prepare_start, protect_children
from tests.support.dicom_files import write_series
from tests.support.surroundings import STILLFRAME

# Writes down which process imports it, then lets the real module in, so that nothing else shows.
_PLANTED = """import os, sys
with open({flag!r}, "a") as flag: flag.write(f"{{os.getpid()}} {{__file__}}\\n")
name = __name__
path = sys.path[:]
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(os.path.abspath(__file__))]
del sys.modules[name]
try:
    __import__(name)
except ImportError:
    sys.modules[name] = sys
sys.path[:] = path
"""
_OTHERS = ("sitecustomize", "usercustomize", "numpy", "pydicom", "imagecodecs", "stillframe", "click", "boto3", "ojph")


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder of images, and of modules under the names of all that Python and this package import."""
    folder = write_series(tmp_path / "disc", 2)
    text = _PLANTED.format(flag=str(tmp_path / "imported"))
    for name in {*sys.stdlib_module_names, *_OTHERS} - {"builtins", "sys", "os", "posix"}:
        (folder / f"{name}.py").write_text(text)
    plugin = folder / "planted-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[pylibjpeg.jpeg_2000_decoders]\n1.2.840.10008.1.2.4.90 = antigravity:x\n")
    for program in ("ldconfig", "gcc", "uname", "python"):
        (folder / program).write_text(f"#!/bin/sh\necho $$ {program} >> {tmp_path}/imported\nexit 1\n")
        (folder / program).chmod(0o755)
    return folder


def imported(folder: Path) -> list[str]:
    path = folder.parent / "imported"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("build", ".", "../tree", "--workers", "2"),
        ("build", ".", "../tree", "--workers", "0"),
        ("build", ".", "../tree", "--workers", "2", "--dry-run"),
        ("index", "../tree"),
        ("nginx", "."),
        ("inspect", "001.dcm"),
    ],
)
def test_no_command_imports_from_the_working_folder(disc: Path, command: tuple[str, ...]) -> None:
    (disc.parent / "tree").mkdir()
    path = f".:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    done = subprocess.run(
        [STILLFRAME, *command], cwd=disc, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert imported(disc) == []


@pytest.mark.slow
def test_python_with_its_option_is_as_safe_as_the_command(disc: Path) -> None:
    command = [sys.executable, "-P", "-m", "stillframe", "build", ".", "../tree", "--workers", "2"]
    subprocess.run(command, cwd=disc, check=True, capture_output=True)
    assert imported(disc) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", ":", ".", "../disc", "{}:"])
def test_relative_entries_reach_nothing_that_is_started(disc: Path, path: str) -> None:
    """Python has read them before the command runs: what its own process imported until then is out of its hands."""
    for module in disc.glob("*.py"):  # others keep Python itself from starting
        if module.stem not in ("selectors", "socket", "struct", "sitecustomize", "tempfile", "numpy", "pydicom"):
            module.unlink()
    entries = path.format(sysconfig.get_paths()["purelib"])
    job = subprocess.Popen([STILLFRAME, "build", ".", "../tree", "--workers", "2"], cwd=disc,
                           env=os.environ | {"PYTHONPATH": entries}, stderr=subprocess.PIPE, text=True)  # fmt: skip
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert {line.split()[0] for line in imported(disc)} <= {str(job.pid)}


@pytest.mark.slow
def test_an_interpreter_that_ignores_the_environment_has_to_leave_the_folder_out_itself(disc: Path) -> None:
    build = [str(STILLFRAME), "build", ".", "../tree", "--workers", "2"]
    done = subprocess.run([sys.executable, "-E", *build], cwd=disc, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "start it with -P as well" in done.stderr
    assert subprocess.run([sys.executable, "-E", "-P", *build], cwd=disc, check=False).returncode == 0
    assert imported(disc) == []


@pytest.mark.slow
def test_a_working_folder_that_is_gone_is_told_and_only_processes_need_it(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    (tmp_path / "gone").mkdir()
    script = 'cd "$1"; rmdir "$1"; "$0" build "$2/in" "$2/tree" --workers 2 || "$0" build "$2/in" "$2/tree" --workers 0'
    done = subprocess.run(
        ["bash", "-c", script, STILLFRAME, tmp_path / "gone", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines() == [
        "stillframe: the working folder is gone: start it in another",
        "reading headers: 1",
        "publishing: 1",
    ]
    assert done.returncode == 0


def test_a_working_folder_that_may_not_be_entered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a command of root's shell is run for another user; root itself enters every folder."""
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (".", os.X_OK))
    with pytest.raises(MachineError, match="this user may not enter the working folder: start it in another"):
        prepare_start()


def test_the_environment_names_no_relative_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PYTHONPATH": ":/a:b::./c:/d/../e:", "PATH": ".:/usr/bin:", "LD_LIBRARY_PATH": ";/usr/lib;x",
        "PYTHONHOME": "home", "PYTHONPYCACHEPREFIX": "/cache", "PYTHONUSERBASE": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    protect_children()
    assert {name: os.environ.get(name) for name in ("PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "PYTHONSAFEPATH")} == {
        "PYTHONPATH": "/a:/d/../e", "PATH": "/usr/bin", "LD_LIBRARY_PATH": "/usr/lib", "PYTHONSAFEPATH": "1",
    }  # fmt: skip
    assert {name: os.environ.get(name) for name in ("PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONUSERBASE")} == {
        "PYTHONHOME": None, "PYTHONPYCACHEPREFIX": "/cache", "PYTHONUSERBASE": None,
    }  # fmt: skip


def test_the_working_folder_is_forgotten_unless_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = [str(Path(os.__file__).parent), "/site"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"sub:/kept:{tmp_path}/named")
    monkeypatch.setattr(
        sys, "path", ["", str(tmp_path), f"{tmp_path}/sub", f"{tmp_path}/named", "/kept", ".", *library]
    )
    forget_working_folder()
    assert sys.path == [f"{tmp_path}/named", "/kept", *library]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *library])
    forget_working_folder()
    assert sys.path == [str(tmp_path), *library]
