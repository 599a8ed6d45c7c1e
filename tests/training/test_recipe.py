"""Recipes: what is written is read back, and every entry is checked against its type."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.classes import ClassMap
from landseg.dense.hard_pixels import HardOptions
from landseg.dense.losses import LOSSES
from landseg.dense.objective import LossOptions
from landseg.errors import LandsegError, TrainingError
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.split import SplitOptions
from landseg.training.augment import AugmentOptions
from landseg.training.fit_options import FitOptions
from landseg.training.overrides import Overrides
from landseg.training.recipe import BandSpec, Recipe, read_recipe, read_table, recipe_of
from landseg.training.recipe_from_files import DataFiles
from landseg.training.sampler import SamplingOptions
from tests.parts.labelled import image, place, write, write_scenes

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ClassMap.from_json({"classes": [{"value": 1, "name": "a"}, {"value": 2, "name": "b"}], "ignore": [0]})

numbers = st.floats(0.001, 100)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
names = texts.filter(str.strip)
fits = st.builds(
    FitOptions,
    minutes=numbers, steps=st.none() | st.integers(1, 99), epochs=st.none() | numbers, accumulate=st.integers(1, 4),
    optimizer=st.sampled_from(["adamw", "sgd"]), keep=st.sampled_from(["last", "best"]), seed=st.integers(0, 9),
    patience=st.none() | st.integers(1, 9), workers=st.none() | st.integers(0, 4),
)  # fmt: skip
samplings = st.builds(
    SamplingOptions,
    crop=st.integers(16, 512), scale=numbers.map(lambda low: (low, 2 * low)), resolution_m=st.none() | numbers,
    skip_corrupt=st.booleans(),
)  # fmt: skip
losses = st.one_of(
    st.builds(
        LossOptions,
        terms=st.dictionaries(st.sampled_from(sorted(LOSSES)), numbers, min_size=1),
        balanced=st.booleans(), gamma=numbers,
    ),
    st.builds(LossOptions, hard=st.builds(HardOptions, share=st.floats(0.1, 1))),
)  # fmt: skip
ways = st.sampled_from(["file", "random", "column"])
splits = st.none() | st.builds(SplitOptions, by=ways, crop=st.integers(8, 99),
                               group=st.none() | texts)  # fmt: skip
bands = st.builds(BandSpec, name=names, mean=numbers, std=numbers, common_name=st.none() | names)
sources = st.one_of(
    st.builds(SourceSpec, images=names | st.lists(names, min_size=1).map(tuple), name=names, credit=texts,
              labels=st.none() | names, bands=st.none() | st.just((3, 1)), weight=numbers,
              values=st.none() | st.just({"1": "a", "7": "not b"})),
    st.builds(SourceSpec, images=names, ndvi=st.just((0.0, 0.2)), partial_class=st.just("a")),
    st.builds(SourceSpec, images=names, polygons=names, all_touched=st.booleans(),
              background=st.sampled_from([None, "a"])),
)  # fmt: skip
recipes = st.builds(
    Recipe,
    name=texts, description=texts, arch=st.just("fcn32s"), encoder=st.just("resnet18"),
    encoder_weights=st.sampled_from([None, "imagenet", "w.pt"]), init=st.none() | st.just("m.safetensors"),
    options=st.sampled_from([{}, {"output_stride": 16}, {"rates": (6, 12), "image_pooling": True}]),
    classes=st.just(CLASSES), bands=st.lists(bands, min_size=1, max_size=3).map(tuple),
    sources=st.lists(sources, min_size=1, max_size=3).map(tuple), fit=fits, sampling=samplings, loss=losses,
    augment=st.builds(AugmentOptions, flips=st.booleans(), haze=st.floats(0, 1)), split=splits,
    dtypes=st.just(("uint16",)), trained_at_m=st.lists(numbers).map(tuple),
)  # fmt: skip


def check_round_trip(recipe: Recipe, path: Path) -> None:
    assert recipe_of(recipe.table(), recipe.folder) == recipe
    recipe.write(path)
    assert replace(read_recipe(path), folder=recipe.folder) == recipe


@given(recipe=recipes)
@settings(max_examples=25)
def test_what_is_written_is_read_back(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_round_trip(recipe, tmp_path_factory.getbasetemp() / "train.toml")


def test_the_shipped_recipe_is_read_back(tmp_path: Path) -> None:
    check_round_trip(read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml"), tmp_path / "train.toml")


@pytest.mark.parametrize("section", ["fit", "sampling", "loss", "split", "model"])
def test_twin_a_table_that_loses_a_section_is_noticed(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(
        read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml"),
        encoder="resnet18", sampling=SamplingOptions(crop=77), loss=LossOptions({"dice": 1}), split=SplitOptions(),
    )  # fmt: skip
    whole = Recipe.table
    monkeypatch.setattr(Recipe, "table", lambda one: {k: v for k, v in whole(one).items() if k != section})
    with pytest.raises(AssertionError):
        check_round_trip(recipe, tmp_path / "train.toml")


@pytest.mark.parametrize("section", ["fit", "sampling", "augment", "split", "loss"])
def test_every_entry_of_every_section_is_checked(section: str) -> None:
    table = read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml").table()
    kind: Any = {
        "fit": FitOptions, "sampling": SamplingOptions, "augment": AugmentOptions, "split": SplitOptions,
        "loss": LossOptions,
    }[section]  # fmt: skip
    for field in fields(kind):
        for wrong in ([{}], {"x": []}, [[1]]):
            changed = {**table, section: {**table.get(section, {}), field.name: wrong}}
            with pytest.raises(TrainingError, match=rf"\[{section}\]: {field.name}"):
                recipe_of(changed, Path())


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({}, "incomplete: it needs images"),
        ({"images": []}, "names no images"),
        ({"images": ""}, "names no images"),
        ({"images": [3]}, "images is a text or a list, each a text, got [3]"),
        ({"images": "x", "weight": 0}, "weight is above 0"),
        ({"images": "x", "zoom": [2, 1]}, "zoom a range"),
        ({"images": "x", "zoom": [0, 1]}, "zoom a range"),
        ({"images": "x", "bands": [0]}, "bands count from 1"),
        ({"images": "x", "labels": "y", "polygons": "z"}, "needs one of labels, polygons"),
        ({"images": "x", "ndvi": [0, 1]}, "an index tells one class"),
        ({"images": "x", "labels": "y", "background": "a"}, "go with polygons; name the file"),
        ({"images": "x", "labels": "y", "partial": "some"}, 'partial is one of "unknown", "others" or nothing'),
        ({"images": "x", "labels": "y", "partial_class": "a"}, "goes with polygons of one class or an index"),
        ({"images": "x", "labels": "y", "values": {"1": 3}}, "values is a table of values, each a text"),
    ],
)
def test_sources_that_mean_nothing(source: dict[str, Any], part: str) -> None:
    table = {**read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml").table(), "sources": [source]}
    with pytest.raises(TrainingError) as told:
        recipe_of(table, Path(), where="x.toml")
    assert part.removesuffix(" or nothing") in str(told.value)


def test_a_source_is_called_as_its_images_are() -> None:
    assert [SourceSpec(text).name for text in ("a/b/*.tif", "scenes/", "x.csv")] == ["*.tif", "scenes", "x.csv"]
    assert SourceSpec(("a/east", "a/west")).name == "east" and SourceSpec("x").paths == ("x",)


# --- what the command line says, over what files say -------------------------------------------------------------


def test_one_budget_takes_the_place_of_another() -> None:
    table = {"fit": {"minutes": 5, "epochs": 2, "clip": 1.0}, "split": {"by": "file", "share": 0.5}}
    assert Overrides(fit={"steps": 3, "seed": None}).over(table)["fit"] == {"steps": 3, "clip": 1.0}
    assert Overrides(fit={"seed": 3}).over(table)["fit"] == {"minutes": 5, "epochs": 2, "clip": 1.0, "seed": 3}
    assert "split" not in Overrides(split={"by": "none", "share": 0.3}).over(table)
    assert Overrides(split={"share": 0.3}).over(table)["split"] == {"by": "file", "share": 0.3}
    assert table == {"fit": {"minutes": 5, "epochs": 2, "clip": 1.0}, "split": {"by": "file", "share": 0.5}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("fit.clip=0", 0), ("fit.clip = 0.5", 0.5), ("fit.optimizer=sgd", "sgd"), ('fit.optimizer="sgd"', "sgd"),
        ("augment.flips=false", False), ("sampling.scale=[0.5, 2]", (0.5, 2)), 
        ("split.aoi=east/area.gpkg", "east/area.gpkg"),
        ("loss.terms={softmax=1, dice=2}", {"softmax": 1, "dice": 2}),
    ],
)  # fmt: skip
def test_any_entry_can_be_set(text: str, value: Any) -> None:
    place_, _, _ = text.partition("=")
    section, _, key = place_.strip().partition(".")
    assert Overrides(more=(text,)).over({})[section] == {key: value}


def plain(folder: Path, **keywords: Any) -> DataFiles:
    write_scenes(folder, 2)
    given: dict[str, Any] = {"labels": ("labels",), "classes": folder / "classes.toml", "folder": folder}
    return DataFiles(("images",), **{**given, **keywords})


def test_what_is_not_said_is_read_off_the_files(tmp_path: Path) -> None:
    data = plain(tmp_path)
    recipe = Overrides().recipe(data, None, name="m")
    assert (recipe.name, recipe.arch, recipe.dtypes, recipe.trained_at_m) == (
        "m", "deeplab-v3plus", ("uint8",), (0.5,)
    )  # fmt: skip
    assert [band.common_name for band in recipe.bands] == ["red", "green", "blue"]
    assert recipe.split == SplitOptions(by="file", crop=recipe.sampling.crop)
    assert recipe.sources[0].images == ("images",) and recipe.sources[0].labels == ("labels",)
    assert Overrides(split={"by": "none"}).recipe(data, None, name="m").split is None
    (tmp_path / "my.toml").write_text('[about]\nname = "own"\n[split]\nshare = 0.4\n')
    recipe = Overrides().recipe(data, tmp_path / "my.toml", name="m")
    assert recipe.name == "own" and recipe.split == SplitOptions(by="file", share=0.4, crop=384)


@pytest.mark.parametrize(
    ("descriptions", "found"),
    [
        (("B4", "Red", "nir", "B4"), [("B4", None), ("Red", "red"), ("nir", "nir"), ("B4 4", None)]),
        (("", "", "", ""), [("band 1", None), ("band 2", None), ("band 3", None), ("band 4", None)]),
    ],
)
def test_bands_are_called_as_the_file_calls_them(
    tmp_path: Path, descriptions: tuple[str, ...], found: list[tuple[str, str | None]]
) -> None:
    import rasterio

    data = plain(tmp_path)
    for number, name in enumerate("ab"):
        path = write(tmp_path / f"images/{name}.tif", image(number, bands=4, dtype="uint16"), at=place(number))
        with rasterio.open(path, "r+") as raster:
            raster.descriptions = descriptions
    recipe = Overrides().recipe(data, None, name="m")
    assert [(band.name, band.common_name) for band in recipe.bands] == found
    two = Overrides().recipe(replace(data, bands=(4, 2)), None, name="m")
    assert [band.mean for band in two.bands] == [recipe.bands[3].mean, recipe.bands[1].mean]


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"labels": None}, "2 of 2 images have no labels: "),
        ({"class_field": "x"}, "--class-field: only for labels in a vector file"),
        ({"background": "x", "all_touched": True}, "--background, --all-touched: only for labels in a vector file"),
        ({"classes": None}, "--classes classes.toml"),
        ({"bands": (7,)}, "7"),
    ],
)
def test_plain_data_that_says_too_little(tmp_path: Path, keywords: dict[str, Any], part: str) -> None:
    with pytest.raises(LandsegError) as told:
        Overrides().recipe(plain(tmp_path, **keywords), None, name="m")
    assert part in str(told.value)


def test_tables_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(TrainingError, match="is not valid TOML"):
        read_table(tmp_path / "x.toml")
    recipe = read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml")
    recipe.write(tmp_path / "x.toml")
    assert tomllib.loads((tmp_path / "x.toml").read_text()) == recipe.table() == read_table(tmp_path / "x.toml")
    with pytest.raises(LandsegError, match="cannot write"):
        recipe.write(tmp_path)
