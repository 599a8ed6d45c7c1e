"""Training on objects: from polygons or rasters of ids to a model, its card and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import box
from torch import nn
from typer.testing import CliRunner

from landseg.classes import ClassMap
from landseg.cli.main import app
from landseg.dense.instances import Instances
from landseg.dense.objective import LossOptions
from landseg.dense.task import Request
from landseg.errors import LandsegError, ModelError, TrainingError
from landseg.labels.id_rasters import NODATA
from landseg.models.card import Card, Metrics
from landseg.models.file import Model
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.models.networks.panoptic_fpn import PanopticFPN
from landseg.models.read_card import read_card
from landseg.output.layer import Layer
from landseg.predict import predict
from landseg.train import train
from landseg.training.holdout import HoldoutScene, measure_holdout, of_no_use
from landseg.training.network_choice import NetworkChoice
from landseg.training.new_model import initial_network
from landseg.training.recipe import Recipe, read_recipe
from landseg.training.run_options import RunOptions
from landseg.training.sources import open_scenes
from tests.parts.sample_models import make_card

pytestmark = pytest.mark.usefixtures("quick_disk")
SIDE = 96
QUICK: dict[str, Any] = {
    "arch": "fcn32s",
    "encoder": "resnet18",
    "encoder_weights": "none",
    "steps": 12,
    "crop": 64,
    "batch": 2,
    "set": {"fit.workers": 0, "fit.precision": "fp32", "fit.validate_every": 6},
}


@pytest.fixture
def town(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Three scenes of bright houses on dark ground, 0.5 m a pixel, that touch in pairs, and their polygons."""
    for folder in ("scenes", "ids"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    houses = []
    for number in range(3):
        left, top = 500_000 + 100 * number, 4_000_000
        transform = rasterio.transform.from_origin(left, top, 0.5, 0.5)
        ids = np.zeros((SIDE, SIDE), np.uint16)
        for index in range(16):
            row, column = 8 + 24 * (index // 4), 8 + 12 * (index % 4) + 12 * (index % 4 // 2)
            ids[row : row + 12, column : column + 12] = index + 1
            west, north = left + column / 2, top - row / 2
            houses.append(box(west, north - 6, west + 6, north))
        noise = rng.integers(0, 30, ids.shape)
        picture = (np.where(ids > 0, 190, 40) + noise).astype(np.uint8)
        write_raster(picture, f"scenes/{number}.tif", transform=transform, crs="EPSG:32645")
        write_raster(ids, f"ids/{number}.tif", transform=transform, crs="EPSG:32645")
    frame = geopandas.GeoDataFrame({"kind": ["house"] * len(houses)}, geometry=houses, crs="EPSG:32645")
    frame.to_file(tmp_path / "houses.gpkg")
    return tmp_path


def recipe_of(town: Path, labels: str | None = "houses.gpkg", **options: Any) -> Recipe:
    """Return the recipe of the scenes with labels and options."""
    named = None if labels is None else town / labels
    return RunOptions(**{**QUICK, **options}).recipe_from(town / "scenes", named, Path("."), name="houses")


def card_of(recipe: Recipe) -> Card:
    """Return a card of the recipe's task."""
    task = recipe.make_task()
    return make_card(task=task.name, heads=task.heads, classes=recipe.classes, bands=make_card().bands[:1])


def test_things_make_the_task_and_its_widths(town: Path) -> None:
    recipe = recipe_of(town, things=True, background="ground")
    assert recipe.task == "instances"
    assert [(one.name, one.thing) for one in recipe.classes.classes] == [("houses", True), ("ground", False)]
    assert recipe.task_options == {"border": 2.0, "near": 2.0}  # 0.5 m is 1 px of 0.5 m: at least 2
    assert recipe.sources[0].things and recipe.sources[0].ids is None
    fine = recipe_of(town, things=True, background="ground", resolution=0.1, border=0.7)
    assert fine.task_options == {"border": 7.0, "near": 10.0}
    fixed = recipe_of(town, things=True, background="ground", set={"task_options.near": 3.5})
    assert fixed.task_options == {"border": 2.0, "near": 3.5}


def test_the_class_table_says_which_polygons_are_things(town: Path) -> None:
    assert recipe_of(town, things=True, class_field="kind", background="ground").classes.things == (0,)
    table = {"classes": [{"value": 1, "name": "house"}, {"value": 2, "name": "ground", "thing": True}]}
    assert ClassMap.from_json(table).things == (1,)
    (town / "classes.toml").write_text(
        '[[classes]]\nvalue = 3\nname = "house"\nthing = true\n[[classes]]\nvalue = 5\nname = "road"\n'
    )
    made = recipe_of(town, things=True, class_field="kind", classes=town / "classes.toml")
    assert made.classes.things == (0,)  # and road, which is no background, stays stuff


def test_a_recipe_of_things_comes_back_from_its_file(town: Path) -> None:
    recipe = recipe_of(town, things=True, background="ground", border=1.5)
    recipe.write(town / "train.toml")
    back = read_recipe(town / "train.toml")
    assert (back.task, back.task_options, back.classes) == ("instances", {"border": 3.0, "near": 2.0}, recipe.classes)
    assert replace(back, folder=recipe.folder) == recipe


def test_ids_need_no_labels(town: Path) -> None:
    recipe = recipe_of(town, None, ids=town / "ids")
    assert [(one.name, one.thing) for one in recipe.classes.classes] == [("object", True), ("background", False)]
    assert recipe.task == "instances" and recipe.split is not None and recipe.sources[0].ids
    assert recipe_of(town, None, ids=town / "ids", background="ground").classes.names == ("object", "ground")


@pytest.mark.parametrize(
    ("labels", "options", "error", "said"),
    [
        ("ids", {"things": True}, TrainingError, "--things makes an object of each polygon, and needs vector files"),
        ("houses.gpkg", {"ids": "ids"}, TrainingError, "polygons are objects by themselves"),
        ("houses.gpkg", {"border": 1.0}, TrainingError, "leave it out, or add --things or --ids"),
        ("houses.gpkg", {"things": True, "border": -1.0}, TrainingError, "metres above 0, got -1"),
        ("houses.gpkg", {"things": True, "arch": "pixel-forest"}, TrainingError, "pixel-forest"),
        ("houses.gpkg", {"things": True, "coarse": "ids"}, TrainingError, "coarse labels teach shares of classes"),
        ("houses.gpkg", {"task_options.speed": 1}, ModelError, "has no option speed"),
    ],
)
def test_what_does_not_go_with_things_is_refused(
    town: Path, labels: str, options: dict[str, Any], error: type[LandsegError], said: str
) -> None:
    given = {name: town / value if value == "ids" else value for name, value in options.items()}
    if "task_options.speed" in given:
        given = {"things": True, "set": given}
    if given.get("arch") == "pixel-forest":
        given |= {name: None for name in ("encoder", "encoder_weights", "steps", "crop", "batch")} | {"set": ()}
    with pytest.raises(error, match=said):
        recipe_of(town, labels, background="ground" if labels != "ids" else None, **given).make_task()


def test_losses_of_class_maps_are_refused_before_the_data_are_read(town: Path) -> None:
    options = {"task": "instances", "loss": LossOptions(balanced=True)}
    recipe = replace(recipe_of(town, "houses.gpkg", background="ground", things=True), **options)
    with pytest.raises(TrainingError, match="has a loss of its own: leave out balanced of"):
        initial_network(recipe, print)


def test_objects_without_a_class_of_things_are_refused(town: Path) -> None:
    recipe = recipe_of(town, things=True, background="ground")
    stuff = tuple(replace(one, thing=False) for one in recipe.classes.classes)
    with pytest.raises(ModelError, match="say thing = true"):
        replace(recipe, classes=ClassMap(stuff)).make_task()
    with pytest.raises(TrainingError, match="'semantic' learns no objects"):
        replace(recipe, task="semantic", task_options={})


def test_a_task_of_objects_without_objects_is_refused(town: Path) -> None:
    recipe = recipe_of(town, things=True, background="ground")
    without = replace(recipe, sources=(replace(recipe.sources[0], things=False),), split=None)
    with pytest.raises(TrainingError, match="no scene to learn from has any: name polygons as LABELS with --things"):
        train(without, town / "m.safetensors", report=lambda line: None)
    assert not (town / "m.safetensors").exists()


def test_a_model_of_things_learns_and_its_card_holds_what_was_chosen(town: Path) -> None:
    lines: list[str] = []
    options: Any = {**QUICK, "things": True, "background": "ground", "split": "none"}
    train(town / "scenes", town / "houses.gpkg", town / "m.safetensors", report=lines.append, **options)
    card = read_card(town / "m.safetensors")
    assert card.task == "instances" and str(card.heads) == "classes (2), interior (1), boundary (1)"
    chosen_ones, usual_ones = "energy rise score min_area_m2", "join_small stuff_area_m2 border near near_weight"
    assert set(card.task_options) == {*chosen_ones.split(), *usual_ones.split()}
    assert card.classes.things == (0,)
    chosen = next(line for line in lines if "learned from, where" in line)
    assert f"rise = {card.task_options['rise']:g}" in chosen and "48 objects" in chosen
    assert read_recipe(town / "m.run/train.toml").task_options == {"border": 2.0, "near": 2.0}
    told = CliRunner().invoke(app, ["info", str(town / "m.safetensors")])
    assert told.exit_code == 0 and "houses (#" in told.stdout and "thing" in told.stdout
    assert "rise" in told.stdout


def test_options_that_the_recipe_fixes_are_not_chosen(town: Path) -> None:
    lines: list[str] = []
    fixed = {"task_options.rise": 0.25, "task_options.score": 0.1, "task_options.min_area_m2": 2.0}
    fixed |= {"task_options.energy": "mean"}
    options: Any = {**QUICK, "steps": 2, "ids": town / "ids", "split": "none", "set": {**QUICK["set"], **fixed}}
    train(town / "scenes", None, town / "m.safetensors", report=lines.append, **options)
    held = read_card(town / "m.safetensors").task_options
    assert (held["energy"], held["rise"], held["score"], held["min_area_m2"]) == ("mean", 0.25, 0.1, 2.0)
    assert not any("learned from, where" in line for line in lines)


def test_kept_out_scenes_are_measured_by_the_files_that_predict_writes(
    town: Path, monkeypatch: pytest.MonkeyPatch, write_raster: Callable[..., Path]
) -> None:
    """Predict is replaced: it finds the first house, joins the next two and gives them scores in the polygons."""
    ids = np.zeros((SIDE, SIDE), np.uint32)
    ids[8:20, 8:20], ids[8:20, 44:70] = 1, 2
    seen: list[dict[str, Path]] = []

    class Options:
        @staticmethod
        def of(**options: Any) -> dict[str, Any]:
            return options

    class Run:
        def __init__(self, engine: object, sources: list[str], made: Path, options: dict[str, Any]) -> None:
            self.made, self.files = made, {name: options[name] for name in ("instances", "polygons")}

        def result(self) -> None:
            place = {"transform": rasterio.transform.from_origin(500_000, 4_000_000, 0.5, 0.5), "crs": "EPSG:32645"}
            write_raster(np.where(ids > 0, 1, 2).astype(np.uint8), self.made, nodata=0, **place)
            write_raster(ids, self.files["instances"], nodata=NODATA, **place)
            columns = {"id": [2, 1, None], "score": [0.25, 0.75, None]}
            shapes = [box(0, 0, 1, 1), box(0, 0, 1, 1), box(5, 5, 9, 9)]
            geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32645").to_file(self.files["polygons"])
            seen.append(self.files)

    layers = Instances.layers

    def with_ids(task: Instances, request: Request) -> list[Layer]:
        found = layers(task, request)
        if "instances" in {layer.name for layer in found} or "instances" not in request.files:
            return found
        return [*found, Layer("instances", request.files["instances"], "uint32", nodata=NODATA, late=True)]

    monkeypatch.setattr(Instances, "layers", with_ids)
    monkeypatch.setattr("landseg.training.holdout.Run", Run)
    monkeypatch.setattr("landseg.training.holdout.PredictOptions", Options)
    recipe = recipe_of(town, things=True, background="ground")
    opened = open_scenes(recipe, Path("."))
    model = Model(nn.Identity(), card_of(recipe), town / "m.safetensors", "")
    scenes = [HoldoutScene(opened.scenes[0], opened.items[0].image, (1,))]
    found = measure_holdout(model, scenes, town / "kept", measured_on="one scene")
    assert [path.name for path in seen[0].values()] == ["0_instances.tif", "0_polygons.gpkg"]
    assert found.measured_on == (
        "one scene; 16 objects: 1 found, 2 merged, 0 split, 13 missed; of 2 detections 0 invented"
    )
    assert found.overall["precision"] == pytest.approx(1 / 2) and found.overall["recall"] == pytest.approx(1 / 16)
    assert found.overall["ap50"] == pytest.approx(7 / 101)  # the right one has the better score
    assert of_no_use(found) is None


def test_a_model_that_finds_nothing_is_of_no_use() -> None:
    nothing = Metrics("m", {"f1": 0.0, "recall": 0.0, "pixel_accuracy": 0.9, "commonest_class_accuracy": 0.5})
    assert "found none of the objects" in str(of_no_use(nothing))
    some = Metrics("m", {"f1": 0.1, "recall": 0.1, "pixel_accuracy": 0.9, "commonest_class_accuracy": 0.5})
    assert of_no_use(some) is None


def test_the_command_refuses_in_one_sentence_and_leaves_nothing(town: Path) -> None:
    args = ["train", str(town / "scenes"), str(town / "ids"), "-o", str(town / "m.safetensors"), "--things"]
    said = CliRunner().invoke(app, args)
    assert said.exit_code == 1 and not (town / "m.safetensors").exists() and not (town / "m.run").exists()
    assert " ".join(said.stderr.split()).startswith("landseg: --things makes an object of each polygon")


def two_things_and_a_road(town: Path, arch: str) -> Recipe:
    """Return the recipe of a network of boxes for the kinds of the town, of which roads are no things."""
    table = "\n".join(
        f'[[classes]]\nvalue = {value}\nname = "{name}"\nthing = {thing}'
        for value, name, thing in ((3, "house", "true"), (4, "barn", "true"), (5, "road", "false"))
    )
    (town / "classes.toml").write_text(table)
    return recipe_of(town, things=True, class_field="kind", classes=town / "classes.toml", arch=arch)


@pytest.mark.parametrize(("arch", "task"), [("mask-rcnn", "detections"), ("panoptic-fpn", "panoptic")])
def test_networks_of_boxes_make_a_task_of_their_own(town: Path, arch: str, task: str) -> None:
    recipe = recipe_of(town, things=True, background="ground", arch=arch)
    assert (recipe.task, recipe.task_options) == (task, {})
    recipe.write(town / "train.toml")
    assert read_recipe(town / "train.toml").task == task
    network = initial_network(two_things_and_a_road(town, arch), print)
    assert isinstance(network, MaskRCNN) and (network.things, network.channels) == (2, 96)
    assert not isinstance(network, PanopticFPN) or network.stuff == 1
    quick = {**QUICK["set"], "task_options.features": 8}  # which the task of other networks does not have
    recipe = recipe_of(town, things=True, background="ground", arch=arch, set=quick)
    assert recipe.make_task().options["features"] == 8
    with pytest.raises(ModelError, match="has no option features"):
        recipe_of(town, things=True, background="ground", set=quick).make_task()


def test_a_network_of_boxes_in_place_of_another(town: Path) -> None:
    recipe = recipe_of(town, things=True, background="ground", arch="mask-rcnn")
    assert NetworkChoice(arch="panoptic-fpn").in_place_of(recipe).task == "panoptic"
    assert NetworkChoice(arch="unet").in_place_of(recipe).task == "instances"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"background": "ground"}, "mask-rcnn learns objects"),
        ({"things": True, "background": "ground", "border": 0.5}, "--border"),
        ({"things": True, "class_field": "kind"}, "one class beside those of things"),
    ],
)
def test_mask_rcnn_refuses_what_it_does_not_learn(town: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LandsegError, match=sentence):
        initial_network(recipe_of(town, arch="mask-rcnn", **options), print)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"background": "ground"}, "panoptic-fpn learns objects, as the task 'panoptic'"),
        ({"things": True, "background": "ground", "border": 0.5}, "--border"),
        ({"things": True, "class_field": "kind"}, "needs a class of stuff"),
    ],
)
def test_panoptic_fpn_refuses_what_it_does_not_learn(town: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LandsegError, match=sentence):
        initial_network(recipe_of(town, arch="panoptic-fpn", **options), print)


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "channels"), [("mask-rcnn", 85 * 23), ("panoptic-fpn", 85 * 23 + 2 * 1024)])
def test_a_network_of_boxes_learns_is_measured_and_predicts(town: Path, arch: str, channels: int) -> None:
    options = {**QUICK, "arch": arch, "things": True, "background": "ground", "steps": 4}
    options["set"] = {**QUICK["set"], "task_options.features": 8, "task_options.score": 0.05}
    options["option"] = {"box_channels": 16, "mask_channels": 8, "anchor_scale": 4}
    made = train(town / "scenes", town / "houses.gpkg", town / "m.safetensors", report=lambda _: None, **options)
    card = read_card(str(town / "m.safetensors"))
    assert (card.options["things"], card.task_options["features"]) == (1, 8)
    assert card.heads.total == channels and card.metrics is not None and made.metrics is not None
    assert {"f1", "ap50", "precision"} <= set(card.metrics.overall)
    scene = town / "scenes" / "0.tif"
    found = predict(scene, town / "map.tif", model=town / "m.safetensors", instances=town / "i.tif", quiet=True)
    assert found.counts["below_score"] == 0  # type: ignore[union-attr]
    said = CliRunner().invoke(app, ["info", str(town / "m.safetensors")])
    assert said.exit_code == 0 and arch in said.stdout
