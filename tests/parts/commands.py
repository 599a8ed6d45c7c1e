"""Commands run in this process: exit code, standard output, standard error."""

from __future__ import annotations

from typer.testing import CliRunner

from landseg.cli.main import app

FAST = ["--device", "cpu", "--precision", "fp32"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr
