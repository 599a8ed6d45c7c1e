"""The sizes of pixels that a model is for: in cards old and new, of a training, and in what is said of a raster."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from landseg.classes import IGNORE_INDEX
from landseg.cli.main import app
from landseg.cli.predict import lines as predict_lines
from landseg.errors import GridError, ModelError
from landseg.geo.grid import Grid
from landseg.inference.match import match_raster
from landseg.models import shipped
from landseg.models.card import Band, Card
from landseg.models.compatibility import incompatibility
from landseg.models.read_card import read_card
from landseg.models.usable import better_text, outside_warning
from landseg.predict import predict
from landseg.scenes.scene import ArrayScene
from landseg.training.recipe import read_recipe
from landseg.training.sampler import MARGIN, SamplingOptions, usable_range
from landseg.verify import verify
from tests.parts.predicting import noise, small_model
from tests.parts.sample_models import make_card, save_small_model

Write = Callable[..., Path]
RGB = tuple(Band(name, name, 100.0, 50.0) for name in ("red", "green", "blue"))
UTM33 = "EPSG:32633"
ROOT = Path(__file__).resolve().parents[2]


def card_of(low: float = 0.1, high: float = 2.0, **changes: Any) -> Card:
    whole = {"name": "mine", "bands": RGB, "dtypes": ("uint8",), "resolution_m": None} | changes
    return make_card(usable_resolution_m=(low, high), **whole)


def place(metres: float) -> dict[str, Any]:
    return {"transform": Affine(metres, 0, 500_000, 0, -metres, 5_400_000)}


def test_a_card_says_it_or_not() -> None:
    card = card_of()
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    old = make_card().to_json()
    assert "usable_resolution_m" not in old, "a landseg that does not know it reads the card all the same"
    assert Card.from_json(old).usable_resolution_m is None
    assert Card.from_json({**old, "usable_resolution_m": None}).usable_resolution_m is None


@pytest.mark.parametrize(
    "wrong", [[1.0], [1.0, 2.0, 3.0], [2.0, 1.0], [0.0, 1.0], [1.0, 1e9], ["a", 2.0], 3.0, "0.1-2"]
)
def test_a_range_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelError, match=r"usable_resolution_m|resolutions should be"):
        Card.from_json({**make_card().to_json(), "usable_resolution_m": wrong})


@pytest.mark.parametrize(
    ("pixel_m", "run_m", "said"),
    [
        (0.5, 0.5, ""),
        (2.0, 2.0, ""),
        (2.08, 2.08, ""),  # within a twentieth
        (0.1, 0.1, ""),
        (2.2, 2.2, "its pixels are 2.2 m wide"),
        (0.05, 0.05, "the network runs at 0.05 m a pixel"),
        (0.05, 0.2, ""),  # averaged
        (10.0, 1.0, "its pixels are 10 m wide"),  # made no finer by being resampled
        (0.5, 10.0, "the network runs at 10 m a pixel"),
        (None, None, ""),
    ],
)
def test_outside_is_what_the_network_sees_or_what_the_raster_cannot_show(
    pixel_m: float | None, run_m: float | None, said: str
) -> None:
    found = outside_warning(card_of(), pixel_m=pixel_m, run_m=run_m)
    assert (found or "").startswith(said) and bool(found) == bool(said)
    assert outside_warning(make_card(), pixel_m=pixel_m, run_m=run_m) is None, "a card that does not say so"


def test_the_model_that_ships_for_it_is_named() -> None:
    assert better_text(card_of(), 10) == "landcover-s2 is for 6 to 20 m a pixel: use -m landcover-s2"
    assert better_text(card_of(), 0.5) == "landcover-rgb is for 0.1 to 2 m a pixel: use -m landcover-rgb"
    assert better_text(card_of(name="landcover-s2"), 10) is None, "it is the one that is used"
    assert better_text(card_of(), 30) is None
    assert better_text(replace(read_card("buildings-rgb"), name="houses"), 0.3) == (
        "buildings-rgb is for 0.1 to 0.5 m a pixel: use -m buildings-rgb"
    )
    assert better_text(read_card("buildings-rgb"), 1.0) is None, "none of objects is for it"
    assert better_text(card_of(dtypes=("uint16",)), 10) is None, "it reads no such pixels"
    assert better_text(make_card(), 10) is None, "it reads other bands"
    assert "train a model" in (outside_warning(card_of(), pixel_m=30, run_m=30) or "")
    refused = incompatibility(read_card("landcover-s2"), bands=3, dtype="uint8", resolution_m=0.3)
    assert isinstance(refused, GridError) and "use -m landcover-rgb" in str(refused)


def scene(metres: float | None, **changes: Any) -> ArrayScene:
    grid = None if metres is None else Grid(UTM33, Affine(metres, 0, 5e5, 0, -metres, 0), 4, 4)
    empty = np.full((4, 4), IGNORE_INDEX, np.uint8)
    return ArrayScene("a", np.zeros((3, 4, 4), np.uint8), empty == 255, empty, grid=grid, **changes)


@pytest.mark.parametrize(
    ("scenes", "options", "expected"),
    [
        ([scene(0.5)], {}, (0.5 / MARGIN, 0.5 * MARGIN)),
        ([scene(0.5), scene(0.1)], {}, (0.1 / MARGIN, 0.5 * MARGIN)),
        ([scene(0.5, zoom=(0.5, 2.0))], {}, (0.25 / MARGIN, 1.0 * MARGIN)),
        ([scene(0.5)], {"scale": (0.5, 2.0)}, (0.25 / MARGIN, 1.0 * MARGIN)),
        ([scene(0.5)], {"resolution_m": 2.0}, (2.0 / MARGIN, 2.0 * MARGIN)),
        ([scene(8.0)], {"resolution_m": 2.0}, (2.0 / MARGIN, 8.0 * MARGIN)),
        ([scene(None, stated=4.0)], {}, (4.0 / MARGIN, 4.0 * MARGIN)),
        ([scene(0.5), scene(None)], {}, None),
    ],
)
def test_a_training_says_it_by_what_it_saw(
    scenes: list[ArrayScene], options: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    found = usable_range(scenes, SamplingOptions(**options))
    assert (found is None) == (expected is None)
    assert found is None or expected is None or found == pytest.approx(expected, rel=0.05)


def test_predict_and_verify_say_it_once(write_raster: Write, tmp_path: Path, heard: Sequence[str]) -> None:
    model = small_model(usable_resolution_m=(0.1, 2.0), limitations="Fails on ice.")
    coarse, fine = (write_raster(noise(40, 50), f"{m:g}.tif", **place(m)) for m in (10.0, 0.5))
    made = predict(coarse, tmp_path / "map.tif", model=model, device="cpu")
    (text,) = made.to_json()["warnings"]
    assert "10 m wide" in text and "-m landcover-s2" in text and heard == [f"10.tif: {text}"]
    assert made.limitations == "Fails on ice." and any("Fails on ice." in line for line in predict_lines(made))
    again = predict(coarse, tmp_path / "map.tif", model=model, device="cpu", resume=True)
    assert again.skipped and again.to_json()["warnings"] == [text]
    assert verify(coarse, model=model, size=32, window=32, device="cpu").to_json()["warnings"] == [text]
    heard.clear()  # type: ignore[attr-defined]
    inside = predict(fine, tmp_path / "fine.tif", model=model, device="cpu")
    assert not heard and inside.to_json()["warnings"] == [] and inside.limitations is None
    assert not any("Fails" in line for line in predict_lines(inside))
    outside = predict(fine, tmp_path / "run.tif", model=model, device="cpu", resolution=5.0)
    assert "the network runs at 5 m" in outside.warnings[0]


def test_a_batch_says_it_once(write_raster: Write, tmp_path: Path, heard: Sequence[str]) -> None:
    model = small_model(usable_resolution_m=(0.1, 2.0))
    paths = [write_raster(noise(20, 30), f"{name}.tif", **place(10.0)) for name in "abc"]
    done = predict(paths, f"{tmp_path}/maps/", model=model, device="cpu")
    assert len(heard) == 1 and heard[0].startswith("a.tif: its pixels")
    assert [len(one["warnings"]) for one in done.to_json()["predictions"]] == [1, 1, 1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # from writing the raster
def test_a_raster_that_does_not_say_is_not_warned_of(write_raster: Write) -> None:
    card = replace(small_model().card, usable_resolution_m=(0.1, 2.0))
    unplaced = write_raster(noise(20, 30), crs=None)
    with match_raster(unplaced, card) as matched:
        assert not matched.warnings
    with match_raster(unplaced, card, source_resolution_m=10.0) as matched:
        assert len(matched.warnings) == 1, "its user says so"


def test_info_and_models_show_it(write_raster: Write, tmp_path: Path) -> None:
    def run(*words: str | Path) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split())

    town = write_raster(noise(20, 30), "town.tif", **place(10.0))
    facts = json.loads(run("info", town, "--json"))
    assert facts["model"]["fits"] and len(facts["warnings"]) == 1 and "-m landcover-s2" in facts["warnings"][0]
    assert "its pixels are 10 m wide" in run("info", town)
    assert json.loads(run("info", town, "-m", "landcover-s2", "--json"))["warnings"] == []
    assert "usable for 0.1 to 2 m a pixel" in run("info", "landcover-rgb")
    save_small_model(tmp_path / "old.safetensors")
    assert "usable for not stated" in run("info", tmp_path / "old.safetensors")
    listed = run("models")
    assert "for pixels of 0.1 to 2 m " in listed and "for pixels of 6 to 20 m, brought to 10 m" in listed


@pytest.mark.parametrize("name", shipped.names())
def test_what_ships_says_what_it_is_for(name: str) -> None:
    card = read_card(name)
    assert card.usable_resolution_m is not None
    low, high = card.usable_resolution_m
    assert all(low <= metres <= high for metres in card.trained_at_m)
    said = f"{low:g} to {high:g} m"
    for text in ("README.md", "docs/default-model.md"):
        assert said in " ".join((ROOT / text).read_text().split()), f"{text} and card agree"
    assert f"{high:g} m" in card.limitations
    recipe = read_recipe(ROOT / "benchmarks" / f"{name.replace('-', '_')}.toml")
    for entry in ("description", "limitations", "licence", "trained_at_m", "usable_resolution_m"):
        assert getattr(card, entry) == getattr(recipe, entry), "what is trained anew says the same"
