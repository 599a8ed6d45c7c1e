"""`landseg train IMAGES LABELS`: a model that predict takes, from labels of every kind."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.warp import transform_bounds

from landseg.models.card import Card
from landseg.models.file import load_model
from landseg.training.recipe import read_recipe
from tests.parts.labelled import EDGE, image, labels, landseg, place, train, write, write_polygons
from tests.parts.labelled import write_scenes as scenes

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    scenes(tmp_path)
    return tmp_path


def card_of(result: Any, folder: Path, name: str = "m.safetensors") -> Card:
    assert result.exit_code == 0, result.output
    return load_model(folder / name).card


def test_a_model_with_its_run_folder_and_an_honest_card(data: Path) -> None:
    result = train(data, data / "images", data / "labels", "--classes", data / "classes.toml", "--json")
    card = card_of(result, data)
    (line,) = result.stdout.splitlines()
    made = json.loads(line)
    assert (made["scenes"], made["kept_out"]) == (2, 1) and made["metrics"]["measured_on"].startswith("1 scene kept")
    assert [band.common_name for band in card.bands] == ["red", "green", "blue"]
    assert (card.dtypes, card.trained_at_m, card.resolution_m) == (("uint8",), (0.5,), None)
    assert card.usable_resolution_m == (0.33, 0.75) and made["warnings"] == []
    assert card.classes.values == (4, 6) and card.classes.ignore == (0,)
    assert {(band.mean, band.std) for band in card.bands} == {(127.0, 128.0)}
    training, metrics = card.training, card.metrics
    assert training is not None and metrics is not None
    assert len(training.sources[0].sha256) == 64 and training.sources[0].name == "images"
    assert training.options["fit"]["steps"] == 1 and training.options["split"]["by"] == "file"
    assert set(metrics.per_class) == {"dark", "bright"} and 0 <= metrics.overall["mean_iou"] <= 1
    run = data / "m.run"
    for name in ("train.toml", "log.csv", "validation.csv", "curves.png", "samples.png", "last.pt", "best.pt"):
        assert (run / name).stat().st_size > 0, name
    (kept,) = (run / "kept").glob("*.tif")
    with rasterio.open(kept) as raster, rasterio.open(data / "images" / kept.name) as source:
        assert (raster.shape, raster.transform, raster.crs) == (source.shape, source.transform, source.crs)
    map_ = landseg("predict", data / "images/a.tif", "-o", data / "map.tif", "--model", data / "m.safetensors")
    assert map_.exit_code == 0, map_.output


def test_the_resolved_recipe_trains_the_same_model_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    first = train(data, "images", "labels", "--classes", "classes.toml", "--set", "augment.haze=0.5")
    assert card_of(first, data)
    away = data.parent / "away"
    away.mkdir(exist_ok=True)
    monkeypatch.chdir(away)
    again = landseg("train", data / "m.run/train.toml", "-o", away / "n.safetensors", "--data", data)
    card = card_of(again, away, "n.safetensors")
    assert card.training == load_model(data / "m.safetensors").card.training
    one, two = (load_model(path).network.state_dict() for path in (data / "m.safetensors", away / "n.safetensors"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = landseg(
        *("train", data / "m.run/train.toml", "-o", away / "o.safetensors", "--data", data, "--seed", "1")
    )
    assert other.exit_code == 0, other.output
    three = load_model(away / "o.safetensors").network.state_dict()
    assert not all(torch.equal(one[name], three[name]) for name in one)  # the twin: another seed is another model


@pytest.mark.parametrize(
    ("ending", "suffix"), [("_labels.png", ".tif"), ("-mask.tif", ".tif"), ("-mask.png", ".png"), (".png", ".jpg")]
)
def test_labels_are_paired_by_stem_with_and_without_georeference(tmp_path: Path, ending: str, suffix: str) -> None:
    scenes(tmp_path, 2, ending=ending, suffix=suffix)
    result = train(tmp_path, tmp_path / "images", tmp_path / "labels", "--classes", tmp_path / "classes.toml")
    card = card_of(result, tmp_path)
    assert [band.name for band in card.bands] == ["red", "green", "blue"]
    assert card.trained_at_m == (() if suffix != ".tif" else (0.5,))
    assert (card.usable_resolution_m is None) == (suffix != ".tif"), "nobody says how large its pixels are"
    assert len(list((tmp_path / "m.run/kept").glob("*.tif"))) == 1


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_polygons_of_one_class_and_a_background(data: Path, crs: str) -> None:
    drawn = write_polygons(data / "roofs.gpkg", crs=crs)
    card = card_of(train(data, data / "images", drawn, "--background", "land"), data)
    assert card.classes.names == ("roofs", "land") and card.classes.values == (1, 2)
    assert card.metrics is not None
    share = card.metrics.overall["commonest_class_accuracy"]
    assert share == pytest.approx(1 - EDGE / 64, abs=0.02)  # what the polygons cover, in either CRS


def test_polygons_with_a_column_of_classes(data: Path) -> None:
    drawn = write_polygons(data / "drawn.geojson", kind="bright")
    card = card_of(train(data, data / "images", drawn, "--class-field", "kind", "--background", "dark"), data)
    assert card.classes.names == ("bright", "dark")
    source = tomllib.loads((data / "m.run/train.toml").read_text())["sources"][0]
    assert (source["polygons"], source["class_field"], source["background"]) == (str(drawn), "kind", "dark")


def test_a_list_of_images_labels_and_parts(data: Path) -> None:
    parts = {"a": "train", "b": "val", "c": "train"}
    rows = [f"images/{name}.tif,labels/{name}_labels.tif,{part}" for name, part in parts.items()]
    (data / "list.csv").write_text("\n".join(["image,labels,split", *rows]))
    result = train(data, data / "list.csv", "--classes", data / "classes.toml", "--json")
    assert card_of(result, data) and json.loads(result.stdout)["kept_out"] == 1
    assert [path.name for path in (data / "m.run/kept").glob("*.tif")] == ["b.tif"]


def test_classes_named_by_palette_or_category(data: Path) -> None:
    for name in "abc":
        path = data / f"labels/{name}_labels.tif"
        path.unlink()
        write(path, labels(), at=place("abc".index(name)), colors={4: (10, 10, 10, 255), 6: (250, 0, 0, 255)})
    card = card_of(train(data, data / "images", data / "labels"), data)
    assert card.classes.names == ("4", "6") and card.classes.classes[1].color == (250, 0, 0)
    for name in "abc":
        with rasterio.open(data / f"labels/{name}_labels.tif", "r+") as raster:
            raster.update_tags(ns="", LANDSEG="x")
        (data / f"labels/{name}_labels.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category/><Category/><Category/>'
            "<Category>shade</Category><Category/><Category>light</Category></CategoryNames></PAMRasterBand></PAMDataset>"
        )
    card = card_of(train(data, data / "images", data / "labels", "--overwrite"), data)
    assert card.classes.names == ("shade", "light")


def test_ignored_values_are_not_learned(data: Path) -> None:
    for number, name in enumerate("abc"):
        made = labels()
        made[:, :8] = 9
        write(data / f"labels/{name}_labels.tif", made, at=place(number))
    named = (data / "images", data / "labels", "--classes", data / "classes.toml")
    refused = train(data, *named)
    assert refused.exit_code == 1 and "values without a class: 9 (" in refused.stderr
    card = card_of(train(data, *named, "--ignore", 9), data)
    assert card.classes.ignore == (0, 9) and card.metrics is not None
    known = 64 - 8
    assert card.metrics.overall["commonest_class_accuracy"] == pytest.approx((64 - EDGE) / known)


def test_partial_labels(data: Path) -> None:
    drawn = write_polygons(data / "drawn.gpkg", kind="bright")
    (data / "split.toml").write_text("[split]\nshare = 0.4\n")
    named = (data / "images", drawn, "--class-field", "kind", "--classes", data / "classes.toml")
    result = train(data, *named, "--partial", "others", "--config", data / "split.toml")
    assert card_of(result, data).classes.names == ("dark", "bright")
    assert read_recipe(data / "m.run/train.toml").sources[0].partial == "others"


def test_going_on_from_a_model_of_other_classes(data: Path) -> None:
    named = (data / "images", data / "labels", "--classes")
    assert train(data, *named, data / "classes.toml").exit_code == 0
    (data / "others.toml").write_text(
        '[[classes]]\nvalue = 6\nname = "bright"\n[[classes]]\nvalue = 4\nname = "soot"\n'
    )
    result = train(data, *named, data / "others.toml", "--init", data / "m.safetensors", output="n.safetensors")
    card = card_of(result, data, "n.safetensors")
    assert "classes taken: bright; new: soot; of the model's left behind: dark" in result.stderr
    assert "bands taken: red, green, blue" in result.stderr
    assert card.training is not None and card.training.started_from == "m.safetensors"


def test_going_on_from_classes_by_another_name(data: Path) -> None:
    named = (data / "images", data / "labels", "--classes")
    assert train(data, *named, data / "classes.toml").exit_code == 0
    rows = '[[classes]]\nvalue = 6\nname = "{}"\n[[classes]]\nvalue = 4\nname = "{}"\n'
    (data / "others.toml").write_text(rows.format("Brights", "soot"))
    more = (data / "others.toml", "--init", data / "m.safetensors", "--map-classes", "dark=soot")
    result = train(data, *named, *more, output="n.safetensors")
    assert card_of(result, data, "n.safetensors")
    assert "classes looked for: Brights, soot; the model has bright, dark" in result.stderr
    assert (
        "classes taken: Brights (the model's bright, in another spelling or number), soot (the model's dark, as you "
        "said)\n" in result.stderr
    )
    recipe = read_recipe(data / "n.run/train.toml")
    assert recipe.map_classes == {"dark": "soot"}


def test_options_stand_in_a_file_and_give_way_to_those_of_the_command(data: Path) -> None:
    (data / "my.toml").write_text(
        '[about]\nlicence = "CC0-1.0"\n[fit]\nminutes = 90\noptimizer = "sgd"\nlearning_rate = 0.5\n'
        "[sampling]\ncrop = 16\nbalanced = 1.0\n[loss.terms]\nsoftmax = 1\ndice = 0.5\n[split]\nshare = 0.5\n"
    )
    result = train(
        *(data, data / "images", data / "labels", "--classes", data / "classes.toml", "--config", data / "my.toml"),
        *("--learning-rate", "0.01", "--set", "split.seed=3", "--set", "loss.terms={softmax=1, lovasz=2}"),
    )
    card = card_of(result, data)
    recipe = read_recipe(data / "m.run/train.toml")
    assert (recipe.fit.optimizer, recipe.fit.learning_rate, recipe.fit.steps) == ("sgd", 0.01, 1)
    assert (recipe.sampling.crop, recipe.sampling.balanced) == (32, 1.0)
    assert recipe.loss.terms == {"softmax": 1, "lovasz": 2} and card.licence == "CC0-1.0"
    assert recipe.split is not None and (recipe.split.by, recipe.split.seed, recipe.split.crop) == ("file", 3, 32)


def test_one_raster_is_split_by_blocks(tmp_path: Path) -> None:
    whole, known = (np.tile(array, (2, 3)) for array in (image(), labels()))
    write(tmp_path / "a.tif", whole, at=place(0))
    write(tmp_path / "a_labels.tif", known, at=place(0))
    (tmp_path / "classes.toml").write_text("[[classes]]\nvalue=4\nname='dark'\n[[classes]]\nvalue=6\nname='bright'\n")
    named = (tmp_path / "a.tif", tmp_path / "a_labels.tif", "--classes", tmp_path / "classes.toml")
    for extra in (("--split", "block"), ("--overwrite",)):  # a single raster is split so by default
        result = train(tmp_path, *named, "--share", "0.3", *extra)
        card = card_of(result, tmp_path)
        assert card.metrics is not None and "split by block" in card.metrics.measured_on
    with rasterio.open(tmp_path / "m.run/kept/a.tif") as raster:
        assert raster.shape == known.shape


def test_nothing_is_kept_out_on_request(data: Path) -> None:
    named = (data / "images", data / "labels", "--classes", data / "classes.toml")
    result = train(data, *named, "--split", "none")
    assert card_of(result, data).metrics is None and "no scenes were kept out" in result.stdout
    assert read_recipe(data / "m.run/train.toml").split is None and not (data / "m.run/kept").exists()


def test_scenes_kept_out_by_name(data: Path) -> None:
    named = (data / "images", data / "labels", "--classes", data / "classes.toml")
    result = train(data, *named, "--keep-out", "[ab]")
    card = card_of(result, data)
    assert card.metrics is not None and card.metrics.measured_on == "2 scenes kept out of training: [ab]"
    assert sorted(path.name for path in (data / "m.run/kept").glob("*.tif")) == ["a.tif", "b.tif"]
    assert card.training is not None and "split" not in card.training.options  # it was not used


def test_four_bands_of_sixteen_bits(tmp_path: Path) -> None:
    scenes(tmp_path, 2)
    for number, name in enumerate("ab"):
        write(tmp_path / f"images/{name}.tif", image(number, bands=4, dtype="uint16"), at=place(number))
    named = (tmp_path / "images", tmp_path / "labels", "--classes", tmp_path / "classes.toml")
    card = card_of(train(tmp_path, *named), tmp_path)
    both = np.stack([image(number, bands=4, dtype="uint16") for number in range(2)]).astype(float)
    assert card.dtypes == ("uint16",) and len(card.bands) == 4
    assert [band.mean for band in card.bands] == pytest.approx(both.mean(axis=(0, 2, 3)).tolist(), rel=1e-3)
    assert [band.std for band in card.bands] == pytest.approx(both.std(axis=(0, 2, 3)).tolist(), rel=1e-3)
    arguments = ("-o", tmp_path / "map.tif", "--model", tmp_path / "m.safetensors")
    made = landseg("predict", tmp_path / "images/a.tif", *arguments)
    assert made.exit_code == 0, made.output


@pytest.mark.slow
def test_buildings_that_ship(sample_tiles: Path, tmp_path: Path) -> None:
    tiles, drawn = sample_tiles / "buildings/tiles", sample_tiles / "buildings/buildings.gpkg"
    named = (tiles, drawn, "--background", "land")
    result = train(tmp_path, *named, "--resolution", "0.5", "--crop", "128", "--steps", "6")
    card = card_of(result, tmp_path)
    assert card.classes.names == ("buildings", "land") and card.resolution_m == 0.5
    assert card.metrics is not None and "6 scenes to learn from, 2 kept out" in result.stderr
    kept = sorted((tmp_path / "m.run/kept").glob("*.tif"))
    assert len(kept) == 2
    with rasterio.open(kept[0]) as made, rasterio.open(tiles / kept[0].name) as source:
        assert made.crs == source.crs
        assert transform_bounds(made.crs, source.crs, *made.bounds) == pytest.approx(tuple(source.bounds), abs=0.6)
