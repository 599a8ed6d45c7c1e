"""`landseg train --arch pixel-forest`, and the pixel classifier that a network is held against."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from typer.testing import Result

from landseg.models.file import load_model, read_card
from landseg.training import pixel_classifier
from landseg.training.fit_options import FitOptions
from landseg.training.recipe import read_recipe
from tests.parts.labelled import EDGE, landseg, train, write_polygons, write_scenes

FOREST = ("--arch", "pixel-forest", "--option", "trees=4", "--option", "leaves=8", "--option", "windows=[3,5]")


def fit(folder: Path, *arguments: Any, output: str = "m.safetensors") -> Result:
    """`landseg train` of a small forest."""
    return landseg("train", folder / "images", *arguments, "-o", folder / output, *FOREST)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    write_scenes(tmp_path)
    return tmp_path


def test_a_forest_is_fitted_measured_and_predicts_the_same_by_either_engine(scenes: Path) -> None:
    result = fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml", "--json")
    assert result.exit_code == 0, result.output
    assert "trees of up to" in result.stderr and "labelled pixels" in result.stderr
    figures = json.loads(result.stdout)["metrics"]["overall"]
    assert figures["mean_iou"] > 0.9
    assert "pixel_classifier_mean_iou" not in figures  # it is one itself
    assert "network       pixel-forest (trees" in landseg("info", scenes / "m.safetensors").stdout
    card = read_card(scenes / "m.safetensors")
    assert (card.arch, card.encoder, card.receptive_field.size) == ("pixel-forest", "none", 5)
    assert card.metrics is not None and card.metrics.overall["mean_iou"] == pytest.approx(figures["mean_iou"])
    assert card.training is not None and card.training.options["fit"] == {"seed": 0}
    maps = {}
    for engine in ("stream", "windows"):
        made = scenes / f"{engine}.tif"
        how = ("--engine", engine, *(("--window", 16) if engine == "windows" else ()))
        shown = landseg("predict", scenes / "images/a.tif", "-o", made, "-m", scenes / "m.safetensors", *how)
        assert shown.exit_code == 0, shown.output
        with rasterio.open(made) as raster:
            maps[engine] = raster.read(1)
    assert (maps["stream"] == maps["windows"]).all()
    assert (maps["stream"][:, : EDGE - 2] == 4).all() and (maps["stream"][:, EDGE + 2 :] == 6).all()


def test_bfloat16_is_refused_in_a_sentence(scenes: Path) -> None:
    assert fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml").exit_code == 0
    made = scenes / "map.tif"
    result = landseg(
        "predict", scenes / "images/a.tif", "-o", made, "-m", scenes / "m.safetensors", "--precision", "bf16"
    )
    assert result.exit_code == 1
    assert "computes in fp32 only" in result.stderr and not made.exists()


def test_polygons_and_a_background(scenes: Path) -> None:
    write_polygons(scenes / "bright.gpkg")
    result = fit(scenes, scenes / "bright.gpkg", "--background", "dark")
    assert result.exit_code == 0, result.output
    assert load_model(scenes / "m.safetensors").card.classes.names == ("bright", "dark")


def test_the_same_seed_makes_the_same_file_and_resume_finishes_what_was_not_measured(scenes: Path) -> None:
    named = (scenes / "labels", "--classes", scenes / "classes.toml")
    for name in ("m.safetensors", "n.safetensors"):
        assert fit(scenes, *named, "--set", "about.name=m", output=name).exit_code == 0
    first, second = ((scenes / name).read_bytes() for name in ("m.safetensors", "n.safetensors"))
    assert first == second
    assert fit(scenes, *named).exit_code == 1  # there is one
    (scenes / "m.safetensors").unlink()
    assert fit(scenes, *named, "--set", "about.name=m", "--resume").exit_code == 0
    assert (scenes / "m.safetensors").read_bytes() == first
    assert fit(scenes, *named, "--seed", "1", "--overwrite").exit_code == 0
    assert (scenes / "m.safetensors").read_bytes() != first


@pytest.mark.parametrize(
    "option",
    [
        ("--steps", "60"),
        ("--epochs", "2"),
        ("--time-budget", "2m"),
        ("--learning-rate", "0.1"),
        ("--encoder", "resnet18"),
        ("--encoder-weights", "imagenet"),
        ("--init", "landcover-rgb"),
        ("--crop", "64"),
        ("--batch", "2"),
        ("--scale", "0.5,2"),
        ("--set", "fit.optimizer=sgd"),
        ("--set", "augment.color=0"),
        ("--set", "loss.balanced=true"),
    ],
)
def test_what_only_steps_need_is_refused(scenes: Path, option: tuple[str, str]) -> None:
    result = fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml", *option)
    assert result.exit_code == 1, result.output
    named = f"--set {option[1].partition('=')[0]}" if option[0] == "--set" else option[0]
    assert f"leave out {named};" in result.stderr
    assert not (scenes / "m.safetensors").exists() and not (scenes / "m.run").exists()


def test_options_of_a_forest_are_checked(scenes: Path) -> None:
    named = (scenes / "labels", "--classes", scenes / "classes.toml")
    for option, said in (("windows=[4]", "odd numbers"), ("trees=0", "trees should be"), ("rates=[6]", "no option")):
        arguments = (*named, "-o", scenes / "m.safetensors", "--arch", "pixel-forest", "--option", option)
        result = landseg("train", scenes / "images", *arguments)
        assert result.exit_code == 1 and said in result.stderr, result.output


def test_a_recipe_needs_no_encoder(scenes: Path) -> None:
    assert fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml").exit_code == 0
    recipe = scenes / "m.run/train.toml"
    text = "\n".join(line for line in recipe.read_text().splitlines() if not line.startswith("encoder"))
    (scenes / "again.toml").write_text(text)
    assert read_recipe(scenes / "again.toml").encoder == "none"
    result = landseg("train", scenes / "again.toml", "-o", scenes / "n.safetensors")
    assert result.exit_code == 0, result.output


def test_a_recipe_for_steps_is_taken_with_a_word_and_coarse_labels_are_refused(scenes: Path) -> None:
    named = (scenes / "images", scenes / "labels", "--classes", scenes / "classes.toml")
    assert train(scenes, *named).exit_code == 0
    result = landseg("train", scenes / "m.run/train.toml", "-o", scenes / "n.safetensors", *FOREST)
    assert result.exit_code == 0, result.output
    assert "[fit], [augment] and [loss] are for networks that learn in steps" in result.stderr
    text = (scenes / "m.run/train.toml").read_text().replace("[[sources]]", '[[sources]]\ncoarse = ["c.tif"]')
    (scenes / "coarse.toml").write_text(text)
    result = landseg("train", scenes / "coarse.toml", "-o", scenes / "o.safetensors", *FOREST)
    assert result.exit_code == 1 and "does not learn from coarse labels" in result.stderr


def test_no_network_goes_on_from_a_forest(scenes: Path) -> None:
    named = (scenes / "images", scenes / "labels", "--classes", scenes / "classes.toml")
    assert fit(scenes, *named[1:]).exit_code == 0
    result = train(scenes, *named, "--init", scenes / "m.safetensors", output="n.safetensors")
    assert result.exit_code == 1 and "from which no network can start" in result.stderr


def test_a_network_is_held_against_a_pixel_classifier(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step learns nothing; bright and dark are told apart by every pixel."""
    monkeypatch.setattr(pixel_classifier, "FEW_STEPS", 1)
    named = (scenes / "images", scenes / "labels", "--classes", scenes / "classes.toml")
    result = train(scenes, *named, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["metrics"]["overall"]
    assert figures["pixel_classifier_mean_iou"] > 0.9 > figures["mean_iou"]
    assert "a pixel classifier on the same labels: mean IoU" in result.stderr
    assert "the network is worse than a classifier of single pixels" in result.stderr
    card = read_card(scenes / "m.safetensors")
    assert card.metrics is not None
    assert card.metrics.overall["pixel_classifier_accuracy"] == pytest.approx(figures["pixel_classifier_accuracy"])
    assert card.arch == "fcn32s"
    assert list((scenes / "m.run/baseline").glob("*.tif"))


def test_it_can_be_left_off_and_a_trial_has_none(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = (scenes / "images", scenes / "labels", "--classes", scenes / "classes.toml")
    trial = train(scenes, *named)
    monkeypatch.setattr(pixel_classifier, "FEW_STEPS", 1)
    off = train(scenes, *named, "--no-pixel-classifier", output="n.safetensors")
    for result in (trial, off):
        assert result.exit_code == 0 and "pixel classifier" not in result.output
    assert not (scenes / "n.run/baseline").exists()


def test_a_baseline_that_fails_or_takes_too_long_leaves_the_network_its_figures(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_classifier, "FEW_STEPS", 1)
    named = (scenes / "images", scenes / "labels", "--classes", scenes / "classes.toml")
    monkeypatch.setattr(pixel_classifier, "_ALWAYS_MPX", 0.0)
    monkeypatch.setattr(pixel_classifier, "_SHARE", 0.0)
    result = train(scenes, *named, "--json")
    assert result.exit_code == 0 and "more than 0% of the run" in result.stderr
    assert "pixel_classifier_mean_iou" not in json.loads(result.stdout)["metrics"]["overall"]


@pytest.mark.parametrize(
    ("options", "worth"),
    [({"steps": 19}, False), ({"steps": 20}, True), ({"minutes": 0.1}, False), ({"minutes": 2.0}, True)],
)
def test_what_run_is_held_against_one(scenes: Path, options: dict[str, Any], worth: bool) -> None:
    assert fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml").exit_code == 0
    recipe = replace(read_recipe(scenes / "m.run/train.toml"), fit=FitOptions(**options))
    assert pixel_classifier.worth_it(recipe, 1000) is worth


def test_probabilities_are_those_of_the_trees(scenes: Path) -> None:
    assert fit(scenes, scenes / "labels", "--classes", scenes / "classes.toml").exit_code == 0
    made = scenes / "probs.tif"
    result = landseg(
        "predict", scenes / "images/a.tif", "-o", scenes / "map.tif", "--probs", made, "-m", scenes / "m.safetensors"
    )
    assert result.exit_code == 0, result.output
    with rasterio.open(made) as raster:
        probs = raster.read().astype(np.float64)
        scale = raster.scales[0]
    assert np.abs((probs * scale).sum(0) - 1).max() < 0.02
