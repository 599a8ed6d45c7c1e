"""Points in predict: those of the whole raster, however it is cut; columns, areas of interest, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from affine import Affine

from landseg.errors import OutputError, PlanError
from landseg.inference import whole_rows
from landseg.models.file import load_model, save_model
from landseg.predict import predict
from tests.parts.places import HALF_METRE, UTM
from tests.parts.points import GROUND, TREE, grey_noise, point_model, whole_points
from tests.parts.predicting import QUICK, one
from tests.parts.vrt import build_vrt

pytestmark = pytest.mark.usefixtures("quick_disk")
MODEL = point_model()
Write = Callable[..., Path]


def points_of(path: Path) -> Any:
    """Return the points of a file: row, column, value and score (n, 4), in the order of the file."""
    frame = geopandas.read_file(path, layer=path.stem)
    columns, rows = ~HALF_METRE @ (np.asarray(frame.geometry.x), np.asarray(frame.geometry.y))
    return np.column_stack([rows, columns, frame["value"], frame["score"]])


def expected(pixels: Any, valid: Any = None, model: Any = MODEL) -> Any:
    found = whole_points(model, pixels, valid)
    values = np.array([model.card.classes.values[index] for index in model.card.classes.things])
    return np.column_stack([found.place, values[found.kind], found.scores])


def differing(one: Any, other: Any) -> int:
    """Return the number of points of one set that the other has not, to a hundredth of a pixel."""
    known = {(round(r, 2), round(c, 2), v) for r, c, v, _ in other.tolist()}
    return sum((round(r, 2), round(c, 2), v) not in known for r, c, v, _ in one.tolist())


def test_points_are_those_of_the_whole_picture(tmp_path: Path, write_raster: Write) -> None:
    pixels = grey_noise(300, 150)
    made = one(predict(write_raster(pixels), tmp_path / "t.gpkg", model=MODEL, **QUICK))
    found, whole = points_of(tmp_path / "t.gpkg"), expected(pixels)
    assert made.counts == {"points": len(found)} and len(found) > 200 and {3, 5} == set(found[:, 2])
    assert differing(whole, found) <= 0.01 * len(whole) and abs(len(whole) - len(found)) <= 0.01 * len(whole)
    assert (np.diff(found[:, 3]) != 0).any() and ((found[:, 3] >= 0.3) & (found[:, 3] <= 1)).all()
    assert differing(expected(np.roll(pixels, 3, axis=1)), found) > 0.5 * len(whole)  # twin
    assert "points" in (made.objects_note or "")


def test_any_cut_gives_the_same_points(tmp_path: Path, write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, found = grey_noise(256, 192), []
    scene = write_raster(pixels)
    corners = [(0, 0), (0, 96), (128, 0), (128, 96)]
    quarters = [
        write_raster(
            np.repeat(pixels[:, top : top + 128, left : left + 96], 3, axis=0),
            f"q{number}.tif",
            transform=HALF_METRE @ Affine.translation(left, top),
        )
        for number, (top, left) in enumerate(corners)
    ]
    vrt = build_vrt(tmp_path / "all.vrt", quarters, corners, (256, 192))
    for name, source, strip in (("a", scene, 1), ("b", scene, 3), ("c", scene, 8), ("d", vrt, 2), ("e", quarters, 4)):
        monkeypatch.setattr(whole_rows, "_STRIPS", (strip,))
        out = tmp_path / f"{name}.gpkg"
        predict(source, out, model=MODEL, **({} if source is scene else {"bands": [1]}), **QUICK)
        found.append(points_of(out))
    assert len(found[0]) > 100
    for other in found[1:]:
        assert len(other) == len(found[0]) and differing(other, found[0]) <= 0.01 * len(other)
    alone = [
        predict(quarter, tmp_path / f"x{n}.gpkg", model=MODEL, bands=[1], **QUICK)
        for n, quarter in enumerate(quarters)
    ]
    assert sum(one(made).counts["points"] for made in alone) != len(found[0])  # twin: each by itself


def test_columns_say_what_a_point_is(tmp_path: Path, write_raster: Write) -> None:
    model = point_model(TREE, GROUND, sizes=True)
    predict(write_raster(grey_noise(96, 96)), tmp_path / "t.geojson", model=model, **QUICK)
    frame = geopandas.read_file(tmp_path / "t.geojson")
    assert [*frame.columns] == ["id", "value", "name", "score", "diameter_m", "geometry"]
    assert frame["id"].tolist() == list(range(1, len(frame) + 1)) and set(frame["name"]) == {"tree"}
    assert (frame["diameter_m"] >= 0).all() and frame["diameter_m"].max() > 0
    predict(write_raster(grey_noise(96, 96), "u.tif", crs=None), tmp_path / "u.gpkg", model=model, **QUICK)
    assert "diameter_px" in geopandas.read_file(tmp_path / "u.gpkg", layer="u")


def test_scores_and_areas_leave_points_out(tmp_path: Path, write_raster: Write) -> None:
    pixels, valid = grey_noise(128, 160), np.ones((128, 160), bool)
    valid[40:80, 30:90] = False
    scene = write_raster(pixels, valid=valid)
    predict(scene, tmp_path / "all.gpkg", model=MODEL, **QUICK)
    every = points_of(tmp_path / "all.gpkg")
    rows, columns = np.floor(every[:, :2]).astype(int).T
    assert valid[rows, columns].all() and len(every) > 50
    predict(scene, tmp_path / "few.gpkg", model=MODEL, score=0.8, **QUICK)
    few = points_of(tmp_path / "few.gpkg")
    assert 0 < len(few) < len(every) and few[:, 3].min() >= 0.8
    predict(scene, tmp_path / "apart.gpkg", model=MODEL, distance=3.0, **QUICK)  # 6 px
    apart = points_of(tmp_path / "apart.gpkg")
    gaps = np.hypot(*(apart[:, None, :2] - apart[None, :, :2]).transpose(2, 0, 1)) + 99 * np.eye(len(apart))
    assert gaps.min() >= 6 - 1e-6 and differing(apart, every) == 0 and 10 < len(apart) < len(every)
    gone = np.array([row for row in every.tolist() if differing(np.array([row]), apart)])
    near = np.hypot(*(gone[:, None, :2] - apart[None, :, :2]).transpose(2, 0, 1)) < 6
    assert ((apart[None, :, 3] >= gone[:, None, 3]) & near).any(axis=1).all()  # each has a better one near it
    left, top = HALF_METRE @ (20, 10)
    right, bottom = HALF_METRE @ (100, 90)
    predict(scene, tmp_path / "aoi.gpkg", model=MODEL, aoi=(left, bottom, right, top), **QUICK)
    inside = points_of(tmp_path / "aoi.gpkg")
    kept = every[(every[:, 0] >= 10) & (every[:, 0] < 90) & (every[:, 1] >= 20) & (every[:, 1] < 100)]
    assert differing(inside, kept) == 0 and len(inside) == len(kept) > 10


def test_a_model_keeps_its_points_in_a_file(tmp_path: Path, write_raster: Write) -> None:
    save_model(tmp_path / "m.safetensors", MODEL.network, MODEL.card)
    read = load_model(tmp_path / "m.safetensors")
    assert read.card.task == "points" and str(read.card.heads) == str(MODEL.card.heads)
    scene = write_raster(grey_noise(96, 96))
    for name, model in (("a", MODEL), ("b", tmp_path / "m.safetensors")):
        predict(scene, tmp_path / f"{name}.gpkg", model=model, **QUICK)
    one, other = points_of(tmp_path / "a.gpkg"), points_of(tmp_path / "b.gpkg")
    assert len(one) == len(other) > 20 and np.abs(one - other).max() < 0.01


def test_a_folder_of_points(tmp_path: Path, write_raster: Write) -> None:
    scenes = [write_raster(grey_noise(96, 96), f"s{number}.tif") for number in range(2)]
    predict(scenes, f"{tmp_path}/found/", model=MODEL, **QUICK)
    assert sorted(path.name for path in (tmp_path / "found").glob("*.gpkg")) == ["s0.gpkg", "s1.gpkg"]


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("m.tif", {}, "the model finds points, which are a vector file: write -o .*m.gpkg"),
        ("m", {}, "write -o .*m.gpkg"),
        ("m.gpkg", {"probs": "p.tif"}, "--probs: the model's task is points"),
        ("m.gpkg", {"min_area": 3}, "--min-area: the model finds points, which have no such option"),
        ("m.gpkg", {"distance": -1.0}, "--distance -1.0: expected a number of metres, 0 or more"),
        ("m.gpkg", {"regularize": True}, "--regularize: the model finds points"),
        ("m.gpkg", {"engine": "windows"}, "finds points, in the rows of a whole raster, and not in windows"),
    ],
)
def test_what_points_do_not_have_is_refused(
    tmp_path: Path, write_raster: Write, output: str, options: dict[str, Any], words: str
) -> None:
    scene = write_raster(grey_noise(64, 64))
    if "probs" in options:
        options = {"probs": tmp_path / "p.tif"}
    with pytest.raises((OutputError, PlanError), match=words):
        predict(scene, tmp_path / output, model=MODEL, **{**QUICK, **options})
    assert sorted(path.name for path in tmp_path.iterdir()) == [scene.name]


def test_the_crs_of_points_is_the_rasters(tmp_path: Path, write_raster: Write) -> None:
    predict(write_raster(grey_noise(64, 64)), tmp_path / "t.gpkg", model=MODEL, **QUICK)
    assert geopandas.read_file(tmp_path / "t.gpkg", layer="t").crs == UTM
