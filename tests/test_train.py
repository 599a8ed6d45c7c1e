"""`landseg train` on scenes of two materials: a model file with an honest card, and sentences for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from shapely.geometry import box
from typer.testing import CliRunner

import landseg.scenes.targets
from landseg.classes import IGNORE_INDEX
from landseg.errors import GridError, LandsegError, OutputError, TrainingError
from landseg.geo.grid import Rect
from landseg.models.card import Metrics
from landseg.models.file import load_model
from landseg.scenes.targets import IndexTargets
from landseg.train import train
from landseg.training.holdout import of_no_use
from landseg.training.recipe import read_recipe
from landseg.training.run_folder import clear
from landseg.training.sources import _white, load_scenes
from tests.parts.places import HALF_METRE, UTM
from tests.parts.small_runs import RECIPE

pytestmark = pytest.mark.usefixtures("quick_disk")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def data(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Two scenes labelled by raster, one by a polygon, a recipe beside them."""
    for folder in ("scenes", "labels", "more"):
        (tmp_path / folder).mkdir()
    image = np.full((64, 96), 30, np.uint8)
    image[:, 48:] = 220
    labels = np.where(image > 100, 6, 4).astype(np.uint8)
    labels[0] = 0
    for name in ("a", "b"):
        write_raster(image, f"scenes/{name}.tif")
        write_raster(labels, f"labels/{name}_labels.tif")
    write_raster(image, "more/c.tif")
    left, top = HALF_METRE @ (48, 0)
    right, bottom = HALF_METRE @ (96, 64)
    geopandas.GeoDataFrame(geometry=[box(left, bottom, right, top)], crs=UTM).to_file(tmp_path / "bright.gpkg")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def test_scenes_carry_labels_from_rasters_and_partial_labels_from_polygons(data: Path) -> None:
    scenes, sets = load_scenes(read_recipe(data / "recipe.toml"), data)
    assert [s.name for s in scenes] == ["a", "b", "c"]
    assert np.unique(scenes[0].target).tolist() == [0, 1, IGNORE_INDEX]
    # 2: bright, said by a source that knows no other class; 3: anything but bright.
    assert np.unique(scenes[2].target[:, :48]).tolist() == [3] and np.unique(scenes[2].target[:, 48:]) == [2]
    assert sets.allowed.tolist() == [[True, False], [False, True], [False, True], [True, False]]


def test_polygons_may_name_their_class_and_say_nothing_of_the_rest(data: Path) -> None:
    left, top = HALF_METRE @ (0, 0)
    right, bottom = HALF_METRE @ (10, 20)
    samples = geopandas.GeoDataFrame({"kind": ["dark"]}, geometry=[box(left, bottom, right, top)], crs=UTM)
    (data / "beside").mkdir()
    samples.to_file(data / "beside" / "samples.gpkg")  # found beside the recipe as well as below the data
    _with('partial_class = "bright"', 'class_field = "kind"')(data)
    _with('polygons = "bright.gpkg"', 'polygons = "samples.gpkg"')(data)
    recipe = (data / "recipe.toml").rename(data / "beside" / "recipe.toml")
    target = load_scenes(read_recipe(recipe), data)[0][2].target
    assert (target[:20, :10] == 0).all() and (target[20:] == IGNORE_INDEX).all()
    assert (target[:, 10:] == IGNORE_INDEX).all()


def test_sources_of_the_same_images_make_one_scene(data: Path) -> None:
    text = (data / "recipe.toml").read_text()
    first = '[[sources]]\nname = "samples"\nlicence = "CC0-1.0"\ncredit = "us"\nimages = "more/*.tif"\n'
    first += 'polygons = "samples.gpkg"\nclass_field = "kind"\n'
    at = text.index("[[sources]]\n", text.index("[[sources]]") + 1)
    (data / "recipe.toml").write_text(text[:at] + first + text[at:])
    corners = (*(HALF_METRE @ (40, 20)), *(HALF_METRE @ (60, 0)))
    geopandas.GeoDataFrame({"kind": ["dark"]}, geometry=[box(*corners)], crs=UTM).to_file(data / "samples.gpkg")
    scenes, sets = load_scenes(read_recipe(data / "recipe.toml"), data)
    assert [s.name for s in scenes] == ["a", "b", "c"]
    target = scenes[2].target
    assert (target[:20, 40:60] == 0).all()  # the first source holds, against "bright" too
    assert (target[:20, 60:] == 1).all() and (target[20:, 48:] == 1).all()  # a full label: other classes are labelled
    assert (target[:, :40] == 2).all() and sets.allowed[2].tolist() == [True, False]  # "not bright"


@pytest.mark.parametrize(
    ("index", "pixels", "expected"),
    [
        ("ndvi", [[60, 60, 60], [0, 0, 0], [0, 0, 0], [120, 50, 64]], [2, 3, IGNORE_INDEX]),
        ("greenness", [[60, 80, 10], [100, 80, 20], [60, 80, 10], [0, 0, 0]], [2, 3, IGNORE_INDEX]),
    ],
)
def test_indices_label_what_is_clear_and_leave_the_rest_unknown(
    index: str, pixels: list[list[int]], expected: list[int], data: Path, write_raster: Callable[..., Path]
) -> None:
    write_raster(np.array(pixels, np.uint8)[:, None], "more/c.tif")
    change = f"{index} = [0.0, 0.1]\nbands = [1, 2, 3, 4]"
    _with('polygons = "bright.gpkg"', change)(data)
    scenes, sets = load_scenes(read_recipe(data / "recipe.toml"), data)
    assert scenes[2].target[0].tolist() == expected
    assert scenes[2].pixels.shape[0] == 1 and sets.allowed[2:].tolist() == [[False, True], [True, False]]


UNITS = [("uint8", 1, None), ("uint16", 40, None), ("float32", 1 / 255, None), ("float64", 0.001, 0.255)]
"""dtype, factor, and scale of an index's imagery: what is 255 in bytes."""


def labelled_by(kind: str, pixels: NDArray[Any], scale: float | None = None) -> list[int]:
    """What an index says of (C, N) pixels: 1 yes, 0 no."""
    index = IndexTargets(kind, (0.1, 0.5), 1, 0, scale)
    return index.read(Rect(0, 0, 1, pixels.shape[1]), pixels[:, None]).ravel().tolist()


@pytest.mark.parametrize(("dtype", "factor", "scale"), [*UNITS, ("uint16", 257, None)])
def test_ndvi_is_the_same_in_every_unit(dtype: str, factor: float, scale: float | None) -> None:
    red_and_infrared = np.array([[50, 5, 60, 0, 10], [40, 40, 100, 0, 25]])
    pixels = (red_and_infrared * factor).astype(dtype)
    assert labelled_by("ndvi", pixels, scale) == [0, 1, 255, 0, 255]  # -.11, .78, .25, nothing at all: 0, .43


def test_ndvi_of_reflectance_by_hand() -> None:
    pixels = np.array([[0.05, 0.3, np.nan, -0.02, 0.0], [0.40, 0.3, 0.2, 0.01, -0.0]], np.float32)
    values = landseg.scenes.targets._ndvi(pixels)
    assert values[:2].tolist() == pytest.approx([0.35 / 0.45, 0.0]) and values[4] == 0
    assert np.isnan(values[2:4]).all()  # no number, and a sum below 0
    assert labelled_by("ndvi", pixels) == [1, 0, 255, 255, 0]
    old = (0.40 - 0.05) / max(0.45, 1)
    assert old == pytest.approx(0.35) and old < 0.5  # twin: divided by at least 1 it is no vegetation


@pytest.mark.parametrize(
    ("dtype", "factor", "scale"), [UNITS[0], ("uint16", 40, 255 * 40), *UNITS[2:], ("uint16", 257, None)]
)
def test_greenness_is_the_same_in_every_unit(dtype: str, factor: float, scale: float | None) -> None:
    of_bytes = np.array([[30, 29, 10, 0, 100], [90, 31, 70, 0, 104], [10, 29, 10, 0, 100]])
    pixels = (of_bytes * factor * (1 + 1e-6 * (np.dtype(dtype).kind == "f"))).astype(dtype)
    assert labelled_by("greenness", pixels, scale) == [1, 255, 1, 255, 0]
    # Twin: an absolute limit of 90 leaves all reflectance unknown.
    assert dtype[0] != "f" or (pixels.sum(0) < 90).all()


def test_a_recipes_bands_say_what_is_white_in_its_imagery(data: Path, write_raster: Callable[..., Path]) -> None:
    dim = np.array([[[0.02, 0.10, 0.01]], [[0.05, 0.11, 0.02]], [[0.01, 0.10, 0.01]]], np.float32)
    write_raster(dim, "more/c.tif")
    sources = '[[sources]]\nimages = "more/*.tif"\ngreenness = [0.1, 0.5]\npartial_class = "bright"\n'
    text = (data / "recipe.toml").read_text()
    head = text[: text.index("[[sources]]")]
    head = head[: head.index("[[bands]]")]
    bands = "".join(f'[[bands]]\nname = "b{n}"\nmean = 0.1\nstd = 0.05\n' for n in range(3))
    (data / "recipe.toml").write_text(head + bands + sources)
    (scene,), _ = load_scenes(read_recipe(data / "recipe.toml"), data)
    assert scene.target[0].tolist() == [2, 3, 255]  # the limit is 30/255 of 0.15, 0.0176 on average


def test_what_is_white_follows_a_declared_offset(data: Path) -> None:
    """Stored numbers that are 1000 too high are as dark as others: white is 1000 lower in values than in them."""
    recipe = read_recipe(data / "recipe.toml")
    band = replace(recipe.bands[0], mean=1600.0, std=400.0)
    assert _white(replace(recipe, bands=(band,))) == 2000
    declared = replace(recipe, bands=(replace(band, scale=0.0001, offset=-0.1),))
    assert _white(declared) == pytest.approx(1000)
    stored = replace(declared, sampling=replace(declared.sampling, stored_values=True))
    assert _white(stored) == 2000


def test_a_run_writes_a_model_whose_card_tells_the_truth(data: Path) -> None:
    output = data / "tones.safetensors"
    lines: list[str] = []
    trained = train(data / "recipe.toml", output, data=data, keep_out=["b"], report=lines.append)
    card = load_model(output).card
    assert (trained.scenes, trained.kept_out) == (2, 1)
    assert card.metrics is not None and card.metrics == trained.metrics
    assert card.metrics.measured_on == "1 scene kept out of training: b"
    assert card.metrics.overall["commonest_class_accuracy"] == pytest.approx(0.5)
    assert card.classes.values == (4, 6) and [b.mean for b in card.bands] == [100.0]
    assert card.training is not None and [s.name for s in card.training.sources] == ["by raster", "by polygon"]
    assert lines[0] == "2 scenes to learn from, 1 kept out"
    recipe = read_recipe(data / "recipe.toml")
    everything = train(
        replace(recipe, fit=replace(recipe.fit, minutes=0.01)),
        data / "all.safetensors",
        data=data,
        metrics_from=output,
        report=lines.append,
    )
    assert everything.metrics == card.metrics and everything.kept_out == 0
    with pytest.raises(OutputError, match="exists: choose another output, or replace it with --overwrite"):
        train(data / "recipe.toml", output, data=data)
    output.unlink()
    with pytest.raises(TrainingError, match="holds an earlier run; pass --resume"):
        train(data / "recipe.toml", output, data=data)


def check_kept(data: Path) -> None:
    """A run whose kept-out scene is gone when it is to be measured leaves its model, and --resume measures it."""
    output, scene = data / "m.safetensors", data / "scenes/b.tif"

    def report(line: str) -> None:
        if line.startswith("predicting") and scene.exists():
            scene.rename(data / "away.tif")

    with pytest.raises(TrainingError, match=r"m\.safetensors is written, but 1 scene kept out.*b\.tif.*--resume"):
        train(data / "recipe.toml", output, data=data, keep_out=["b"], report=report)
    model = load_model(output)
    assert model.card.metrics is None and "1 scene kept out of training: b" in model.card.not_measured
    assert "could not be measured" in model.card.not_measured and "b.tif" in model.card.not_measured
    (data / "away.tif").rename(scene)
    with pytest.raises(OutputError, match="exists: choose another output, or replace it with --overwrite"):
        train(data / "recipe.toml", output, data=data, keep_out=["b"])
    again = train(data / "recipe.toml", output, data=data, keep_out=["b"], resume=True, report=lambda line: None)
    measured = load_model(output)
    assert again.metrics is not None and measured.card.metrics == again.metrics
    assert measured.card == replace(model.card, not_measured="", metrics=again.metrics)
    weights = model.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in measured.network.state_dict().items())
    with pytest.raises(OutputError, match="exists: choose another"):  # a measured model is not replaced unasked
        train(data / "recipe.toml", output, data=data, keep_out=["b"], resume=True)


def test_a_model_that_cannot_be_measured_is_kept(data: Path) -> None:
    check_kept(data)


def test_twin_a_model_written_after_measuring_is_lost(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.training.new_model.save_model", lambda path, *rest, **options: path)
    with pytest.raises(LandsegError, match="no model"):
        check_kept(data)


@pytest.mark.parametrize("fault", [RuntimeError("a\nfault"), GridError("a fault"), MemoryError("a fault")])
def test_whatever_ends_the_measuring_is_a_sentence(
    data: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landseg.cli.main import app

    def failing(*_: Any, **__: Any) -> None:
        card = load_model(data / "o.safetensors").card  # what is there if the process is killed now
        assert card.metrics is None and card.not_measured.endswith("not measured yet")
        raise fault

    monkeypatch.setattr("landseg.training.new_model.measure_holdout", failing)
    arguments = ["train", str(data / "recipe.toml"), "-o", str(data / "o.safetensors"), "--data", str(data)]
    result = CliRunner().invoke(app, [*arguments, "--keep-out", "b", "--time-budget", "1s"])
    assert result.exit_code == 1 and result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("landseg: ") and "a fault" in last and "is written" in last and "fault in" not in last
    said = CliRunner().invoke(app, ["info", str(data / "o.safetensors")])
    assert "measured on   nothing: 1 scene kept out" in said.stdout


def test_a_last_look_that_fails_does_not_cost_the_weights(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("no memory for a picture")

    monkeypatch.setattr("landseg.training.loop.sample_pictures.SamplePictures.save", failing)
    recipe = read_recipe(data / "recipe.toml")
    recipe = replace(recipe, fit=replace(recipe.fit, steps=2, validate_every=5))
    trained = train(recipe, data / "m.safetensors", data=data, keep_out=["b"], report=lambda line: None)
    assert trained.metrics is not None and "no memory for a picture" in caplog.text


class Killed(BaseException):
    """The end of a run that does nothing more."""


def test_a_run_that_starts_over_leaves_nothing_of_the_earlier_one_to_go_on_from(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the new recipe and the new checkpoint, --resume went on from the old run by the new recipe."""
    output, folder = data / "tones.safetensors", data / "tones.run"
    (folder / "kept").mkdir(parents=True)
    for name in ("last.pt", "best.pt", "train.toml", "log.csv", "kept/old.tif"):
        (folder / name).write_text("of the earlier run")

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("landseg.training.loop.learn.fit", killed)
        with pytest.raises(Killed):
            train(data / "recipe.toml", output, data=data, keep_out=["b"], overwrite=True, report=lambda _: None)
    assert [path.name for path in folder.iterdir()] == ["train.toml"]
    assert read_recipe(folder / "train.toml").name == "tones"


def test_an_earlier_runs_checkpoint_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: gone.append(self.name))
    clear(tmp_path)
    assert gone[0] == "last.pt" and {"best.pt", "log.csv"} <= set(gone)


@pytest.mark.parametrize(("name", "says"), [("m.txt", r"use m\.safetensors"), ("no/m.safetensors", "no folder")])
def test_a_name_that_cannot_be_saved_is_refused_before_learning(data: Path, name: str, says: str) -> None:
    before = sorted(data.iterdir())
    with pytest.raises(OutputError, match=says):
        train(data / "recipe.toml", data / name, data=data)
    assert sorted(data.iterdir()) == before


def _without(key: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        text = (data / "recipe.toml").read_text()
        (data / "recipe.toml").write_text("\n".join(line for line in text.splitlines() if not line.startswith(key)))

    return change


def _with(old: str, new: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        text = (data / "recipe.toml").read_text()
        assert old in text
        (data / "recipe.toml").write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: (data / "recipe.toml").unlink(), "recipe.toml cannot be read"),
        (_with("[about]", "[about"), "is not valid TOML"),
        (_without("arch"), "has no entry 'arch'"),
        (_without("images"), "incomplete"),
        (_with("crop = 64", "crops = 64"), r"\[sampling\] has no crops"),
        (_with("ignore = [0]", "ignored = [0]"), "unknown entries: ignored"),
        (_with("scenes/*.tif", "scenes/*.png"), r"scenes/\*\.png: no such file or folder, and no file matches it"),
        (_with("{stem}_labels", "{stem}"), "2 of 2 images have no labels"),
        (_with('partial_class = "bright"', 'partial_class = "shiny"'), "'shiny' names no class"),
        (_with('partial_class = "bright"', 'class_field = "kind"'), "has no column 'kind'"),
        (
            _with('polygons = "bright.gpkg"', 'ndvi = [0, 1]\nclass_field = "kind"'),
            "go with polygons; name the file|goes with polygons of one class",
        ),
        (
            _with('partial_class = "bright"', 'partial_class = "bright"\nclass_field = "k"'),
            "goes with polygons of one class or an index",
        ),
        (_with('polygons = "bright.gpkg"\n', ""), "goes with polygons of one class or an index"),
        (_with("ignore = [0]", "ignore = []"), r"without a class: 0 \(192 px\); expected 4, 6: .*\(ignore = \[0\]"),
        (_with("value = 6", "value = 5"), r"a_labels\.tif, .*b_labels\.tif: values without a class: 6 \(6048 px\)"),
    ],
)
def test_bad_recipes_and_data_get_a_sentence(data: Path, change: Any, message: str) -> None:
    change(data)
    with pytest.raises(LandsegError, match=message):
        load_scenes(read_recipe(data / "recipe.toml"), data)
    assert not list(data.glob("*.safetensors"))


def test_a_kept_out_scene_is_predicted_with_the_bands_of_the_model(
    data: Path, write_raster: Callable[..., Path]
) -> None:
    """Its labels may look at more: here at four, the last of which is near infrared."""
    image = np.full((4, 64, 96), 60, np.uint8)
    image[3, :, 48:] = 200
    write_raster(image, "more/c.tif")
    _with('polygons = "bright.gpkg"', "ndvi = [0.0, 0.1]\nbands = [1, 2, 3, 4]")(data)
    trained = train(data / "recipe.toml", data / "m.safetensors", data=data, keep_out=["c"], report=lambda line: None)
    assert trained.kept_out == 1 and (data / "m.run" / "kept" / "c.tif").exists()


def test_a_run_folder_names_labels_that_lie_beside_its_recipe_in_full(data: Path) -> None:
    (data / "beside").mkdir()
    for name in ("recipe.toml", "bright.gpkg"):
        (data / name).rename(data / "beside" / name)
    recipe = read_recipe(data / "beside" / "recipe.toml")
    train(recipe, data / "m.safetensors", data=data, keep_out=["b"], report=lambda line: None)
    written = read_recipe(data / "m.run" / "train.toml")
    assert written.sources[1].polygons == str(data / "beside" / "bright.gpkg")
    assert len(load_scenes(written, data)[0]) == 3 and recipe.sources[1].polygons == "bright.gpkg"


def test_values_without_a_class_in_kept_out_scenes_are_refused_before_learning(
    data: Path, write_raster: Callable[..., Path]
) -> None:
    write_raster(np.full((64, 96), 77, np.uint8), "labels/b_labels.tif")
    with pytest.raises(LandsegError, match=r"b_labels\.tif: values without a class: 77 \(6144 px\)"):
        train(data / "recipe.toml", data / "m.safetensors", data=data, keep_out=["b"], report=lambda line: None)
    assert not (data / "m.run").exists() and not (data / "m.safetensors").exists()


def test_keep_out_must_match_a_scene(data: Path) -> None:
    with pytest.raises(TrainingError, match="no scene is called like 'z'"):
        train(data / "recipe.toml", data / "o.safetensors", data=data, keep_out=["z"])


def test_the_command_prints_one_json_object(data: Path) -> None:
    from landseg.cli.main import app

    arguments = ["train", str(data / "recipe.toml"), "-o", str(data / "o.safetensors"), "--data", str(data)]
    result = CliRunner().invoke(app, [*arguments, "--keep-out", "b", "--time-budget", "2s", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["kept_out"] == 1
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and again.stdout == "" and "exists: choose another output" in again.stderr


def test_the_shipped_recipe_is_valid() -> None:
    recipe = read_recipe(ROOT / "benchmarks" / "landcover_rgb.toml")
    assert recipe.classes.values == (1, 2, 3, 4, 5) and recipe.classes.nodata == 0


@pytest.mark.parametrize(
    ("accuracy", "commonest", "warned"), [(0.043, 0.678, True), (0.5, 0.5, True), (0.7, 0.678, False)]
)
def test_a_model_that_is_no_better_than_the_commonest_class_is_warned_of(
    accuracy: float, commonest: float, warned: bool
) -> None:
    figures = Metrics("x", {"pixel_accuracy": accuracy, "commonest_class_accuracy": commonest})
    sentence = of_no_use(figures)
    assert (sentence is not None) == warned
    told = f"{100 * accuracy:.1f} % of the pixels are right, and {100 * commonest:.1f} % would"
    assert sentence is None or told in sentence


def test_a_run_that_learned_nothing_warns(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("landseg.training.new_model.measure_holdout", lambda *args, **more: Metrics("x", WORSE))
    train(data / "recipe.toml", data / "m.safetensors", data=data, keep_out=["b"], report=lines.append)
    assert [line for line in lines if line.startswith("warning: the model is of no use yet")]


WORSE = {"mean_iou": 0.02, "pixel_accuracy": 0.043, "commonest_class_accuracy": 0.678}


def test_a_recipe_takes_the_loss_at_units(data: Path) -> None:
    (data / "recipe.toml").write_text(RECIPE.replace("[sampling]", '[loss]\nat = "units"\n[sampling]'))
    recipe = read_recipe(data / "recipe.toml")
    recipe = replace(recipe, fit=replace(recipe.fit, steps=3))
    train(recipe, data / "units.safetensors", data=data, keep_out=["b"], report=lambda _: None)
    pixels = replace(recipe, loss=replace(recipe.loss, at="pixels"))
    train(pixels, data / "pixels.safetensors", data=data, keep_out=["b"], report=lambda _: None)
    units, pixels_ = (load_model(data / f"{name}.safetensors") for name in ("units", "pixels"))
    assert units.card.training is not None and units.card.training.options["loss"]["at"] == "units"
    weights, others = units.network.state_dict(), pixels_.network.state_dict()
    assert weights.keys() == others.keys() and not all(torch.equal(weights[name], others[name]) for name in weights)


def test_where_no_loss_can_be_taken_at_units_a_sentence_says_so(data: Path) -> None:
    before = sorted(data.iterdir())
    with pytest.raises(TrainingError, match=r"needs a network that ends in bilinear .* this UNet does not"):
        train(data / "recipe.toml", data / "m.safetensors", data=data, arch="unet", set={"loss.at": "units"})
    with pytest.raises(TrainingError, match='at is one of "pixels", "units", got "corners"'):
        train(data / "recipe.toml", data / "m.safetensors", data=data, set={"loss.at": "corners"})
    with pytest.raises(TrainingError, match=r"fine labels, and coarse ones .* leave out one"):
        train(data / "recipe.toml", data / "m.safetensors", data=data, coarse="c.tif", set={"loss.at": "units"})
    assert sorted(data.iterdir()) == before
