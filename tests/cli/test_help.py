"""`--help` as it is read at 80 columns: whole sentences, options in groups, each of them once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_command
from typer.testing import CliRunner

from landseg.cli import panels
from landseg.cli.main import app

COMMANDS: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]
MANY = 12  # more options than this are hard to find one's way in


def said(*arguments: str, program: typer.Typer = app) -> str:
    done = CliRunner().invoke(program, [*arguments, "--help"])  # always at 80 columns
    assert done.exit_code == 0, done.output
    return done.stdout


def groups(text: str) -> dict[str, list[str]]:
    """The options of each group of a help text, as they are written there."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if re.fullmatch(r"\S.*:", line):
            title = line.rstrip(":")
            found[title] = []
        elif option := re.match(r"  (?:-\w, )?(--[\w-]+)", line):
            found[title].append(option[1])
    found.pop("Arguments", None)
    return found


def test_every_command_is_listed_with_a_whole_sentence() -> None:
    assert cut(app) == []


def cut(program: typer.Typer) -> list[str]:
    """The commands whose line in the list is not the first sentence of their help."""
    wrong = []
    listed = said(program=program).partition("\nCommands:\n")[2]
    for name, command in get_command(program).commands.items():  # type: ignore[attr-defined]
        sentence = command.help.splitlines()[0]
        if not re.search(rf"^  {name} +{re.escape(sentence)}$", listed, re.MULTILINE):
            wrong.append(name)
    return wrong


def test_twin_a_long_sentence_is_found() -> None:
    program = typer.Typer(rich_markup_mode=None)

    @program.command()
    def short() -> None:
        """Do this."""

    @program.command()
    def long() -> None:
        """Do this, and that, and what else there may be to do where one begins to do it, and then all the rest."""

    assert cut(program) == ["long"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_easy_to_read(name: str) -> None:
    text = said(name)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert re.findall(r"<\w+(?:\[\w+\])?>", text) == [], "types of Python"
    found = groups(text)
    assert list(found)[-1] in (panels.GENERAL, "Options")
    assert [group for group, options in found.items() if len(options) > MANY] == []
    assert lost(COMMANDS[name], text) == []
    for parameter in COMMANDS[name].params:
        assert parameter.help and parameter.help[0].isupper() and parameter.help[-1] in ".]", parameter.name


def lost(command: Any, text: str) -> list[str]:
    """The options of a command that its help names other than once."""
    shown = [option for options in groups(text).values() for option in options]
    own = [max(one.opts, key=len) for one in command.params if one.param_type_name == "option" and not one.hidden]
    return [option for option in [*own, "--help"] if shown.count(option) != 1]


def _program(cls: type[TyperCommand]) -> typer.Typer:
    program = typer.Typer(rich_markup_mode=None)

    @program.command(cls=cls)
    def command(
        first: Annotated[str, typer.Argument(metavar="A... [B]", help="Two.")],
        plain: Annotated[int, typer.Option("--plain", help="Of no group.")] = 0,
        one: Annotated[bool, typer.Option("--one", help="Of a group.", rich_help_panel="Group")] = False,
        other: Annotated[bool, typer.Option("--other", help="Last.", rich_help_panel=panels.GENERAL)] = False,
        more: Annotated[bool, typer.Option("--more", help="Of it too.", rich_help_panel="Group")] = False,
        hidden: Annotated[bool, typer.Option("--hidden", hidden=True, rich_help_panel="Group")] = False,
    ) -> None:
        """Do this."""

    return program


def test_groups_come_in_order_the_general_one_last() -> None:
    text = said(program=_program(panels.Grouped))
    assert re.search(r"^Usage: .* \[OPTIONS\] A\.\.\. \[B\]$", text, re.MULTILINE)
    shown = groups(text)
    assert shown["Options"] == ["--plain"] or shown["Options"][0] == "--plain"  # completion's, for a lone command
    assert shown["Group"] == ["--one", "--more"]
    assert list(shown.items())[-1] == (panels.GENERAL, ["--other", "--help"])


def test_twin_without_groups_all_stand_in_one() -> None:
    assert list(groups(said(program=_program(TyperCommand)))) == ["Options"]


def test_twin_a_group_that_is_left_out_is_found() -> None:
    class Forgetful(panels.Grouped):
        def get_params(self, ctx: Any) -> Any:
            return [one for one in super().get_params(ctx) if getattr(one, "rich_help_panel", None) != "Group"]

    program = _program(Forgetful)
    assert lost(get_command(program), said(program=program)) == ["--one", "--more"]


@pytest.mark.parametrize(("columns", "longest"), [(80, 80), (120, 100)])
def test_wide_terminals_get_longer_lines(columns: int, longest: int) -> None:
    code = "import sys; sys.argv = ['landseg', 'train', '--help']; from landseg.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": str(columns)}
    )
    assert longest - 10 < max(len(line) for line in done.stdout.splitlines()) <= longest
