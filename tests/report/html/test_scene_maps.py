"""What the map of a report shows of each scene: means of confidence, a shared budget, one scene at a time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.evaluate import evaluate
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.pairs import open_pairs
from landseg.evaluation.result import WorstWindow
from landseg.geo.grid import Grid, Rect
from landseg.report.html.map_layers import MapLayers, Picture, by_majority, by_mean
from landseg.report.html.scene_maps import SceneMaps, shown_scenes
from landseg.report.html.scenes import map_sections
from tests.parts.class_rasters import PLAIN, write
from tests.parts.report import make_evaluation, make_layers

Numbers = NDArray[np.float32]


def mean_by_hand(values: Numbers, shape: tuple[int, int]) -> Numbers:
    """The mean of what is known in each block, a block at a time."""
    found = np.full(shape, np.nan, np.float32)
    rows, columns = (np.arange(n + 1) * size // n for n, size in zip(shape, values.shape, strict=True))
    for i in range(shape[0]):
        for j in range(shape[1]):
            block = values[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].astype(np.float64)
            if np.isfinite(block).any():
                found[i, j] = np.nanmean(block)
    return found


@pytest.mark.parametrize("at_a_time", [1, 500, 1 << 20])
def test_numbers_are_reduced_to_their_mean(
    at_a_time: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.report.html.map_layers._NUMBERS", at_a_time)
    values = rng.random((53, 71)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:20, :20] = np.nan
    asked: list[int] = []

    def read(rect: Rect) -> Numbers:
        asked.append(rect.area)
        return values[rect.slices]

    found = by_mean(read)(Rect(0, 0, 53, 71), (9, 13))
    np.testing.assert_allclose(found, mean_by_hand(values, (9, 13)), rtol=1e-6)
    assert max(asked) <= max(at_a_time, 71) and sum(asked) == values.size
    assert np.array_equal(by_mean(read)(Rect(3, 4, 5, 6), (5, 6)), values[3:8, 4:10], equal_nan=True)


def test_twin_a_mean_that_counts_what_is_unknown_would_be_seen() -> None:
    values = np.array([[0.5, np.nan], [0.7, np.nan]], np.float32)
    zeros = by_mean(lambda rect: np.nan_to_num(values[rect.slices]))(Rect(0, 0, 2, 2), (1, 1))
    assert by_mean(lambda rect: values[rect.slices])(Rect(0, 0, 2, 2), (1, 1))[0, 0] == pytest.approx(0.6)
    assert abs(zeros[0, 0] - mean_by_hand(values, (1, 1))[0, 0]) > 0.2


def probabilities(path: Path, values: NDArray[np.uint8]) -> str:
    import rasterio
    from affine import Affine

    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), dtype="uint8", height=values.shape[1], width=values.shape[2],
        crs="EPSG:32645", transform=Affine(10, 0, 300_000, 0, -10, 3_000_000),
    ) as file:  # fmt: skip
        file.write(values)
    return str(path)


def test_confidence_is_the_largest_probability_inside_the_area(tmp_path: Path) -> None:
    classes = np.array([[1, 2], [3, 1]], np.uint8)
    ours = write(tmp_path / "map.tif", classes, model="m")
    truth = write(tmp_path / "truth.tif", classes)
    bands = np.array([[[200, 0], [27, 100]], [[55, 255], [114, 100]], [[0, 0], [114, 55]]], np.uint8)
    probs = probabilities(tmp_path / "probs.tif", bands)
    half = "300000,2999980,300010,3000000"  # the left column
    (pair,) = open_pairs([ours], [truth], EvaluateOptions(aoi=half, probs=[probs]), ExitStack())
    found = pair.read_confidence(Rect(0, 0, 2, 2))
    pair.close()
    np.testing.assert_allclose(found, [[200 / 255, np.nan], [114 / 255, np.nan]], rtol=1e-6)


class Counted(Sequence[MapLayers]):
    """Scenes that are made when they are asked for."""

    def __init__(self, scenes: list[MapLayers]) -> None:
        self.scenes, self.asked = scenes, list[int]()

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: Any) -> Any:
        self.asked.append(index)
        return self.scenes[index]


def noise(scene: int, edge: int) -> MapLayers:
    """What compresses worst."""
    rng = np.random.default_rng(scene)
    truth, ours = (rng.integers(0, 3, (edge, edge), dtype=np.uint8) for _ in range(2))
    rect = Rect(0, 0, edge, edge)
    layers = Picture(rect, rng.integers(0, 255, (edge, edge, 3), dtype=np.uint8), truth, ours)
    return MapLayers(Grid(None, make_layers().grid.transform, edge, edge), layers, (), scene)


def sizes(budget: int, edges: list[int]) -> tuple[list[int], Counted]:
    """What the pictures of each scene take in a report."""
    import json

    maps = Counted([noise(scene, edge) for scene, edge in enumerate(edges)])
    found = make_evaluation(scenes=tuple(f"s{n}.tif" for n in range(len(edges))), worst=())
    ((_, _, text),) = map_sections(found, maps, budget)
    data = json.loads(text.partition('id="map-data">')[2].partition("</script>")[0])
    files = [[url for picture in scene["pictures"] for url in picture["layers"].values()] for scene in data["scenes"]]
    return [sum(len(base64.b64decode(url.partition(",")[2])) for url in urls) for urls in files], maps


def test_scenes_share_the_budget_and_what_one_leaves_goes_to_the_next() -> None:
    budget = 300_000
    even, maps = sizes(budget, [600, 600, 600])
    assert maps.asked == [0, 1, 2] and sum(even) <= budget
    assert all(0.5 * budget / 3 < size for size in even)
    left, _ = sizes(budget, [20, 20, 600])
    assert sum(left) <= budget and left[2] > 1.3 * even[2]
    (alone,), _ = sizes(budget, [600])
    assert alone <= budget < 3 * alone  # twin: a budget for each would be too much


def test_of_very_many_scenes_those_with_the_worst_windows_are_shown() -> None:
    names = tuple(f"{n}.tif" for n in range(30))
    worst = tuple(WorstWindow(Rect(0, 0, 8, 8), 64, 0.5, scene) for scene in (17, 3, 17))
    assert shown_scenes(make_evaluation(scenes=names, worst=worst)) == (3, 17)
    assert shown_scenes(make_evaluation(scenes=names, worst=())) == tuple(range(24))
    assert shown_scenes(make_evaluation(scenes=names[:24], worst=worst)) == tuple(range(24))


def test_a_report_over_thirty_scenes_says_what_it_leaves_out(tmp_path: Path) -> None:
    maps, labels = tmp_path / "maps", tmp_path / "labels"
    for folder in (maps, labels):
        folder.mkdir()
    for number in range(30):
        values = np.full((4, 4), 1 + number % 3, np.uint8)
        write(maps / f"{number:02}.tif", values, model="m", left=1000 * number)
        if number in (6, 12):
            values[0, : number // 4] = 3
        write(labels / f"{number:02}.tif", values, left=1000 * number)
    found = evaluate(str(maps), str(labels), **PLAIN, report=tmp_path / "r.html")
    assert [(one.scene, one.error_rate) for one in found.worst] == [(12, 3 / 16), (6, 1 / 16)]
    text = (tmp_path / "r.html").read_text()
    assert "the map has the 2 scenes with the worst windows; the figures are over all 30" in text
    assert '"name":"12.tif"' in text and '"name":"05.tif"' not in text


def test_a_scene_is_read_as_it_lies(tmp_path: Path) -> None:
    values = np.kron(np.array([[1, 2], [3, 1]], np.uint8), np.ones((30, 20), np.uint8))
    files = [write(tmp_path / f"{n}.tif", np.roll(values, n, 0), model="m") for n in range(2)]
    truth = write(tmp_path / "truth.tif", values)
    pairs = open_pairs(files, [truth], EvaluateOptions(), ExitStack())
    maps = SceneMaps(pairs, make_evaluation(scenes=("0.tif", "1.tif"), worst=()), [[], []])
    first, second = maps
    assert len(maps) == 2 and (first.scene, second.scene) == (0, 1) and maps[:1][0].scene == 0
    assert not first.overview.error.any() and second.overview.error.any()
    expected = by_majority(lambda rect: pairs[1].read(rect)[1])(Rect(0, 0, 60, 40), (60, 40))
    assert np.array_equal(second.overview.prediction, expected)
    for pair in pairs:
        pair.close()
