"""Training on points: from a vector file to a model whose card and figures are those of points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import Point, box

from landseg.dense.point_measure import PointMeasure
from landseg.dense.points import PointTask
from landseg.errors import ModelError, TrainingError
from landseg.models.read_card import read_card
from landseg.predict import predict
from landseg.train import train
from landseg.training.recipe import Recipe
from landseg.training.run_options import RunOptions
from tests.inference.test_points import points_of
from tests.parts.points import GROUND, TREE

pytestmark = pytest.mark.usefixtures("quick_disk")
SIDE, STEP = 96, 12
QUICK: dict[str, Any] = {
    "encoder": "resnet18",
    "encoder_weights": "none",
    "crop": 64,
    "batch": 2,
    "background": "ground",
    "task": "points",
    "set": {"fit.workers": 0, "fit.precision": "fp32", "fit.validate_every": 20, "task_options.reach": 3.0},
}


@pytest.fixture
def wood(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Three scenes of dark crowns on bright ground, 0.5 m a pixel, their centres as points and as squares."""
    (tmp_path / "scenes").mkdir()
    rng = np.random.default_rng(0)
    centres, squares = [], []
    for number in range(3):
        left, top = 500_000 + 100 * number, 4_000_000
        places = [
            (y + rng.integers(-2, 3), x + rng.integers(-2, 3))
            for y in range(8, SIDE, STEP)
            for x in range(8, SIDE, STEP)
        ]
        rows, columns = np.mgrid[:SIDE, :SIDE]
        crown = np.zeros((SIDE, SIDE), bool)
        for y, x in places:
            crown |= (rows - y) ** 2 + (columns - x) ** 2 <= 9
            east, north = left + (x + 0.5) / 2, top - (y + 0.5) / 2
            centres.append(Point(east, north))
            squares.append(box(east - 1.5, north - 1.5, east + 1.5, north + 1.5))
        picture = (np.where(crown, 50, 170) + rng.integers(0, 30, crown.shape)).astype(np.uint8)
        place = rasterio.transform.from_origin(left, top, 0.5, 0.5)
        write_raster(picture, f"scenes/{number}.tif", transform=place, crs="EPSG:32645")
    for name, shapes in (("trees", centres), ("crowns", squares)):
        geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32645").to_file(tmp_path / f"{name}.gpkg")
    return tmp_path


def recipe_of(wood: Path, labels: str = "trees.gpkg", **options: Any) -> Recipe:
    return RunOptions(**{**QUICK, "steps": 2, **options}).recipe_from(
        wood / "scenes", wood / labels, Path("."), name="trees"
    )


def test_points_make_the_task_its_network_and_its_widths(wood: Path) -> None:
    recipe = recipe_of(wood)
    assert (recipe.task, recipe.arch) == ("points", "point-fpn")
    assert [(one.name, one.thing) for one in recipe.classes.classes] == [("trees", True), ("ground", False)]
    assert recipe.sources[0].things and recipe.sources[0].buffer_m == 1.5  # three pixels
    sigma = recipe.task_options["sigma"]
    assert 2 <= sigma <= STEP / 4 and recipe.task_options["sizes"] is False
    fine = recipe_of(wood, resolution=0.125)
    assert fine.task_options["sigma"] == pytest.approx(4 * min(sigma * 4, 4 * STEP) / 4, rel=0.4)
    assert recipe_of(wood, "crowns.gpkg").task_options["sizes"] is True
    assert recipe_of(wood, set={**QUICK["set"], "task_options.sigma": 5.0}).task_options["sigma"] == 5.0


@pytest.mark.slow
def test_a_model_of_points_learns_and_finds_them(wood: Path) -> None:
    lines: list[str] = []
    made = train(
        wood / "scenes",
        wood / "trees.gpkg",
        wood / "m.safetensors",
        keep_out=["2"],
        steps=150,
        report=lines.append,
        **QUICK,
    )
    assert made.metrics is not None and made.metrics.overall["f1"] > 0.8 and made.metrics.overall["rmse"] < 2
    assert "64 points" in made.metrics.measured_on
    card = read_card(wood / "m.safetensors")
    assert card.task == "points" and 0 < card.task_options["score"] < 1
    assert any(line.startswith("score = ") and "128 points" in line for line in lines)
    predict(wood / "scenes" / "2.tif", wood / "found.gpkg", model=wood / "m.safetensors", device="cpu", quiet=True)
    assert 50 < len(points_of(wood / "found.gpkg")) < 80
    blind = train(wood / "scenes", wood / "trees.gpkg", wood / "n.safetensors", keep_out=["2"], steps=2, **QUICK)
    assert blind.metrics is not None and not blind.metrics.overall["f1"] > 0.8  # twin: two steps


def test_polygons_teach_their_centres_and_sizes(wood: Path) -> None:
    train(wood / "scenes", wood / "crowns.gpkg", wood / "m.safetensors", steps=2, **{**QUICK, "split": "none"})
    card = read_card(wood / "m.safetensors")
    assert card.task_options["sizes"] and "size" in str(card.heads)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"task": "trees"}, TrainingError, "--task trees: labels say what is to be learned, but for points"),
        ({"arch": "fcn32s"}, TrainingError, "is no network for the task 'points'"),
        ({"border": 1.0}, TrainingError, "leave out --border"),
        ({"set": {"task_options.stride": 3}}, ModelError, "stride of the task 'points' is 3: expected 2 or 4"),
        (
            {"set": {"task_options.radius": 1.5}},
            ModelError,
            "radius of the task 'points' is 1.5: expected a whole",
        ),
    ],
)
def test_what_is_no_task_of_points_is_refused(
    wood: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        recipe_of(wood, **options).make_task()


def test_points_are_measured_by_hand() -> None:
    ids = np.zeros((40, 60), np.int32)
    for number, (row, column) in enumerate([(10, 10), (10, 40), (30, 20)], start=1):
        ids[row - 1 : row + 2, column - 1 : column + 2] = number
    ids[:, 55:] = -1
    classes = np.where(ids > 0, 0, 1).astype(np.uint8)
    found = np.array([[10.5, 13.5, 0, 0.9], [10.5, 40.5, 0, 0.8], [5.5, 57.5, 0, 0.7], [35.5, 50.5, 0, 0.6]])
    measure = PointMeasure(PointTask(classes_of(), {}).classes, reach=5.0)
    for top in (0, 20):  # strips that cut nothing
        part = slice(top, top + 20)
        labels = {"instance": ids[part], "class": classes[part]}
        measure.update({"points": found}, np.ones((20, 60), bool), labels, at=(top, 0))
    figures = measure.figures()
    # Two of three are found, 3 and 0 px off; one detection is wrong, and one lies where nothing is known.
    assert (figures["precision"], figures["recall"]) == pytest.approx((2 / 3, 2 / 3))
    assert figures["rmse"] == pytest.approx(np.sqrt(9 / 2))
    assert measure.summary().note == "3 points: 2 found within 5 px; 4 detections"


def test_a_thing_in_two_strips_is_one_point() -> None:
    ids = np.zeros((20, 20), np.int32)
    ids[8:13, 9:12] = 4
    labels = {"instance": ids, "class": np.where(ids > 0, 0, 1).astype(np.uint8)}
    measure = PointMeasure(classes_of(), reach=0.1)
    for part in (slice(0, 10), slice(10, 20)):
        own = {name: one[part] for name, one in labels.items()}
        measure.update({"points": np.array([[10.5, 10.5, 0, 1.0]])}, np.ones((10, 20), bool), own, at=(part.start, 0))
    assert measure.figures()["f1"] == 1


def classes_of() -> Any:
    from landseg.classes import ClassMap

    return ClassMap((TREE, GROUND))
