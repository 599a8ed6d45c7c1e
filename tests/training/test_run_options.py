"""`landseg.train` from Python: images and labels as for the command, with its options by name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from landseg.cli.train import command
from landseg.errors import LandsegError, TrainingError
from landseg.train import train
from landseg.training.recipe import Recipe
from landseg.training.run_options import RunOptions
from tests.parts.labelled import landseg, write_polygons, write_scenes
from tests.parts.small_runs import SMALL

OF_THE_RUN = {"keep_out", "metrics_from", "pixel_classifier", "resume", "overwrite", "data", "quiet"}
"""Options of the command that `train` takes itself; the others are those of `RunOptions`."""
OF_THE_PROGRAM = {"as_json", "log", "threads"}
"""Options about what a program prints, and about its process."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_scenes(tmp_path)
    return tmp_path


class Stop(Exception):
    """Raised where a recipe is complete, before anything is learned."""


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Recipes of runs that end once these are known."""
    found: list[Recipe] = []

    def stop(recipe: Recipe, report: object) -> None:
        found.append(recipe)
        raise Stop

    monkeypatch.setattr("landseg.training.new_model.initial_network", stop)
    return found


def test_images_may_be_open_datasets(data: Path, recipes: list[Recipe]) -> None:
    """They are learned from by their names; a run from Python to its end is in test_face.py."""
    paths = sorted((data / "images").iterdir())
    images = [rasterio.open(path) for path in paths]
    with pytest.raises(Stop):
        train(images, data / "labels", data / "m.safetensors", classes=data / "classes.toml", **SMALL)
    for image in images:
        image.close()
    with pytest.raises(Stop):
        train(paths, data / "labels", data / "m.safetensors", classes=data / "classes.toml", **SMALL)
    assert recipes[0] == recipes[1] and recipes[0].classes.names == ("dark", "bright")
    with pytest.raises(Stop):
        train(paths[:2], data / "labels", data / "m.safetensors", classes=data / "classes.toml", **SMALL)
    assert recipes[2] != recipes[0]  # twin


CALLS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "rasters": (("--classes", "classes.toml", "--ignore", "9", "--bands", "3,2,1", "--split", "none"),
                {"classes": "classes.toml", "ignore": 9, "bands": [3, 2, 1], "split": "none"}),
    "budgets": (("--classes", "classes.toml", "--time-budget", "1m30s", "--scale", "0.5,2", "--seed", "4"),
                {"classes": "classes.toml", "time_budget": 1.5, "scale": (0.5, 2), "seed": 4}),
    "a model to go on from": (
        ("--classes", "classes.toml", "--init", "landcover-rgb", "--map-classes", "road=dark,building=bright"),
        {"classes": "classes.toml", "init": "landcover-rgb", "map_classes": {"road": "dark", "building": "bright"}},
    ),
    "network": (("--classes", "classes.toml", "--arch", "fcn16s", "--encoder", "vgg16", "--encoder-weights", "none",
                 "--option", "upsampler=bilinear", "--set", "fit.optimizer=sgd", "--set", "loss.balanced=true"),
                {"classes": "classes.toml", "arch": "fcn16s", "encoder": "vgg16", "encoder_weights": "none",
                 "option": {"upsampler": "bilinear"}, "set": {"fit.optimizer": "sgd", "loss.balanced": True}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_options_by_name_are_those_of_the_command(
    name: str, data: Path, recipes: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    texts, options = CALLS[name]
    result = landseg("train", "images", "labels", "-o", "m.safetensors", *texts)
    assert isinstance(result.exception, SystemExit) and "Stop" in result.stderr, result.stderr
    with pytest.raises(Stop):
        train("images", Path("labels"), "m.safetensors", **options)
    ours, theirs = recipes
    assert ours == theirs
    with pytest.raises(Stop):
        train("images", "labels", "m.safetensors", **{**options, "crop": 64})
    assert recipes[2] != theirs  # twin


def test_polygons_and_their_layer(data: Path, recipes: list[Recipe]) -> None:
    write_polygons(data / "drawn.gpkg", kind=["dark", "bright"] * 3)
    with pytest.raises(Stop):
        train(data / "images", data / "drawn.gpkg", data / "m.safetensors", class_field="kind", layer="drawn")
    assert recipes[0].sources[0].polygons is not None and str(recipes[0].sources[0].polygons).endswith("gpkg:drawn")


def test_a_recipe_takes_options_too(data: Path, recipes: list[Recipe]) -> None:
    with pytest.raises(Stop):
        train(data / "images", data / "labels", data / "m.safetensors", classes=data / "classes.toml", **SMALL)
    recipes[0].write(data / "recipe.toml")
    with pytest.raises(Stop):
        train(data / "recipe.toml", data / "m.safetensors", steps=7)
    assert (recipes[0].fit.steps, recipes[1].fit.steps) == (1, 7) and recipes[1].arch == "fcn32s"
    with pytest.raises(TrainingError, match="do not go with a Recipe that was read"):
        train(recipes[0], data / "m.safetensors", steps=7)
    with pytest.raises(Stop):
        train(recipes[0], data / "m.safetensors")  # twin


def test_every_option_of_the_command_has_its_name() -> None:
    of_command = set(inspect.signature(command).parameters) - {"paths", "output", *OF_THE_PROGRAM}
    renamed = {"setting": "set"}
    assert {renamed.get(name, name) for name in of_command} - OF_THE_RUN == set(RunOptions.__dataclass_fields__)
    assert set(inspect.signature(train).parameters) >= OF_THE_RUN


def test_what_cannot_be_is_refused_in_a_sentence(data: Path) -> None:
    model, images, labels = data / "m.safetensors", data / "images", data / "labels"
    (data / "there.safetensors").touch()
    for call, said in (
        (lambda: train(images), "name the model file to write: train"),
        (lambda: train(images, labels), "is a folder: name a file in it that ends in .safetensors"),
        (lambda: train(np.zeros((3, 9, 9)), labels, model), "got an array of 3x9x9"),
        (lambda: train(images, np.zeros((9, 9)), model), "got an array of 9x9"),
        (lambda: train(images, labels, model, stepz=3), "train has no option 'stepz': did you mean steps?"),
        (lambda: train(images, labels, data / "there.safetensors"), "there.safetensors exists"),
        (lambda: train(data / "gone", labels, model), "no such file or folder"),
        (lambda: train(images, labels, model, time_budget="soon"), "a time budget is written like 45m"),
    ):
        with pytest.raises(LandsegError) as error:
            call()
        assert said in str(error.value)
    assert not model.exists() and not (data / "m.run").exists()
