"""The plug for a task: a second one, all of it in this file, learns, predicts, resumes, is verified and measured."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from typer.testing import CliRunner

from landseg.classes import IGNORE_INDEX
from landseg.cli.main import app
from landseg.cli.verify import lines as verify_lines
from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.task import Agreement, Arrays, Decoder, Loss, Request, Summary, Task
from landseg.dense.tasks import TASKS, task_of
from landseg.errors import ModelError, OutputError, PlanError, TrainingError
from landseg.models.card import Card, Heads
from landseg.models.file import load_model, read_card, save_model
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.tiling.stitch import Finished
from landseg.train import train
from landseg.training.recipe import read_recipe
from landseg.verify import verify
from tests.parts.sample_models import make_card

pytestmark = pytest.mark.usefixtures("quick_disk")
RECIPE = """
task = "distance"
ignore = [0]
[task_options]
reach = 12.0
[about]
name = "edges"
description = "How far the next edge is"
[model]
arch = "fcn32s"
encoder = "resnet18"
[fit]
steps = 12
workers = 0
precision = "fp32"
validate_every = 6
[sampling]
crop = 64
batch = 2
[[classes]]
value = 4
name = "dark"
[[classes]]
value = 6
name = "bright"
[[bands]]
name = "grey"
mean = 100.0
std = 50.0
[[sources]]
name = "tones"
licence = "CC0-1.0"
credit = "nobody"
images = "scenes/*.tif"
labels = "labels/{stem}.tif"
"""


class Distance(Task):
    """The distance in pixels to the next pixel of another class, up to `reach`: a float raster."""

    name = "distance"
    headline = "r2"
    noun = "distance"
    files = ("polygons",)
    defaults: Mapping[str, Any] = {"reach": 16.0}

    @property
    def heads(self) -> Heads:
        return Heads((("distance", 1),))

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"distance": torch.from_numpy(self.of_labels(labels["class"].numpy()))}

    def of_labels(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        """Return distances (h, w) as shares of the reach; nan where a label is unknown, or the next edge may be."""
        inside = [distance_transform_edt(labels == index) for index in range(len(self.classes))]
        found = np.minimum(np.max(inside, axis=0) / self.options["reach"], 1)
        return np.where(labels == IGNORE_INDEX, np.nan, found).astype(np.float32)

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        def loss(output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
            truth = targets["distance"]
            return (output[:, 0].float() - truth)[~truth.isnan()].abs().mean()

        return loss

    def layers(self, request: Request) -> list[Layer]:
        return [Layer("distance", request.output, "float32", nodata=math.nan)]

    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        reach = np.float32(self.options["reach"])

        def decode(finished: Finished) -> Arrays:
            return {"distance": None if finished.logits is None else finished.logits[0] * reach}

        return decode

    def finish(self, outputs: Outputs, request: Request) -> Mapping[str, int]:
        if "polygons" in request.files:
            with rasterio.open(outputs.layer_reader("distance")) as raster:
                values = raster.read(1)
                row, column = np.unravel_index(np.nanargmax(values), values.shape)
                place = {"type": "Point", "coordinates": raster.xy(row, column)}
            deepest = {"type": "Feature", "properties": {"distance": float(values[row, column])}, "geometry": place}
            outputs.extra(request.files["polygons"]).write_text(json.dumps(deepest))
        return {}

    def agreement(
        self, one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], *, tie: float
    ) -> Agreement:
        differs = np.abs(one - other)[0][valid] > tie
        return Agreement(differs, np.zeros_like(differs))

    def changed(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        return np.abs(one - other) > 0.5

    def measure(self) -> Errors:
        return Errors(self)


class Errors:
    """Squared errors against the spread of the truth."""

    def __init__(self, task: Distance) -> None:
        self.task, self.pairs = task, np.zeros((2, 0))

    def update(
        self,
        layers: Arrays,
        valid: NDArray[np.bool_],
        labels: Mapping[str, NDArray[Any]],
        *,
        at: tuple[int, int] = (0, 0),
        raster: int = 0,
    ) -> None:
        values, truth = layers["distance"], self.task.of_labels(labels["class"]) * self.task.options["reach"]
        assert values is not None
        known = valid & ~np.isnan(truth)
        self.pairs = np.concatenate([self.pairs, np.stack([values[known], truth[known]])], axis=1)

    def figures(self) -> dict[str, float]:
        values, truth = self.pairs
        wrong = values - truth
        return {"error": float(np.abs(wrong).mean()), "r2": 1 - float((wrong**2).mean() / truth.var())}

    def summary(self) -> Summary:
        return Summary(self.figures(), note="distances in pixels")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "distance", Distance)


@pytest.fixture
def data(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Three scenes of bright squares on dark ground, labelled, and a recipe beside them."""
    rng = np.random.default_rng(0)
    for folder in ("scenes", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        bright = np.kron(rng.random((4, 5)) > 0.5, np.ones((32, 32), bool))
        noise = rng.integers(0, 30, bright.shape)
        write_raster((np.where(bright, 190, 40) + noise).astype(np.uint8), f"scenes/{number}.tif")
        write_raster(np.where(bright, 6, 4).astype(np.uint8), f"labels/{number}.tif", nodata=0)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def learned(data: Path) -> Path:
    """Return the model of the recipe."""
    train(data / "recipe.toml", data / "edges.safetensors", data=data, keep_out=["2"], report=lambda line: None)
    return data / "edges.safetensors"


def pixels_of(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as raster:
        assert raster.dtypes == ("float32",) and math.isnan(raster.nodata)
        assert raster.tags()["LANDSEG_TASK"] == "distance"
        assert {"LANDSEG_CLASSES", "LANDSEG_AREAS"}.isdisjoint(raster.tags())
        values: NDArray[np.float32] = raster.read(1)
    return values


@pytest.mark.usefixtures("plugged")
def test_a_second_task_goes_from_labels_to_a_raster(
    data: Path, write_raster: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = learned(data)
    card = read_card(path)
    assert (card.task, card.heads, card.task_options) == ("distance", Heads((("distance", 1),)), {"reach": 12.0})
    assert card.metrics is not None and set(card.metrics.overall) == {"error", "r2"}
    assert card.metrics.overall["error"] > 0 and card.metrics.measured_on.endswith("; distances in pixels")
    rows_of_log = csv.DictReader((data / "edges.run/log.csv").read_text().splitlines())
    losses = [float(row["loss"]) for row in rows_of_log]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    columns = (data / "edges.run/validation.csv").read_text().splitlines()[0].split(",")
    assert columns[2:] == ["r2", "error"] and (data / "edges.run/best.pt").exists()
    assert not (data / "edges.run/samples.png").exists()  # pictures are of classes
    resolved = read_recipe(data / "edges.run/train.toml")
    assert (resolved.task, resolved.task_options) == ("distance", {"reach": 12.0})

    rng = np.random.default_rng(1)
    wide = np.kron(rng.integers(40, 220, (3, 24)), np.ones((32, 32), int)).astype(np.uint8)
    scene, model = write_raster(wide, "wide.tif"), load_model(path)  # wider than the receptive field
    options: dict[str, Any] = {"model": model, "precision": "fp32", "device": "cpu", "quiet": True}
    stream = predict(scene, data / "s.tif", engine="stream", polygons=data / "deepest.geojson", **options)
    windows = predict(scene, data / "w.tif", engine="windows", window=640, halo="exact", **options)
    assert (stream.engine, windows.engine, windows.mode) == ("stream", "windows", "exact")
    assert windows.windows > 1 and not stream.areas
    rows, cut = pixels_of(data / "s.tif"), pixels_of(data / "w.tif")
    np.testing.assert_allclose(rows, cut, atol=1e-3)
    assert np.ptp(rows) > 0.1
    deepest = json.loads((data / "deepest.geojson").read_text())
    assert deepest["properties"]["distance"] == pytest.approx(float(rows.max()))

    killed_and_resumed(scene, data, options, monkeypatch)
    found = verify(scene, model=model, window=640, size=768, engine="windows", device="cpu")
    assert found.exact and found.to_json()["noun"] == "distance"
    assert any(line.startswith("distances     0.0000% of") for line in verify_lines(found))
    short = predict(scene, data / "b.tif", engine="windows", window=160, halo=0, **options)
    assert short.disagreement_note is not None and "get another distance than with" in short.disagreement_note


def killed_and_resumed(scene: Path, data: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Outputs.commit

    def stopped(outputs: Outputs, step: str) -> None:
        commit(outputs, step)
        raise KeyboardInterrupt

    monkeypatch.setattr(Outputs, "commit", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, data / "r.tif", engine="windows", window=640, halo="exact", **options)
    monkeypatch.setattr(Outputs, "commit", commit)
    assert not (data / "r.tif").exists()
    predict(scene, data / "r.tif", engine="windows", window=640, halo="exact", resume=True, **options)
    assert (data / "r.tif").read_bytes() == (data / "w.tif").read_bytes()


@pytest.mark.usefixtures("plugged")
def test_what_the_task_does_not_have_is_refused(data: Path) -> None:
    recipe = read_recipe(data / "recipe.toml")
    with pytest.raises(TrainingError, match="'distance' needs a network that gives numbers"):
        replace(recipe, arch="pixel-forest", encoder="none")
    with pytest.raises(ModelError, match="has no option speed; its options: reach"):
        replace(recipe, task_options={"speed": 1}).make_task()
    with pytest.raises(ModelError, match=r"channels distance \(2\), the task 'distance' needs distance \(1\)"):
        task_of(make_card(task="distance", heads=Heads((("distance", 2),))))
    path, card = untrained(data)
    for options, error, said in (
        ({"probs": data / "p.tif"}, OutputError, "--probs: the model's task is distance, which takes --polygons"),
        ({"tta": "flips"}, PlanError, "leave out --tta"),
    ):
        with pytest.raises(error, match=said):
            predict(data / "scenes/0.tif", data / "m.tif", model=path, quiet=True, **options)
    assert not (data / "m.tif").exists() and card.task == "distance"


def test_twin_without_its_line_in_the_table_there_is_no_such_task(data: Path) -> None:
    names = "semantic, instances, detections, panoptic, points"
    sentence = f"this landseg has no task 'distance', it has {names}: upgrade landseg"
    with pytest.raises(ModelError, match=sentence):
        learned(data)
    path, _ = untrained(data)
    assert load_model(path).card.channels == 1  # it can be read and described
    described = CliRunner().invoke(app, ["info", str(path)])
    assert described.exit_code == 0 and "distance; channels: distance (1)" in described.stdout
    with pytest.raises(ModelError, match=sentence):
        predict(data / "scenes/0.tif", data / "m.tif", model=path, quiet=True)
    assert not (data / "m.tif").exists()


def test_a_card_without_a_task_is_of_semantic_segmentation() -> None:
    older = make_card().to_json()
    assert "task" not in older
    task = task_of(Card.from_json(older))
    assert task.name == "semantic" and task.heads == Heads.of_classes(2) and "task" not in task.tags()


def untrained(folder: Path) -> tuple[Path, Card]:
    """Return a model of the task with random weights."""
    from landseg.models.networks.build import build_network

    heads = Heads((("distance", 1),))
    card = make_card(
        task="distance", heads=heads, encoder="resnet18", options={}, resolution_m=None, bands=make_card().bands[:1]
    )
    network = build_network(card.arch, encoder=card.encoder, bands=1, channels=heads.total)
    return save_model(folder / "random.safetensors", network, card), card
