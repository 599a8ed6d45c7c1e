"""A vector file beside each image: each labels its own image alone, in `data`, in recipes and in training."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from landseg.classes import ClassMap
from landseg.data import inspect_data
from landseg.errors import LandsegError, TrainingError, VectorError
from landseg.labels.image_lists import Item, pair
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import LabelPolygons
from landseg.scenes.opening import ImageLabelOptions, labels_for
from landseg.scenes.targets import UnknownTargets
from landseg.training.recipe import Recipe, recipe_of
from landseg.training.recipe_from_files import DataFiles, fill_recipe
from landseg.training.sources import find_items, fully_named, open_scenes
from tests.parts.labelled import landseg
from tests.parts.opened import open_items
from tests.parts.small_runs import SMALL

TABLE = ClassMap.from_json([{"value": 1, "name": "field", "thing": True}, {"value": 2, "name": "land"}])
SIDE = 40
Boxes = list[tuple[int, int, int, int]]
BOXES: dict[str, Boxes] = {
    "a": [(2, 2, 12, 12), (12, 2, 20, 12)],
    "b": [(5, 20, 30, 30)],
    "c": [(0, 0, 9, 40), (20, 20, 30, 30), (22, 22, 40, 28)],
}


@pytest.fixture
def tiles(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Three images without a CRS, all at one place, with polygons beside each."""
    rng = np.random.default_rng(0)
    for name, boxes in BOXES.items():
        pixels = rng.integers(1, 255, (3, SIDE, SIDE)).astype(np.uint8)
        write_raster(pixels, f"{name}.tif", transform=Affine(1, 0, 0, 0, -1, 0), crs=None)
        draw(tmp_path / f"{name}.gpkg", boxes)
    return tmp_path


def draw(path: Path, boxes: Boxes, **columns: list[str]) -> Path:
    shapes = [box(x0, -y1, x1, -y0) for x0, y0, x1, y1 in boxes]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32645").set_crs(None, allow_override=True)
    path.unlink(missing_ok=True)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        frame.to_file(path)
    return path


def painted(boxes: Boxes, inside: int = 0, outside: int = 1) -> np.ndarray:
    """The target values of boxes, by hand."""
    made = np.full((SIDE, SIDE), outside, np.uint8)
    for x0, y0, x1, y1 in boxes:
        made[y0:y1, x0:x1] = inside
    return made


def recipe(folder: Path, polygons: Any, **more: Any) -> Recipe:
    """A recipe of all images with polygons; ``more`` are entries of its source."""
    source = {"images": "*.tif", "polygons": polygons, "background": "land"} | more
    bands = [{"name": name, "mean": 127, "std": 127} for name in "rgb"]
    table = {"about": {"name": "m"}, "bands": bands, "sources": [source], **TABLE.to_json()}
    return recipe_of(table, folder)


def targets(made: Recipe, folder: Path) -> list[np.ndarray]:
    return [scene.read(scene.rect)[2] for scene in open_scenes(made, folder).scenes]


@pytest.mark.parametrize("named", [["."], ["*.gpkg"], ["c.gpkg", "a.gpkg", "b.gpkg"], ".", "*.gpkg", "{stem}.gpkg"])
def test_each_file_labels_its_image(tiles: Path, named: Any) -> None:
    made = recipe(tiles, named)
    assert [found.tolist() for found in targets(made, tiles)] == [painted(own).tolist() for own in BOXES.values()]
    assert recipe_of(made.table(), tiles).sources == made.sources  # as a recipe's file says it
    # Twin: files of one another's names.
    (tiles / "a.gpkg").rename(tiles / "x")
    (tiles / "b.gpkg").rename(tiles / "a.gpkg")
    (tiles / "x").rename(tiles / "b.gpkg")
    swapped = targets(made, tiles)
    assert swapped[0].tolist() == painted(BOXES["b"]).tolist() != painted(BOXES["a"]).tolist()
    assert swapped[2].tolist() == painted(BOXES["c"]).tolist()


def test_one_file_labels_all_images_as_ever(tiles: Path) -> None:
    for named in ("b.gpkg", ["b.gpkg"]):
        assert all((found == painted(BOXES["b"])).all() for found in targets(recipe(tiles, named), tiles))


def test_a_suffix_is_left_out_and_polygons_lie_beside_the_recipe(tiles: Path) -> None:
    (tiles / "images").mkdir()
    for name in BOXES:
        (tiles / f"{name}.tif").rename(tiles / f"images/{name}_rgb.tif")
    made = recipe(tiles, "{stem}.gpkg", suffix="_rgb")
    assert [found.tolist() for found in targets(made, tiles / "images")] == [
        painted(own).tolist() for own in BOXES.values()
    ]
    full = fully_named(made, tiles / "images")
    assert full.sources[0].polygons == f"{tiles.resolve()}/{{stem}}.gpkg"
    assert fully_named(recipe(tiles, ["*.gpkg"]), tiles / "images").sources[0].polygons == (
        f"{tiles.resolve()}/*.gpkg",
    )
    with pytest.raises(
        TrainingError, match=r"source 'm.tif': 3 of 3 images have no vector file: .*expected .*a_rgb\.g"
    ):
        targets(recipe(tiles, "{stem}.gpkg", name="m.tif"), tiles / "images")


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(*[st.integers(0, 19)] * 2, *[st.integers(20, 40)] * 2), min_size=1, max_size=4),
        min_size=3,
        max_size=3,
    )
)
def test_classes_and_objects_are_those_of_each_file_alone(tiles: Path, drawn: list[Boxes]) -> None:
    """Together the images have the targets, ids and distances that each has by itself, whatever the others are."""
    options = ImageLabelOptions(TABLE, background="land", things=True)
    for name, boxes in zip(BOXES, drawn, strict=True):
        draw(tiles / f"{name}.gpkg", boxes)
    items = pair(str(tiles / "*.tif"), str(tiles / "*.gpkg"))
    turned = [replace(item, polygons=items[n - 1].polygons) for n, item in enumerate(items)]
    assert maps(items, options) == [maps([item], options)[0] for item in items]
    if drawn[0] != drawn[1] or drawn[1] != drawn[2]:
        assert maps(turned, options) != maps(items, options)  # Twin: paired in another order.


def maps(items: list[Item], options: ImageLabelOptions) -> list[Any]:
    scenes = open_items(items, options)[0]
    return [
        [scene.read(scene.rect)[2].tolist(), *(scene.read_map(name, scene.rect).tolist() for name in MAPS)]
        for scene in scenes
    ]


MAPS = ("instance", "interior")


# --- classes of a column -----------------------------------------------------------------------------------------


def test_a_column_has_the_classes_of_all_files(tiles: Path) -> None:
    draw(tiles / "a.gpkg", BOXES["a"], kind=["maize", "soy"])
    draw(tiles / "b.gpkg", BOXES["b"], kind=["wheat"])
    draw(tiles / "c.gpkg", BOXES["c"], kind=["soy", "maize", "soy"])
    data = DataFiles((f"{tiles}/*.tif",), (f"{tiles}/*.gpkg",), class_field="kind", background="land")
    tables = fill_recipe({}, data, name="m")
    assert [row["name"] for row in tables["classes"]] == ["maize", "soy", "wheat", "land"]
    assert tables["sources"][0]["polygons"] == [f"{tiles}/*.gpkg"] and tables["split"] == {"by": "file"}
    found = targets(recipe_of(tables | {"about": {"name": "m"}}, Path()), Path())
    assert found[1].tolist() == painted(BOXES["b"], 2, 3).tolist()
    report = inspect_data(f"{tiles}/*.tif", f"{tiles}/*.gpkg", class_field="kind", background="land")
    assert {one.name: one.pixels for one in report.classes} == {
        name: int(sum((target == index).sum() for target in found))
        for index, name in enumerate(["maize", "soy", "wheat", "land"])
    }
    draw(tiles / "b.gpkg", BOXES["b"], sort=["wheat"])
    with pytest.raises(VectorError, match=r"b\.gpkg has no column 'kind'; it has sort"):
        fill_recipe({}, data, name="m")


def test_the_others_of_a_partial_column_are_those_of_all_files(tiles: Path) -> None:
    """What a file does not show is none of the classes that *any* file shows."""
    draw(tiles / "a.gpkg", BOXES["a"], kind=["maize", "maize"])
    draw(tiles / "b.gpkg", BOXES["b"], kind=["soy"])
    draw(tiles / "c.gpkg", BOXES["c"], kind=["soy"] * 3)
    table = ClassMap.from_json([{"value": n, "name": name} for n, name in enumerate(("land", "maize", "soy"))])
    items = pair(str(tiles / "*.tif"), str(tiles / "*.gpkg"))
    scenes, sets = open_items(items, ImageLabelOptions(table, field="kind", partial="others"))
    outside = {int(scene.read(scene.rect)[2][-1, -20]) for scene in scenes[:2]}
    assert len(outside) == 1
    assert sets.allowed[outside.pop()].tolist() == [True, False, False]
    alone, own = open_items(items[:1], ImageLabelOptions(table, field="kind", partial="others"))  # Twin.
    assert own.allowed[int(alone[0].read(alone[0].rect)[2][-1, -20])].tolist() == [True, False, True]


# --- what may be wrong -------------------------------------------------------------------------------------------


def test_files_without_polygons_are_all_background(tiles: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tiles / "b.gpkg").unlink()
    (tiles / "b.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    made = recipe(tiles, ["*.gpkg", "*.geojson"])
    with caplog.at_level(logging.WARNING):
        assert targets(made, tiles)[1].tolist() == painted([]).tolist()
    assert caplog.messages == ["1 of 3 images has no polygon: b.tif; all there is land"]
    report = inspect_data(str(tiles / "*.tif"), [str(tiles / "*.gpkg"), str(tiles / "*.geojson")], background="land")
    assert [one.text for one in report.findings] == caplog.messages
    for name in ("a", "c"):
        shutil.copy(tiles / "b.geojson", tiles / f"{name}.geojson")
    with pytest.raises(VectorError, match="none of 3 vector files holds a polygon"):
        targets(recipe(tiles, "*.geojson"), tiles)


def test_polygons_on_no_image_are_counted_and_files_astray_refused(
    tiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw(tiles / "b.gpkg", [*BOXES["b"], (90, 90, 95, 95), (5, 5, 5.3, 9)])  # type: ignore[list-item]
    with caplog.at_level(logging.WARNING):
        targets(recipe(tiles, "*.gpkg"), tiles)
    path = tiles / "b.gpkg"
    assert caplog.messages == [
        f"1 of 3 polygons of {path} lies on no image",
        f"1 of 3 polygons of {path} covers no pixel's centre, so nothing is burnt for it: use --all-touched, or "
        "smaller pixels",
    ]
    draw(path, [(90, 90, 95, 95)])
    with pytest.raises(
        TrainingError, match=r"1 of 3 vector files has no polygon on its image: .*b\.gpkg; check that"
    ):
        targets(recipe(tiles, "*.gpkg"), tiles)
    report = inspect_data(str(tiles / "*.tif"), str(tiles / "*.gpkg"), background="land")
    kinds = [(one.kind, one.text) for one in report.findings]
    assert kinds[0][0] == "refused" and "1 of 3 vector files has no polygon on its image" in kinds[0][1]
    assert [one.name for one in report.files if one.label_fault] == ["b"]


def test_images_and_files_that_are_alone_are_findings(tiles: Path) -> None:
    (tiles / "v").mkdir()
    (tiles / "i").mkdir()
    for name in BOXES:
        (tiles / f"{name}.tif").rename(tiles / f"i/{name}.tif")
    for name in ("b", "c"):
        (tiles / f"{name}.gpkg").rename(tiles / f"v/{name}.gpkg")
    (tiles / "a.gpkg").rename(tiles / "v/lonely.gpkg")
    report = inspect_data(str(tiles / "i"), str(tiles / "v"), background="land", things=True)
    assert [(one.kind, one.text) for one in report.findings if one.kind == "unpaired"] == [
        ("unpaired", f"1 of 3 images has no vector file in {tiles / 'v'}: a.tif"),
        ("unpaired", "1 vector file belongs to no image: lonely.gpkg"),
    ]
    assert report.objects is not None and report.objects.objects == 4
    assert report.findings[0].text.startswith("train refuses these as they are: 1 of 3 images has no vector file")


def test_a_file_that_cannot_be_read_is_a_finding(tiles: Path) -> None:
    (tiles / "b.gpkg").write_bytes(b"no file at all")
    report = inspect_data(str(tiles / "*.tif"), str(tiles / "*.gpkg"), background="land", things=True)
    (fault,) = [one.label_fault for one in report.files if one.label_fault]
    assert "b.gpkg cannot be read as a vector file" in fault
    assert report.objects is not None and report.objects.objects == 5
    assert report.findings[0].kind == "refused" and "b.gpkg" in report.findings[0].text
    for name in BOXES:
        (tiles / f"{name}.gpkg").write_bytes(b"no file at all")
    with pytest.raises(VectorError, match=r"a\.gpkg cannot be read"):
        inspect_data(str(tiles / "*.tif"), str(tiles / "*.gpkg"), background="land")


def test_objects_are_counted_file_by_file(tiles: Path) -> None:
    together = inspect_data(str(tiles / "*.tif"), str(tiles / "*.gpkg"), background="land", things=True).objects
    alone = [
        inspect_data(str(tiles / f"{n}.tif"), str(tiles / f"{n}.gpkg"), background="land", things=True) for n in BOXES
    ]
    assert together is not None
    for figure in ("objects", "touching", "overlapped", "covered_px"):
        assert getattr(together, figure) == sum(getattr(one.objects, figure) for one in alone)
    assert together.objects == 6 and together.overlapped == 1
    # Twin: one file for all is counted on all.
    shared = inspect_data(str(tiles / "*.tif"), str(tiles / "c.gpkg"), background="land", things=True).objects
    assert shared is not None and shared.objects == 3


def test_what_goes_with_rasters_alone_is_refused(tiles: Path) -> None:
    data = DataFiles((f"{tiles}/*.tif",), (f"{tiles}/*.gpkg",), background="land")
    for changed, said in (
        ({"ids": ("ids",)}, "polygons are objects by themselves"),
        ({"label_colors": True}, r"label rasters; the labels .*\*\.gpkg are vector files: leave it out"),
        ({"background": None}, r"the labels .*\*\.gpkg are vector files: say which column"),
        ({"labels": (f"{tiles}/gone",), "things": True}, "needs vector files as LABELS, got .*gone"),
    ):
        with pytest.raises(LandsegError, match=said):
            fill_recipe({}, replace(data, **changed), name="m")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="expected vector files, a folder or a glob of them"):
        open_scenes(recipe(tiles, ["a.tif"]), tiles)


def test_images_with_coarse_labels_may_go_without(tiles: Path) -> None:
    (tiles / "b.gpkg").unlink()
    made = recipe(tiles, "*.gpkg")
    spec = replace(made.sources[0], coarse="coarse")
    with pytest.raises(TrainingError, match=r"1 of 3 images has no vector file in .*\*\.gpkg"):  # Twin.
        find_items(made.sources[0], tiles, tiles)
    items = find_items(spec, tiles, tiles)
    assert [item.polygons and item.polygons.name for item in items] == ["a.gpkg", None, "c.gpkg"]
    labels = labels_for(items, ImageLabelOptions(TABLE, background="land"), LabelSetBuilder(TABLE))
    assert isinstance(labels[1], UnknownTargets) and isinstance(labels[0], LabelPolygons)


def test_sources_of_the_same_images_each_have_their_own_labels(
    tiles: Path, write_raster: Callable[..., Path]
) -> None:
    """Where the first source's rasters say nothing those of the next one do, then polygons."""
    half, most = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 2, np.uint8)
    half[:, :20], most[:, 30:] = 1, 0
    for folder, pixels in (("one", half), ("other", most)):
        (tiles / folder).mkdir()
        for name in BOXES:
            write_raster(pixels, f"{folder}/{name}.png", transform=Affine.identity(), crs=None)
    values = {"0": "ignore", "1": "field", "2": "land"}
    one = SourceSpec("*.tif", name="one", labels="one", values=values)
    other = replace(one, name="other", labels="other")
    drawn = SourceSpec("*.tif", name="drawn", polygons="{stem}.gpkg", background="land")
    found = targets(replace(recipe(tiles, "*.gpkg"), sources=(one, other, drawn)), tiles)
    expected = painted(BOXES["c"])
    expected[:, :20], expected[:, 20:30] = 0, 1
    assert found[2].tolist() == expected.tolist()


# --- the sample ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["*.gpkg", "", "each"])
def test_the_sample_parcels_are_counted(sample_tiles: Path, labels: str) -> None:
    folder = sample_tiles / "parcels"
    images = [f"{folder}/*.tif"] if labels == "*.gpkg" else [str(folder)]
    named = sorted(map(str, folder.glob("*.gpkg"))) if labels == "each" else [str(folder / labels)]
    given = ["--things", "--background", "background", "--json"]
    made = landseg("data", *images, *named, *given)
    assert made.exit_code == 0, made.output
    report = json.loads(made.stdout)
    assert report["objects"]["objects"] == 139 and report["findings"] == []
    assert [row["name"] for row in report["classes"]] == ["parcels", "background"]
    assert [Path(one["labels"]).name for one in report["files"]] == ["field_02.gpkg", "field_16.gpkg"]


def test_points_beside_their_images_are_counted(sample_tiles: Path) -> None:
    folder = str(sample_tiles / "trees/train")
    report = inspect_data(folder, folder, buffer=1, things=True, background="ground")
    points = [len(geopandas.read_file(path)) for path in Path(folder).glob("*.geojson")]
    assert report.objects is not None and report.objects.objects == sum(points) == 430
    assert [one.name for one in report.classes] == ["train", "ground"]
    assert all(one.text.endswith("became areas, 1 m around") for one in report.findings[:-1])
    assert report.findings[-1].text == "1 more vector file has notes like these"


@pytest.mark.slow
def test_the_sample_parcels_train(sample_tiles: Path, tmp_path: Path) -> None:
    from landseg.models.read_card import read_card
    from landseg.train import train

    parcels = sample_tiles / "parcels"
    train(
        parcels,
        parcels,
        tmp_path / "m.safetensors",
        **{**SMALL, "steps": 2, "crop": 96},
        classes=parcels / "classes.toml",
        things=True,
        background="background",
    )
    card = read_card(tmp_path / "m.safetensors")
    assert card.classes.names == ("background", "field") and card.classes.things == (1,)
    assert card.metrics is not None and card.metrics.measured_on.startswith("1 scene kept out")
