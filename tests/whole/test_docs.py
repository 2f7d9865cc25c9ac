"""What the documentation says of commands and targets, held against them; the site itself is built by `make docs`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stillframe.cli.main import cli

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = sorted(path for path in (*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")) if "_build" not in path.parts)
_LONGEST_README = 130


def commands(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command of a tree, with the words it is called by."""
    yield names, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, *names, name)


COMMANDS = list(commands(cli, "stillframe"))


def option_names(command: click.Command) -> set[str]:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the commands as the site has it, rendered to text."""
    pytest.importorskip("sphinx_click", reason="sphinx-click is not installed")
    folder = tmp_path_factory.mktemp("reference")
    (folder / "commands.md").write_text((_ROOT / "docs/reference/commands.md").read_text())
    (folder / "report.md").write_text("# Reports\n")
    (folder / "promises.md").write_text("# Promises\n")
    subprocess.run(
        [
            sys.executable, "-m", "sphinx", "-q", "-b", "text", "-C", "-D", "extensions=myst_parser,sphinx_click",
            "-D", "root_doc=commands", folder, folder / "out",
        ],
        check=True,
        timeout=120,
    )  # fmt: skip
    return (folder / "out" / "commands.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=[command.name for _, command in COMMANDS])
def test_the_reference_has_every_command_and_option(
    names: tuple[str, ...], command: click.Command, reference: str
) -> None:
    section = re.split(r"\n(?=   stillframe(?: [a-z-]+)* \[OPTIONS\])", reference)
    (usage,) = [part for part in section if part.startswith(f"   {' '.join(names)} [OPTIONS]")]
    assert option_names(command) <= set(re.findall(r"--?[a-z][a-z0-9-]*", usage))


def shell_lines(page: Path) -> Iterator[str]:
    """The commands in the blocks of shell in a page; one that goes on over several lines is one."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def stillframe_calls(page: Path) -> Iterator[list[str]]:
    """The arguments of each call of the command line that a page tells its readers to type."""
    for line in shell_lines(page):
        yield from (shlex.split(call) for call in re.findall(r"(?:^|[\s/])stillframe ([^#>|&]*)", line))


def test_pages_call_commands_and_options_that_there_are() -> None:
    offered = {command.name: option_names(command) for _, command in COMMANDS}
    calls = [(page, words) for page in _PAGES for words in stillframe_calls(page)]
    for page, words in calls:
        assert words[0] in offered, (page, words)
        assert {word for word in words if word.startswith("--")} <= offered[words[0]], (page, words)
    assert {words[0] for _, words in calls} >= {"build", "delete", "index", "serve", "inspect", "nginx", "grant"}


def test_options_in_the_text_are_those_of_some_command() -> None:
    offered = {name for _, command in COMMANDS for name in option_names(command)}
    others = {"--parameter-overrides", "--stack-name", "--exclude", "--include", "--version-id", "--build-arg"}
    """Of the AWS CLI, s5cmd and docker."""
    for page in _PAGES:
        named = set(re.findall(r"`(--[a-z][a-z0-9-]*)[^`]*`", page.read_text(encoding="utf-8")))
        assert named <= offered | others, page


def test_pages_name_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "check", "docs", "bench", "serve"} <= targets
    for page in _PAGES:
        text = page.read_text(encoding="utf-8")
        named = {name for code in re.findall(r"`(make [^`]+)`", text) for name in re.findall(r"make ([a-z0-9]+)", code)}
        typed = {name for line in shell_lines(page) for name in re.findall(r"\bmake ([a-z0-9]+)", line)}
        assert named | typed <= targets, page


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= _LONGEST_README
    links = set(re.findall(r"\]\(([^)#]+)\)", text))
    missing = [link for link in links if "://" not in link and not (_ROOT / link).exists()]
    assert not missing
