"""`landseg calibrate` as a program: its two streams, its exit codes, the model that it leaves."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.models.read_card import file_hash, read_card
from tests.parts.probabilities import TABLE, drawn, write_probs, write_truth
from tests.parts.sample_models import save_small_model


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, Path]:
    """Probabilities, their truth, and the model that is said to have made them."""
    model = tmp_path / "m.safetensors"
    save_small_model(model, classes=TABLE)
    probs, truth = drawn(1.5, (60, 80))
    made = {"LANDSEG_MODEL": "pond", "LANDSEG_MODEL_HASH": file_hash(model)}
    return write_probs(tmp_path / "p.tif", probs, **made), write_truth(tmp_path / "t.tif", truth), model


def test_json_is_one_object_and_nothing_else(files: tuple[str, str, Path], tmp_path: Path) -> None:
    probs, truth, model = files
    copy = tmp_path / "c.safetensors"
    code, out, err = run("calibrate", probs, truth, "--model", model, "-o", copy, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["temperature"] == found["fitted"] == read_card(copy).temperature
    assert found["temperature"] == pytest.approx(1.5, rel=0.1)
    assert found["ece_after"] < found["ece_before"] == found["before"]["ece"]
    assert len(found["after"]["bins"]) == 15 and found["pixels"] == found["used"] == 4800
    assert (found["model"], found["output"], found["at_end"]) == ("pond", str(copy), False)
    assert "100.0 %" in err


def test_words_and_the_model_tells(files: tuple[str, str, Path], tmp_path: Path) -> None:
    probs, truth, model = files
    copy = tmp_path / "c.safetensors"
    code, out, err = run("calibrate", probs, truth, "-m", model, "-o", copy)
    assert code == 0, err
    number = f"{read_card(copy).temperature:.4g}"
    assert f"temperature                    {number}\n" in out and "before" in out and str(copy) in out
    assert f"temperature   {number}: " in run("info", copy)[1]
    assert "temperature   1: none was fitted" in run("info", model)[1]
    assert json.loads(run("info", copy, "--json")[1])["temperature"] == read_card(copy).temperature
    assert json.loads(run("info", model, "--json")[1])["temperature"] == 1
    assert "written" not in run("calibrate", probs, truth)[1]  # without an output nothing is


def test_options_are_those_of_evaluate(files: tuple[str, str, Path]) -> None:
    probs, truth, _ = files
    box = ("--aoi", "300000,2999400,300400,3000000")
    found = json.loads(run("calibrate", probs, truth, *box, "--ignore", 2, "--json")[1])
    assert 0 < found["pixels"] < 2400
    code, out, err = run("calibrate", probs, truth, "--class-field", "kind")
    assert code == 1 and out == "" and "--class-field is a column of a vector file" in err


def test_a_refusal_is_one_sentence_and_leaves_nothing(files: tuple[str, str, Path], tmp_path: Path) -> None:
    probs, truth, model = files
    before = sorted(tmp_path.iterdir())
    # The default model made other probabilities, so it gets no temperature of these.
    code, out, err = run("calibrate", probs, truth, "-o", tmp_path / "c.safetensors")
    assert code == 1 and out == "" and "name the" in err and "Traceback" not in err
    code, out, err = run("calibrate", truth, probs, "-m", model, "-o", tmp_path / "c.safetensors")
    assert code == 1 and out == "" and "swap the two" in err
    assert run("calibrate", probs)[0] == 2
    assert sorted(tmp_path.iterdir()) == before
