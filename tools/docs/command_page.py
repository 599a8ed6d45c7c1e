"""The page of the command line: every command with its arguments and options, in the words of its `--help`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.main import get_command

from landseg.cli.main import app
from tools.docs.markdown import code, plain, table

INTRODUCTION = """# Commands

These are the texts of `landseg COMMAND --help`. Defaults stand in brackets. The [landing page](index.md) shows each
command in use.
"""


def commands(program: typer.Typer = app) -> Mapping[str, Any]:
    """Return the commands of a program by name, in the order of its help."""
    found: Mapping[str, Any] = get_command(program).commands  # type: ignore[attr-defined]
    return found


def command_page(program: typer.Typer = app) -> str:
    """Return the Markdown page of all commands of a program."""
    sections = ["\n".join(_section(name, command)) for name, command in commands(program).items()]
    return "\n".join([INTRODUCTION, plain(get_command(program).help or "") + "\n", *sections])


def _section(name: str, command: Any) -> Iterator[str]:
    """Yield the blocks of one command: title, help, call, and a table for each group of options."""
    yield f"## landseg {name}\n"
    yield from (f"{plain(paragraph)}\n" for paragraph in (command.help or "").split("\n\n"))
    with command.make_context(name, [], resilient_parsing=True) as context:
        call = " ".join(["landseg", name, *command.collect_usage_pieces(context)])
        groups = command.help_groups(context)
    yield f"```text\n{call}\n```\n"
    for title, records in groups.items():
        yield f"### {title}\n"
        yield table(
            ("Argument" if title == "Arguments" else "Option", "Meaning"),
            ((code(call), plain(text)) for call, text in records),
        )
