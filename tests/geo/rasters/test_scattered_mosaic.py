"""Mosaics of rasters that lie far apart: refused with both numbers, or mapped part by part to the same pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

import landseg.inference.run
from landseg.classes import ClassMap
from landseg.errors import GridError, OutputError
from landseg.geo.extents import covered_pixels, extents_of, parts_of
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.models.named import NamedModel
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.predict import predict
from tests.parts.commands import FAST, run
from tests.parts.places import HALF_METRE
from tests.parts.predicting import MODEL, QUICK, noise, one, read, small_model
from tests.parts.vrt import build_vrt

Write = Callable[..., Path]
PLACES = ((0, 0), (20, 38), (150, 400), (430, 10))  # of tiles, in rows and columns: the first two touch
SIZE = (460, 440)  # of their mosaic
TILE = (30, 40)


def at(top: int, left: int) -> Any:
    return HALF_METRE @ rasterio.Affine.translation(left, top)


@pytest.fixture
def tiles(write_raster: Write) -> list[Path]:
    pixels = noise(*SIZE)
    cut = [pixels[:, top : top + TILE[0], left : left + TILE[1]] for top, left in PLACES]
    return [
        write_raster(tile, f"t{n}.tif", transform=at(*place))
        for n, (tile, place) in enumerate(zip(cut, PLACES, strict=True))
    ]


@pytest.fixture
def vrt(tiles: Sequence[Path], tmp_path: Path) -> Path:
    """The same tiles as one virtual raster, as gdalbuildvrt makes them."""
    return build_vrt(tmp_path / "town.vrt", tiles, PLACES, SIZE)


def test_both_numbers_and_the_way_out_are_told(tiles: list[Path], vrt: Path, tmp_path: Path) -> None:
    for dry_run in (False, True):
        with pytest.raises(GridError) as caught:
            predict(tiles, tmp_path / "o.tif", model=MODEL, dry_run=dry_run, **QUICK)
        said = str(caught.value)
        assert "the 4 rasters cover 0.0048 Mpx of a mosaic of 440 x 460 pixels (0.2 Mpx), 2.4 %" in said
        assert f"-o {tmp_path / 'o'}/" in said and "--sparse" in said
    with pytest.raises(GridError, match=r"the members of town\.vrt cover"):
        predict(vrt, tmp_path / "o.tif", model=MODEL, **QUICK)
    with pytest.raises(GridError, match=r"2\.4 %"):
        predict([vrt, tiles[0]], tmp_path / "o.tif", model=MODEL, **QUICK)  # a member that has gaps itself
    assert not (tmp_path / "o.tif").exists() and not list(tmp_path.glob(".*"))


def test_what_is_covered_enough_is_mapped(tiles: list[Path], vrt: Path, tmp_path: Path) -> None:
    predict(tiles[:2], tmp_path / "near.tif", model=MODEL, **QUICK)
    predict(tiles, f"{tmp_path}/each/", model=MODEL, **QUICK)
    left, top = HALF_METRE @ (0, 0)
    box = f"{left},{top - 40},{left + 45},{top}"  # about the first two
    for sources in (tiles, vrt):
        made = one(predict(sources, tmp_path / "a.tif", model=MODEL, aoi=box, overwrite=True, **QUICK))
        assert made.pixels == 80 * 90


def whole_map(sources: Any, output: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> NDArray[np.uint8]:
    """The map of the whole mosaic, gaps computed like the rest."""
    with monkeypatch.context() as patch:
        patch.setattr(landseg.inference.run, "refuse_scattered", lambda *_: None)
        predict(sources, output, **{"model": MODEL, **QUICK, **options})
    return read(output)


def assert_same_map(sources: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    layers = {name: folder / f"{name}.tif" for name in ("probs", "confidence", "logits")}
    wanted = whole_map(sources, folder / "whole.tif", monkeypatch, **layers, **options)
    found = {name: folder / f"s_{name}.tif" for name in layers}
    made = one(predict(sources, folder / "s.tif", sparse=True, **found, **{"model": MODEL, **QUICK, **options}))
    assert "in 3 parts" in made.reason and made.pixels == SIZE[0] * SIZE[1]
    np.testing.assert_array_equal(read(folder / "s.tif"), wanted)
    assert (wanted != 0).sum() >= 4000
    for name in layers:
        with rasterio.open(layers[name]) as one_file, rasterio.open(found[name]) as other:
            np.testing.assert_array_equal(one_file.read_masks(), other.read_masks())
            pair = [file.read(masked=True).filled(0) for file in (one_file, other)]
            np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-4 if name == "logits" else 0)


@pytest.mark.parametrize(
    "options",
    [{}, {"engine": "windows"}, {"resolution": 1.0}, {"tta": "flips"}],
    ids=["rows", "windows", "scaled", "views"],
)
def test_a_sparse_map_is_the_whole_mosaics(
    options: dict[str, Any], tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_map(tiles, tmp_path, monkeypatch, **options)


def test_a_sparse_map_of_a_virtual_raster(vrt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_map(vrt, tmp_path, monkeypatch)


def test_twin_parts_in_the_wrong_place_are_caught(
    tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = landseg.inference.run._relative

    def wrong(parts: Any, region: Rect) -> Any:
        return parts and [part.shifted(0, -1 if part.left else 1) for part in relative(parts, region)]

    monkeypatch.setattr(landseg.inference.run, "_relative", wrong)
    with pytest.raises(AssertionError):
        assert_same_map(tiles, tmp_path, monkeypatch)


def test_only_the_parts_are_computed(tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = one(predict(tiles, tmp_path / "s.tif", model=MODEL, sparse=True, **QUICK))
    held = 50 * 78 + 2 * 30 * 40
    assert held < made.overlap_cost * held < SIZE[0] * SIZE[1] / 2
    plan = one(predict(tiles, tmp_path / "p.tif", model=MODEL, sparse=True, dry_run=True, **QUICK))
    with monkeypatch.context() as patch:
        patch.setattr(landseg.inference.run, "refuse_scattered", lambda *_: None)
        dense = one(predict(tiles, tmp_path / "p.tif", model=MODEL, dry_run=True, **QUICK))
    assert plan.windows == 3 and plan.mode == "exact" and dense.windows == 1 and plan.seconds < dense.seconds


def test_a_blended_network_is_measured_in_the_largest_part(tiles: list[Path], tmp_path: Path) -> None:
    options = {**QUICK, "window": 64, "halo": 8, "sparse": True}
    made = one(predict(tiles, tmp_path / "s.tif", model=MODEL, **options))
    assert made.mode == "blend" and made.disagreement is not None and made.disagreement < 0.5
    assert made.disagreement_note is not None and made.disagreement_note.startswith("in the largest of")


def test_a_stopped_run_goes_on(tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"model": MODEL, "sparse": True, **QUICK}
    predict(tiles, tmp_path / "a.tif", **options)
    commit, write = Outputs.commit, Outputs.write
    steps: list[str] = []
    written: list[Rect] = []

    class Stop(Exception):
        pass

    def stopping(outputs: Outputs, step: str) -> None:
        commit(outputs, step)
        steps.append(step)
        if step.startswith("part 1"):
            raise Stop

    def noting(outputs: Outputs, name: str, rect: Rect, *pixels: Any) -> None:
        written.append(rect)
        write(outputs, name, rect, *pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "commit", stopping)
        with pytest.raises(Stop):
            predict(tiles, tmp_path / "b.tif", **options)
    assert "part 0 whole" in steps
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "write", noting)
        predict(tiles, tmp_path / "b.tif", resume=True, **options)
    assert written and min(rect.top for rect in written) >= 150  # the first part was there
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert one(predict(tiles, tmp_path / "b.tif", resume=True, **options)).skipped


def grid_of(width: int, height: int) -> Grid:
    return Grid(CRS.from_epsg(32633), HALF_METRE, width, height)


def test_gaps_take_no_space(tmp_path: Path) -> None:
    """A map of 67 Mpx with two small parts, in which value 0 is a class: its gaps are not zeros."""
    table = ClassMap.from_json([{"value": 0, "name": "ground"}, {"value": 1, "name": "roof"}])
    grid = grid_of(1 << 13, 1 << 13)
    layer = Layer.of_classes("classes", tmp_path / "o.tif", table)
    parts = [Rect(0, 0, 4, 5), Rect(grid.height - 3, grid.width - 7, 3, 7)]
    with Outputs.begin(Targets([layer]), grid, signature={}, parts=parts) as outputs:
        for value, part in enumerate(parts):
            outputs.write("classes", part, np.full(part.shape, value, np.uint8))
        held = sum(os.stat(path).st_blocks * 512 for path in tmp_path.rglob("*") if path.is_file())
        outputs.finish()
    assert held < 1 << 20 and (tmp_path / "o.tif").stat().st_size < 1 << 20
    with rasterio.open(tmp_path / "o.tif") as made:
        assert made.nodata == 255
        corner = Window(grid.width - 10, grid.height - 4, 10, 4)
        wanted = np.full((4, 10), 255, np.uint8)
        wanted[1:, 3:] = 1
        np.testing.assert_array_equal(made.read(1, window=corner), wanted)
        assert made.read(1, window=Window(0, 0, 6, 5)).sum() == 255 * (30 - 20)


def test_parts_that_are_not_written_are_missed(tmp_path: Path) -> None:
    layer = Layer.of_classes("classes", tmp_path / "o.tif", MODEL.card.classes)
    outputs = Outputs.begin(Targets([layer]), grid_of(50, 40), signature={}, parts=[Rect(0, 0, 4, 5)])
    with outputs, pytest.raises(OutputError, match="0 of 20 pixels"):
        outputs.finish()


def test_the_command(tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))
    code, _, err = run("predict", *tiles, "-o", tmp_path / "o.tif", *FAST)
    assert code == 1 and "--sparse" in err and err.count("\n") == 1
    code, out, _ = run("predict", *tiles, "-o", tmp_path / "o.tif", "--sparse", "--json", *FAST)
    assert code == 0 and len(json.loads(out)["sources"]) == 4
    with rasterio.open(tmp_path / "o.tif") as made:
        assert "--sparse" in made.tags()["LANDSEG_COMMAND"]


rects = st.builds(
    Rect, st.integers(0, 60), st.integers(0, 60), st.integers(1, 20), st.integers(1, 20)
)  # of a region of 70 x 70, some beyond it


@given(st.lists(rects, max_size=8), st.integers(0, 30))
def test_parts_hold_all_extents_and_share_no_pixel(places: list[Rect], reach: int) -> None:
    region = Rect(5, 3, 65, 67)
    counted = np.zeros((80, 80), np.int64)
    for part in parts_of(extents_of(places), region, reach=reach):
        assert region.contains(part)
        counted[part.slices] += 1
    held = np.zeros((80, 80), np.bool_)
    for place in places:
        held[place.slices] = True
    assert covered_pixels(extents_of(places)) == held.sum()
    held[: region.top] = held[:, : region.left] = held[region.bottom :] = held[:, region.right :] = False
    assert counted.max() <= 1 and (counted[held] == 1).all()


def test_extents_of_what_is_no_mosaic_are_unknown(tiles: list[Path], vrt: Path) -> None:
    with open_source(tiles[0]) as source:
        assert source.extents() is None
    for paths in (tiles, vrt):
        with open_source(paths) as source:
            found = source.extents()
            assert found is not None and sorted(map(tuple, found[:, :2].tolist())) == sorted(PLACES)


def test_a_pooled_network_sees_the_whole_part_alone(tiles: list[Path], tmp_path: Path) -> None:
    model = small_model(pooled=True)
    made = one(predict(tiles, tmp_path / "s.tif", model=model, sparse=True, **QUICK))
    assert made.mode == "blend" and (read(tmp_path / "s.tif") != 0).sum() >= 4000


def test_info_says_how_much_the_members_cover(vrt: Path, tiles: list[Path]) -> None:
    assert "the members' places, which are 2.4 % of it" in run("info", vrt)[1]
    assert "members" not in run("info", tiles[0])[1]
