"""Starting processes: no code of the working folder gets into them, and what the machine lacks is told.

Jobs are started where somebody else's files lie. Python looks for modules in the working folder first where it is
started with `-c` or `-m`, as `multiprocessing` starts its servers, and for every empty or relative entry of PYTHONPATH
(https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSAFEPATH).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path
from typing import Final

from stillframe.errors import MachineError, StillframeError, UsageError, machine_fault

NO_PROCESS: Final = (
    "no worker process can be started on this machine ({}): raise its limits of memory and processes, "
    "or give --workers 0, which needs none"
)
"""What to say of a machine that lets no process start, and why."""

_NO_SHARED_MEMORY: Final = "/dev/shm is not there, is full or cannot be written"  # noqa: S108  (semaphores live there)

# Lists of folders, in which an empty or relative entry means the working folder; and single folders.
_LISTS: Final = {"PYTHONPATH": ":", "PATH": ":", "LD_LIBRARY_PATH": "[:;]"}
_SINGLE: Final = ("PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONUSERBASE")
# The name of a socket with its folder has 107 bytes at most (unix(7)); what multiprocessing makes in the folder has 35.
_LONGEST_FOLDER: Final = 107 - 35
_SHORT_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (a folder of our own is made there)


def forget_working_folder() -> None:
    """Take the working folder out of where this process and its workers find modules, and protect what it starts.

    An entry of PYTHONPATH that names the folder in full stays, and so does the folder that holds this package.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = {entry for entry in entries if entry.startswith("/")} | {str(Path(__file__).resolve().parents[1])}
    dropped: set[str] = set()
    with suppress(FileNotFoundError):  # the folder itself is gone
        dropped = {os.path.abspath(entry) for entry in ("", *entries)} - kept  # noqa: PTH100  (as Python makes them)
    own = os.path.dirname(os.__file__)  # noqa: PTH120  (as it stands in the path)
    end = sys.path.index(own) if own in sys.path else 0
    sys.path[:end] = [entry for entry in sys.path[:end] if entry.startswith("/") and entry not in dropped]
    protect_children()


def protect_children(environment: MutableMapping[str, str] = os.environ) -> None:
    """Change this process's environment so that what it starts from now on finds no code in the working folder.

    Nor does it take more threads than it is given work. Another `environment` is for what is started with that.
    """
    environment["PYTHONSAFEPATH"] = "1"
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start a thread and take memory for each core
    for name, separator in _LISTS.items():
        entries = [entry for entry in re.split(separator, environment.get(name, "")) if entry.startswith("/")]
        if entries:
            environment[name] = os.pathsep.join(entries)
        else:
            environment.pop(name, None)
    for name in _SINGLE:
        if not environment.get(name, "").startswith("/"):
            environment.pop(name, None)


def prepare_start() -> None:
    """See that what is started finds no code in the working folder, and that its socket can have a name.

    Raises:
        UsageError: if Python's own options forbid the first.
        MachineError: if no folder is short enough, or the working folder is gone or closed.
        OSError: if none can be written.
    """
    if sys.flags.ignore_environment and not sys.flags.safe_path:
        raise UsageError("with -E, Python looks for modules in the working folder: start it with -P as well")
    protect_children()
    try:
        os.getcwd()  # noqa: PTH109  (every process is told of it)
    except FileNotFoundError as error:
        raise MachineError("the working folder is gone: start it in another") from error
    if not os.access(os.curdir, os.X_OK):  # every process goes there first
        raise MachineError("this user may not enter the working folder: start it in another")
    before = tempfile.gettempdir()
    if len(os.fsencode(before)) > _LONGEST_FOLDER:
        short = [folder for folder in _SHORT_FOLDERS if os.access(folder, os.W_OK | os.X_OK)]
        if not short:
            raise MachineError("the name of the folder for temporary files is too long: have TMPDIR name another")
        tempfile.tempdir = short[0]
    try:
        util.get_temp_dir()  # made once, for the sockets of this process
    finally:
        tempfile.tempdir = before


@contextmanager
def starting() -> Iterator[None]:
    """What fails in the block does so because processes cannot be started, with an error that is no task's.

    Raises:
        MachineError: saying what to do.
    """
    try:
        yield
    except (StillframeError, CancelledError):
        raise
    except BrokenProcessPool as error:
        raise MachineError(NO_PROCESS.format("it ends before it has a task")) from error
    except (OSError, EOFError, RuntimeError, ImportError, NotImplementedError) as error:
        if isinstance(error, OSError) and not _has_shared_memory():
            raise MachineError(NO_PROCESS.format(_NO_SHARED_MEMORY)) from error
        if fault := machine_fault(error):
            raise MachineError(fault) from error
        reason = error.strerror if isinstance(error, OSError) else ""
        raise MachineError(NO_PROCESS.format(reason or "it ends while it starts")) from error


def _has_shared_memory() -> bool:
    """Whether there is room for semaphores (shm_overview(7))."""
    try:
        return os.access("/dev/shm", os.W_OK | os.X_OK) and os.statvfs("/dev/shm").f_bavail > 0  # noqa: S108
    except OSError:
        return False
