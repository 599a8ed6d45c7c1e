"""`landseg models`: what ships, or that nothing does."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.models import shipped
from tests.parts.sample_models import save_small_model


def test_a_build_without_models_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path / "none")
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0 and "no model ships in this build" in result.stdout
    assert json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout) == {"models": []}


def test_every_model_is_listed_the_default_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    for name in ("aaa", shipped.DEFAULT):
        save_small_model(tmp_path / f"{name}.safetensors", name=name)
    words = CliRunner().invoke(app, ["models"]).stdout
    assert words.index(shipped.DEFAULT) < words.index("aaa")
    for part in ("water, bare land", "0.3, 0.6 m a pixel", "CC0-1.0", "MB"):
        assert part in words
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)["models"]
    assert [model["name"] for model in listed] == [shipped.DEFAULT, "aaa"]
    assert all(len(model["sha256"]) == 64 for model in listed)


def test_what_ships_can_be_listed() -> None:
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)["models"]
    assert tuple(model["name"] for model in listed) == shipped.names()
