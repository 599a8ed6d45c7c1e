"""Figures of instances against objects that are counted by hand, and the choice of options against every choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.grouping import group
from landseg.dense.instance_measure import InstanceMeasure
from landseg.dense.instances import ENERGIES, Instances
from landseg.dense.task import Example
from landseg.labels.id_rasters import NODATA

ONE = ClassMap.from_json([{"value": 7, "name": "house", "thing": True}, {"value": 3, "name": "ground"}])
TWO = ClassMap.from_json(
    [
        {"value": 7, "name": "house", "thing": True},
        {"value": 3, "name": "ground"},
        {"value": 9, "name": "tree", "thing": True},
    ]
)
Map = NDArray[Any]


def boxes(shape: tuple[int, int], *places: tuple[int, int, int, int]) -> Map:
    """Return ids (h, w) of boxes (top, left, bottom, right), from 1 on."""
    ids = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(places, start=1):
        ids[top:bottom, left:right] = number
    return ids


def measured(true: Map, found: Map, scores: list[float] | None = None, *, cut: int | None = None) -> InstanceMeasure:
    """Return the measure of two maps of ids, in one piece or in strips of rows."""
    measure = InstanceMeasure(ONE)
    step = cut or len(true)
    for top in range(0, len(true), step):
        part = slice(top, top + step)
        valid = found[part] != NODATA
        layers: dict[str, Any] = {
            "classes": np.where(valid, np.where(found[part] > 0, 7, 3), 0).astype(np.uint8),
            "instances": found[part].astype(np.uint32),
        }
        if scores is not None:
            layers["scores"] = np.array(scores, np.float32)
        labels = {"class": np.where(true[part] > 0, 0, 1).astype(np.uint8), "instance": true[part]}
        measure.update(layers, valid, labels, at=(top, 0))
    return measure


TRUE = boxes((30, 60), (2, 2, 12, 12), (2, 13, 12, 23), (2, 30, 12, 40), (16, 2, 26, 22), (16, 40, 26, 50))
# The first two are one, the third is found, the fourth is split, the fifth is missed; the last is invented.
FOUND = boxes((30, 60), (2, 2, 12, 23), (2, 30, 12, 40), (16, 2, 26, 11), (16, 13, 26, 22), (2, 52, 8, 58))


def test_objects_are_counted_by_what_became_of_them() -> None:
    summary = measured(TRUE, FOUND, [0.9, 0.8, 0.7, 0.6, 0.5]).summary()
    assert summary.note == "5 objects: 1 found, 2 merged, 1 split, 1 missed; of 5 detections 1 invented"
    assert summary.overall["recall"] == summary.overall["precision"] == pytest.approx(1 / 5)
    assert summary.overall["f1"] == pytest.approx(2 / 10)
    assert set(summary.overall) >= {"f1", "ap50", "ap", "precision", "recall", "pq", "mean_iou", "pixel_accuracy"}
    assert set(summary.per_class["house"]) == {"f1", "ap50", "iou"} and set(summary.per_class["ground"]) == {"iou"}


def test_strips_give_the_figures_of_the_whole() -> None:
    whole, strips = (measured(TRUE, FOUND, [0.9, 0.8, 0.7, 0.6, 0.5], cut=cut).figures() for cut in (None, 7))
    assert whole == strips


def test_scores_rank_what_was_found() -> None:
    right_first = measured(TRUE, FOUND, [0.1, 0.9, 0.8, 0.1, 0.1]).figures()
    wrong_first = measured(TRUE, FOUND, [0.9, 0.1, 0.1, 0.9, 0.9]).figures()
    assert right_first["ap50"] > wrong_first["ap50"] and right_first["f1"] == wrong_first["f1"]


def test_unknown_pixels_and_those_without_data_do_not_count() -> None:
    true, found = TRUE.copy(), FOUND.astype(np.int64)
    true[2:12, 30:40] = -1
    found[16:26, 40:50] = NODATA
    summary = measured(true, found).summary()
    assert summary.note.startswith("3 objects: ") and "of 4 detections 1 invented" in summary.note


def test_twin_unknown_pixels_taken_as_background_count_one_more() -> None:
    true = TRUE.copy()
    true[2:12, 30:40] = 0
    assert "of 5 detections 2 invented" in measured(true, FOUND).summary().note


def test_classes_of_things_are_measured_apart() -> None:
    ids = boxes((20, 40), (2, 2, 12, 12), (2, 20, 12, 30))
    kinds = np.where(ids == 1, 0, np.where(ids == 2, 2, 1)).astype(np.uint8)
    measure = InstanceMeasure(TWO)
    other = TWO.to_values(np.where(ids == 2, 0, kinds).astype(np.uint8))  # the tree is called a house
    labels = {"class": kinds, "instance": ids}
    measure.update({"classes": other, "instances": ids.astype(np.uint32)}, ids >= 0, labels)
    summary = measure.summary()
    assert summary.per_class["house"]["f1"] == pytest.approx(2 / 3) and summary.per_class["tree"]["f1"] == 0
    assert summary.overall["f1"] == pytest.approx(1 / 3)


def test_without_any_object_figures_mean_nothing() -> None:
    nothing = np.zeros((9, 9), np.int32)
    figures = measured(nothing, nothing).figures()
    assert np.isnan(figures["f1"]) and figures["pixel_accuracy"] == 1


def output_of(seed: int) -> Example:
    """Return an example whose interior has two hills in some houses, and specks beside them."""
    rng = np.random.default_rng(seed)
    true = boxes((60, 60), (2, 2, 20, 20), (2, 22, 20, 40), (30, 2, 48, 30), (30, 34, 50, 54))
    inside = np.where(true > 0, 2.0, -6.0)
    inside[:, 10:12] -= 3 * (true[:, 10:12] > 0)
    inside += rng.normal(0, 0.3, inside.shape)
    specks = rng.random(true.shape) > 0.99
    logits = np.where((true > 0) | specks, 2.0, -2.0)
    output = np.stack([logits, -logits, inside, np.full(inside.shape, -3.0)]).astype(np.float32)
    labels = {"class": np.where(true > 0, 0, 1).astype(np.uint8), "instance": true}
    return Example(output, np.ones(true.shape, bool), labels, 0.25)


def f1_of(task: Instances, example: Example, values: dict[str, Any]) -> float:
    """Return F1 of an example grouped with options, as it is measured after training."""
    things = task.classes.things
    least = values["min_area_m2"] / 0.25
    maps = task.maps(example.output, example.valid, energy=values["energy"])
    ids, found = group(maps, things, rise=values["rise"], least_score=values["score"], least_pixels=least)
    measure = InstanceMeasure(task.classes)
    layers = {"classes": task.classes.to_values(maps.classes), "instances": ids, "scores": found.score}
    measure.update(layers, example.valid, example.labels)
    return measure.figures()["f1"]


def test_the_choice_has_the_best_f1_of_what_was_tried() -> None:
    task, example = Instances(ONE, {}), output_of(0)
    chosen, line = task.choose_options({}, lambda: [example])
    values = dict(chosen)
    best = f1_of(task, example, values)
    assert f"F1 {best:.3f} on 4 objects" in line
    usual = f1_of(task, example, {"energy": "interior", "rise": 0.3, "score": 0.0, "min_area_m2": 0.0})
    tried = [f1_of(task, example, values | {"rise": rise}) for rise in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)]
    tried += [f1_of(task, example, values | {"energy": energy}) for energy in ENERGIES]
    assert best == max(tried) > usual  # and the usual ones are not the best


def test_the_energy_is_the_one_that_tells_objects_apart() -> None:
    true = boxes((30, 50), (2, 2, 20, 20), (2, 20, 20, 40))
    wall = np.broadcast_to(np.isin(np.arange(50), (19, 20)), true.shape)
    logits = np.where(true > 0, 2.0, -2.0)
    flat = np.full(true.shape, 2.0)  # an interior that shows nothing
    output = np.stack([logits, -logits, flat, np.where(wall, 6.0, -6.0)]).astype(np.float32)
    labels = {"class": np.where(true > 0, 0, 1).astype(np.uint8), "instance": true}
    told = Example(output, np.ones(true.shape, bool), labels, 0.25)
    chosen, line = Instances(ONE, {}).choose_options({}, lambda: [told])
    assert chosen["energy"] == "boundary" and line.startswith("energy = boundary, rise = ")
    fixed, _ = Instances(ONE, {"energy": "interior"}).choose_options({"energy": "interior"}, lambda: [told])
    assert "energy" not in fixed
    assert f1_of(Instances(ONE, {}), told, dict(chosen)) > f1_of(
        Instances(ONE, {}), told, {**fixed, "energy": "interior"}
    )


def test_the_network_runs_once_for_all_energies() -> None:
    calls = []

    def examples() -> list[Example]:
        calls.append(1)
        return [output_of(0)]

    Instances(ONE, {}).choose_options({}, examples)
    assert len(calls) == 1


def test_fixed_options_stay() -> None:
    given = {"energy": "mean", "rise": 0.05, "score": 0.0, "border": 3.0}
    chosen, line = Instances(ONE, given).choose_options(given, lambda: [output_of(1)])
    assert set(chosen) == {"min_area_m2"} and "rise" not in line


def test_without_objects_nothing_is_chosen() -> None:
    empty = output_of(0)
    labels = {**empty.labels, "instance": np.zeros((60, 60), np.int32)}
    example = Example(empty.output, empty.valid, labels)
    assert Instances(ONE, {}).choose_options({}, lambda: [example]) == ({}, "")
