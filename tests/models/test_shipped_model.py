"""The model that ships, on real pixels: exact in windows, on its evidence, and good at what it was trained for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from landseg.classes import ClassMap
from landseg.evaluate import evaluate
from landseg.evaluation.objects.result import ObjectEvaluation
from landseg.export import export
from landseg.geo.rasters.source import FileSource
from landseg.labels.polygons import PolygonLabels
from landseg.metrics.confusion import Confusion
from landseg.models.file import load_model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.shipped import names, resolve
from landseg.predict import predict
from landseg.verify import verify
from tests.parts.receptive import check_evidence

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wide_scene(sample_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1200 x 3000 px of the demo's scene, mirrored at its right edge to be wide enough."""
    path = tmp_path_factory.mktemp("wide") / "wide.tif"
    with rasterio.open(sample_tiles / "banepa_scene.tif") as scene:
        pixels = scene.read()[:, :1200]
        place = {"crs": scene.crs, "transform": scene.transform}
    pixels = np.concatenate([pixels, pixels[:, :, ::-1]], axis=2)[:, :, :3000]
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=1200, width=3000, dtype="uint8", photometric="RGB", **place
    ) as raster:
        raster.write(pixels)
    return path


@pytest.mark.parametrize(("precision", "runtime"), [("fp32", "torch"), ("fp32", "onnx"), ("bf16", "torch")])
def test_streamed_is_whole(wide_scene: Path, precision: str, runtime: str) -> None:
    how: dict[str, Any] = {
        "size": (1200, 3000),
        "memory": 16384,
        "device": "cpu",
        "precision": precision,
        "runtime": runtime,
    }
    found = verify(wide_scene, engine="stream", **how)
    assert found.engine == "stream" and found.windows > 1 and found.runtime == runtime
    assert found.class_disagreement <= 1e-5
    assert precision == "bf16" or found.max_abs_diff <= 1e-3


@pytest.mark.parametrize(
    ("window", "runtime", "most"),
    [(1600, "torch", 1e-4), (2048, "torch", 1e-4), (2560, "torch", 1e-4), (2048, "onnx", 1e-3)],
)
def test_stitched_is_whole(wide_scene: Path, window: int, runtime: str, most: float) -> None:
    how: dict[str, Any] = {
        "halo": "exact",
        "size": (1200, 3000),
        "memory": 16384,
        "device": "cpu",
        "runtime": runtime,
    }
    found = verify(wide_scene, window=window, **how)
    assert found.windows > 1 and found.pixels == 1200 * 3000
    assert found.max_abs_diff <= most
    assert found.exact and found.ties <= 1e-5


def test_twin_a_halo_one_stride_short_is_found_out(wide_scene: Path) -> None:
    field = receptive_field(load_model().network)
    assert field.halo is not None
    halo = field.halo - field.stride
    found = verify(wide_scene, window=1600, halo=halo, size=(1200, 3000), memory=16384, device="cpu")
    assert found.max_abs_diff > 0 and not found.exact


def test_predictions_sit_on_their_evidence() -> None:
    network = load_model().network
    field = receptive_field(network)
    assert field.radius is not None and field.offset == 0.0
    low, high = check_evidence(network, field.radius, field.stride)
    assert -low == high == field.radius


def test_it_maps_a_scene_of_dubai(sample_tiles: Path, tmp_path: Path) -> None:
    classes = load_model().card.classes
    confusion = Confusion(len(classes))
    for image in sorted((sample_tiles / "landcover").glob("*/*.jpg")):
        predict(image, tmp_path / f"{image.stem}.tif", quiet=True, device="cpu", memory=16384)
        _count(confusion, image.with_name(f"{image.stem}_labels.png"), tmp_path / f"{image.stem}.tif", classes)
    # A sanity check, mostly on scenes that it has seen (0.51 when it was shipped); honest figures are in its card.
    assert confusion.mean_iou() > 0.45


def test_the_other_one_maps_a_town_from_sentinel_2(sample_tiles: Path, tmp_path: Path) -> None:
    model, scene = load_model("landcover-s2"), sample_tiles / "sentinel2" / "s2_086.jpg"
    assert model.card.resolution_m == 10.0
    predict(scene, tmp_path / "map.tif", model=model, source_resolution=5.0, quiet=True, device="cpu")
    confusion = Confusion(len(model.card.classes))
    _count(confusion, scene.with_name("s2_086_labels.png"), tmp_path / "map.tif", model.card.classes)
    # A sanity check on a scene that the shipped weights have seen (0.81); honest figures are in its card.
    assert confusion.mean_iou() > 0.7
    # The twin: at the pixels of the file it is run at a scale that it does not know.
    predict(scene, tmp_path / "fine.tif", model=model, source_resolution=10.0, quiet=True, device="cpu")
    fine = Confusion(len(model.card.classes))
    _count(fine, scene.with_name("s2_086_labels.png"), tmp_path / "fine.tif", model.card.classes)
    assert fine.mean_iou() < confusion.mean_iou()


@pytest.mark.parametrize("name", names())
def test_what_ships_is_small_and_says_what_it_is(name: str) -> None:
    path = resolve(name)
    card = load_model(path).card
    assert path.stat().st_size <= 12e6 and card.name == name
    assert card.metrics is not None and set(card.metrics.per_class) == set(card.classes.names)
    assert card.limitations and card.licence == "CC-BY-4.0" and "kept out" in card.metrics.measured_on


def test_it_finds_the_buildings_of_banepa(sample_tiles: Path, tmp_path: Path) -> None:
    tiles = sorted((sample_tiles / "buildings").rglob("*.tif"))
    polygons = PolygonLabels(next((sample_tiles / "buildings").rglob("*.gpkg")))
    confusion = Confusion(2)
    for tile in tiles:
        predict(tile, tmp_path / tile.name, quiet=True, device="cpu", memory=16384)
        with FileSource(tmp_path / tile.name) as found:
            values, valid = found.read(found.grid.rect)
            truth = polygons.burn(found.grid).astype(np.uint8)
        confusion.update(np.where(valid, truth, 255), (values[0] == 1).astype(np.uint8))
    assert len(tiles) == 8 and confusion.iou()[1] > 0.6


def test_the_one_for_buildings_finds_each(sample_tiles: Path, tmp_path: Path) -> None:
    folder = sample_tiles / "buildings"
    model = load_model("buildings-rgb")
    tiles = sorted((folder / "tiles").glob("*.tif"))
    predict(tiles, tmp_path / "map.tif", polygons=tmp_path / "found.gpkg", model=model, quiet=True, device="cpu")
    found = evaluate(tmp_path / "found.gpkg", folder / "buildings.gpkg")
    assert isinstance(found, ObjectEvaluation)
    # A sanity check, on tiles that the shipped weights have seen; honest figures are in its card.
    assert found.means["f1"] > 0.5
    # The twin: pieces of its class map are blocks of houses.
    export(tmp_path / "map.tif", tmp_path / "pieces.gpkg", classes=["buildings"])
    pieces = evaluate(tmp_path / "pieces.gpkg", folder / "buildings.gpkg")
    assert isinstance(pieces, ObjectEvaluation) and pieces.means["f1"] < found.means["f1"] - 0.3


def test_it_maps_the_drone_scene(sample_tiles: Path, tmp_path: Path) -> None:
    classes = load_model().card.classes
    predict(sample_tiles / "banepa_scene.tif", tmp_path / "map.tif", quiet=True, device="cpu", memory=16384)
    samples = PolygonLabels(sample_tiles / "banepa_scene_samples.geojson", "class")
    with FileSource(tmp_path / "map.tif") as found:
        values, valid = found.read(found.grid.rect)
        truth = samples.burn_names(found.grid, {n: i for i, n in enumerate(classes.names)}, 255)
    truth[~valid] = 255
    confusion = Confusion(len(classes))
    confusion.update(truth, classes.to_indices(values[0]))
    right = np.diag(confusion.counts) / confusion.counts.sum(1)
    told = dict(zip(classes.names, right.tolist(), strict=True))
    # No training saw the scene, but the neighbouring tiles of its flight. Its ponds are a known fault.
    assert all(told[name] > 0.7 for name in ("building", "land", "road", "vegetation")), told


def _count(confusion: Confusion, labels: Path, predicted: Path, classes: ClassMap) -> None:
    with FileSource(predicted) as found, FileSource(labels) as known:
        assert found.grid.shape == known.grid.shape
        truth, made = (classes.to_indices(source.read(source.grid.rect)[0][0]) for source in (known, found))
    confusion.update(truth, made)
