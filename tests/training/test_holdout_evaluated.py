"""The figures of a model's card are those that `evaluate` gives of the scenes that were kept out."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landseg.models import file as bundle
from landseg.models.file import Model, load_model, read_card
from landseg.scenes.scene import Scene
from landseg.training import holdout as kept
from tests.parts.labelled import image, labels, landseg, place, train, write, write_polygons, write_scenes

pytestmark = pytest.mark.usefixtures("quick_disk")
DARK = 20  # columns of the kept-out image without data
CLOUD = 6  # rows of it


def blind(folder: Path) -> None:
    """Scene b, of three, has no data on the left and in a strip above, where its labels go on."""
    write_scenes(folder)
    pixels = image(1)
    pixels[:, :, :DARK] = 0
    pixels[:, :CLOUD] = 0
    write(folder / "images/b.tif", pixels, at=place(1), nodata=0)
    known = labels()
    known[::3, ::2] = 0  # ignored
    write(folder / "labels/b_labels.tif", known, at=place(1))


def facts(*arguments: Any) -> dict[str, Any]:
    result = landseg(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def figures_of_both(folder: Path, truth: tuple[Any, ...], learned: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Figures of the card, and of `evaluate` on what `predict` makes of the kept-out scene."""
    result = train(folder, folder / "images", *learned, "--keep-out", "b", "--json")
    assert result.exit_code == 0, result.output
    card = json.loads(result.stdout)["metrics"]
    made, model = folder / "map.tif", folder / "m.safetensors"
    assert landseg("predict", folder / "images/b.tif", "-o", made, "--model", model).exit_code == 0
    return card, facts("evaluate", made, *truth)


def assert_equal(card: dict[str, Any], found: dict[str, Any]) -> None:
    assert card["overall"]["pixel_accuracy"] == found["pixel_accuracy"]
    assert card["overall"]["mean_iou"] == found["mean_iou"]
    assert card["overall"]["commonest_class_accuracy"] == found["commonest_class_accuracy"]
    for one in found["classes"]:
        for name in ("iou", "precision", "recall"):
            assert card["per_class"][one["name"]][name] == one[name], (one["name"], name)


def as_rasters(folder: Path) -> tuple[dict[str, Any], ...]:
    classes = ("--classes", folder / "classes.toml")
    return figures_of_both(folder, (folder / "labels/b_labels.tif", *classes), (folder / "labels", *classes))


def test_labels_without_imagery_count_alike(tmp_path: Path) -> None:
    blind(tmp_path)
    card, found = as_rasters(tmp_path)
    assert_equal(card, found)
    missed = sum(one["missed"] for one in found["classes"])
    known = labels()
    known[::3, ::2] = 0
    assert missed == int((known[:CLOUD] > 0).sum() + (known[CLOUD:, :DARK] > 0).sum())
    assert card["measured_on"].endswith(f"; {missed:,} labelled pixels without data in their image count as missed")


def test_twin_labels_without_imagery_left_out_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.scenes.scene.ArrayScene.labels", lambda self, rect: self.read(rect)[2])
    blind(tmp_path)
    card, found = as_rasters(tmp_path)
    assert "count as missed" not in card["measured_on"]
    with pytest.raises(AssertionError):
        assert_equal(card, found)


def assert_what_is_written_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights that are measured are those of the file: rounded, as a user gets them."""
    measured = {}

    def measure(model: Model, *rest: Any, **more: Any) -> Any:
        measured.update(model.network.state_dict())
        return kept.measure_holdout(model, *rest, **more)

    monkeypatch.setattr("landseg.training.new_model.measure_holdout", measure)
    result = train(folder, folder / "images", folder / "labels", "--classes", folder / "classes.toml")
    assert result.exit_code == 0, result.output
    stored = load_model(folder / "m.safetensors").network.state_dict()
    assert measured and all(torch.equal(stored[name], tensor) for name, tensor in measured.items())


def test_what_is_written_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path)
    assert_what_is_written_is_measured(tmp_path, monkeypatch)


def test_twin_weights_before_they_were_rounded_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path)
    save = bundle.save_model

    def kept_in_full(path: Path, network: Any, card: Any, **more: Any) -> Any:
        full.append(network)
        return save(path, network, card, **more)

    full: list[Any] = []
    module = import_module("landseg.training.new_model")
    monkeypatch.setattr(module, "save_model", kept_in_full)
    monkeypatch.setattr(module, "load_model", lambda path: Model(full[0], read_card(path), path, ""))
    with pytest.raises(AssertionError):
        assert_what_is_written_is_measured(tmp_path, monkeypatch)


def test_polygons_without_imagery_count_alike(tmp_path: Path) -> None:
    blind(tmp_path)
    drawn = write_polygons(tmp_path / "drawn.gpkg", kind="bright")
    said = ("--class-field", "kind", "--background", "dark")
    card, found = figures_of_both(tmp_path, (drawn, *said), (drawn, *said))
    assert_equal(card, found)
    assert "count as missed" in card["measured_on"]


def test_labels_on_disk_are_read_as_those_in_memory(tmp_path: Path) -> None:
    from landseg.classes import IGNORE_INDEX
    from landseg.geo.grid import Rect
    from landseg.labels.image_lists import Item
    from landseg.labels.legend import read_class_table
    from landseg.scenes.opening import ImageLabelOptions
    from landseg.scenes.views import MaskedScene, in_memory
    from tests.parts.opened import open_items

    blind(tmp_path)
    items = [Item(tmp_path / "images/b.tif", tmp_path / "labels/b_labels.tif")]
    disk = open_items(items, ImageLabelOptions(read_class_table(tmp_path / "classes.toml")))[0]
    rect = Rect(2, 3, 30, 40)
    left = MaskedScene(disk[0], lambda rect: np.broadcast_to(np.arange(rect.left, rect.right) < 9, rect.shape))
    every: list[Scene] = [disk[0], *in_memory(disk, 99)]
    assert np.array_equal(every[0].labels(rect), every[1].labels(rect))
    assert not np.array_equal(every[0].labels(rect), every[0].read(rect)[2])
    assert (left.labels(rect)[:, 6:] == IGNORE_INDEX).all()
    assert np.array_equal(left.labels(rect)[:, :6], every[0].labels(rect)[:, :6])
