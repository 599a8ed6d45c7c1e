"""Commands run in this process: exit code, standard output, standard error."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.models.named import NamedModel
from tests.parts.predicting import MODEL

FAST = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def the_small_model_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr
