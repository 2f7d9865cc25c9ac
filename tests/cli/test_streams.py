"""What is printed: on every stream, whatever it is connected to, and by whoever prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest

from stillframe.cli.streams import SafeStream, print_product, redraw, say, tell
from tests.support.places import REPOSITORY

PROGRAM = """
import os, sys
from stillframe.cli.streams import safe_streams
stream = sys.stderr
with safe_streams():
    os.write(2, b"a library\\n")
    print("Python", file=sys.stderr)
    assert [os.get_inheritable(number) for number in (0, 1, 2)] == [True] * 3
assert sys.stderr is stream
os.write(2, b"afterwards\\n")
"""


def run_program(program: str, redirect: str = "") -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, program]
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="surrogateescape")


def test_what_libraries_write_to_stderr_is_hidden_while_python_is_heard() -> None:
    done = run_program(PROGRAM)
    assert (done.returncode, done.stderr) == (0, "Python\nafterwards\n")


@pytest.mark.parametrize("redirect", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_closed_and_full_streams_are_no_failure_and_no_file_takes_their_numbers(redirect: str) -> None:
    program = """
import os
import pty
from stillframe.cli.streams import safe_streams, say, tell
with safe_streams():
    number = os.open("/etc/passwd", os.O_RDONLY)
    assert number > 2, number
    say("on stdout")
    tell("on stderr")
"""
    assert run_program(program, redirect).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-8:strict"])
def test_what_an_encoding_lacks_is_escaped(encoding: str) -> None:
    program = "from stillframe.cli.streams import safe_streams, say\nwith safe_streams(): say('\u0410\u00e9\\udcff|')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, check=True)
    name = encoding.partition(":")[0]
    assert (
        done.stdout.decode(name)
        == {
            "ascii": "\\u0410\\xe9\\udcff|\n",
            "latin-1": "\\u0410\u00e9\\udcff|\n",
            "utf-8": "\u0410\u00e9\\udcff|\n",
        }[name]
    )


class Pipe:
    """A safe stream, and what comes out of it."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = SafeStream(writer, "utf-8")

    def read(self) -> str:
        return os.read(self.reader, 1 << 16).decode()


def piped(monkeypatch: pytest.MonkeyPatch, name: str = "stdout") -> Pipe:
    """A safe stream as stdout or stderr, from now on: pytest has streams of its own in fixtures."""
    pipe = Pipe()
    monkeypatch.setattr(sys, name, pipe.stream)
    return pipe


HOSTILE = "a\x1b[2J\x9b31m\u202etxt\u2028\x07\r\x00"
TAMED = "a\\x1b[2J\\x9b31m\\u202etxt\\u2028\\x07\\r\\x00"


def test_whoever_prints_cannot_act_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch)
    sys.stdout.write(f"{HOSTILE}\n")
    click.echo(HOSTILE, color=True)  # otherwise it takes some sequences out itself
    say(HOSTILE)
    print_product(f"{HOSTILE}\n")
    assert out.read() == 4 * f"{TAMED}\n"


def test_a_name_cannot_make_a_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch)
    say("rejected   in/a\nin/b.dcm: not there")
    assert out.read() == "rejected   in/a\\nin/b.dcm: not there\n"


def test_secrets_are_not_printed_but_for_what_a_command_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch)
    url = "https://host/a?Signature=abc"
    say(url)
    sys.stdout.write(f"{url}\n")
    print_product(f"{url}\n")
    assert out.read() == f"https://host/a?***\nhttps://host/a?***\n{url}\n"


def test_what_cannot_be_written_is_kept_as_a_failure() -> None:
    stream = SafeStream(os.open("/dev/full", os.O_WRONLY), "utf-8")
    assert stream.write("text") == 4
    assert stream.failure is not None
    assert stream.failure.strerror == "No space left on device"


def test_nothing_is_drawn_anew_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = piped(monkeypatch, "stderr")
    redraw("50 %")
    tell("done")
    assert pipe.read() == "done\n"


@pytest.mark.parametrize(
    ("columns", "shown"), [(0, "one line of a terminal"), (10, "one line "), (80, "one line of a terminal")]
)
def test_a_line_that_is_drawn_anew_stays_on_one_line(monkeypatch: pytest.MonkeyPatch, columns: int, shown: str) -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    monkeypatch.setattr(sys, "stderr", SafeStream(follower, "utf-8"))
    redraw("one line of a terminal")
    assert os.read(leader, 1000).decode() == f"\r\x1b[K{shown}"
    os.close(leader)
    os.close(follower)


def test_commands_print_through_these_functions_alone() -> None:
    """A text of others must not reach a terminal around them."""
    texts = {path: path.read_text() for path in (REPOSITORY / "builder/stillframe").rglob("*.py")}
    around = ("click.echo(", "print(", "click.secho(", "sys.__stdout__", "sys.__stderr__")
    found = {
        f"{path.name}: {word}" for path, text in texts.items() for word in around
        for line in text.splitlines() if line.strip().startswith(word)
    }  # fmt: skip
    assert not found
    assert Path("streams.py") in {Path(path.name) for path in texts}
