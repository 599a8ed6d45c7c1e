"""The help of one command: options in groups, arguments as they are typed."""

from typing import Any

from typer.core import TyperCommand

# The groups that several commands share; a command may have more. Options without a group come first.
INPUT, LABELS, SPLIT, OUTPUTS, COMPUTING = "Input", "Labels", "Validation split", "Further outputs", "Computation"
GENERAL = "General"
_FIRST = "Options"


class Grouped(TyperCommand):
    """A command whose help lists its options by their groups, in the order of the function's parameters.

    Typer prints groups with its rich help alone, which is slow to load and reads square brackets as markup.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, rows in self.help_groups(ctx).items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def help_groups(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Return the help of arguments and options by the titles of their groups, each as (call, text)."""
        arguments: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {_FIRST: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if parameter.param_type_name == "argument" and record is not None:
                arguments.append((shown(parameter), record[1]))
            elif record is not None:
                ours = getattr(parameter, "rich_help_panel", None)
                group = GENERAL if parameter.name == "help" else ours or _FIRST
                groups.setdefault(group, []).append(record)
        last = groups.pop(GENERAL, [])
        general = GENERAL if groups[_FIRST] else _FIRST
        ordered = (("Arguments", arguments), *groups.items(), (general, last))
        return {title: rows for title, rows in ordered if rows}

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", *(shown(one) for one in self.get_params(ctx) if one.param_type_name == "argument")]


def shown(argument: Any) -> str:
    """Return an argument as it is typed; typer adds braces and the name of a Python type."""
    return str(argument.metavar or argument.name.upper())
