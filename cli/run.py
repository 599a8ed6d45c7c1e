"""The end of a command: the only place of the program that prints errors and chooses exit codes."""

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from landseg.errors import LandsegError

from . import console
from .panels import Grouped
from .threads import limited

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Command(Grouped):
    """A command that sets --quiet, --log and --threads, where it has these options, before it starts."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the rest of the arguments; all of them are kept for the first line of the log."""
        ctx.meta["landseg.words"] = [ctx.info_name, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Return the result of the command.

        Raises:
            OutputError: a log that cannot be written, or must not be.
        """
        given = dict(ctx.params)
        log = given.pop("log", None)
        if log is not None:
            console.keep_log(log, named=_paths(given.values()), words=ctx.meta["landseg.words"])
        if given.get("quiet"):
            console.say_less()
        with limited(given.get("threads")):
            return super().invoke(ctx)


class Commands(TyperGroup):
    """The program's group of commands, which ends every failure with one sentence instead of a traceback.

    Wrong usage is left to typer, which exits with 2. With LANDSEG_DEBUG=1 in the environment the traceback
    is printed before the sentence.
    """

    def invoke(self, ctx: Any) -> Any:
        """Return the result of the command.

        Raises:
            typer.Exit: the command failed or was interrupted, and the sentence has been printed.
        """
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            if _is_typers(error) or getattr(error, "errno", None) == errno.EPIPE:
                raise  # usage errors and exits, or the reader of a pipe went away: typer ends those
            code, sentence = _ending(error, can_resume=self._can_resume(ctx))
            if os.environ.get("LANDSEG_DEBUG", "0") not in ("", "0"):
                traceback.print_exception(error, file=sys.stderr)
            console.fail(f"landseg: {sentence}")
        finally:
            console.end_log()
        raise typer.Exit(code)

    def _can_resume(self, ctx: Any) -> bool:
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        return command is not None and any(option.name == "resume" for option in command.params)


def _is_typers(error: BaseException) -> bool:
    """Return True for the exceptions by which typer ends, whose classes moved between its releases."""
    return any(base.__module__.partition(".")[0] in ("click", "typer") for base in type(error).__mro__)


def _ending(error: BaseException, *, can_resume: bool) -> tuple[int, str]:
    """Return the exit code and the sentence for an error."""
    text = " ".join(str(error).split())
    match error:
        case KeyboardInterrupt():
            again = "with --resume to continue" if can_resume else "to start over"
            return INTERRUPTED, f"interrupted; no half-written output is left: run the same command {again}"
        case LandsegError():
            return FAILED, text or type(error).__name__
        case MemoryError():
            return FAILED, "out of memory; lower --memory or --window, or close other programs"
        case OSError():
            return FAILED, text or type(error).__name__
    return FAILED, f"fault in landseg, {type(error).__name__}: {text} (LANDSEG_DEBUG=1 shows where)"


def _paths(values: Iterable[Any]) -> Iterator[str | Path]:
    """Return the values of options and arguments that may name files."""
    for value in values:
        if isinstance(value, (str, Path)):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _paths(value)
