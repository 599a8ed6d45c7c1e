"""CI's look at what `make demo` left finds what is wrong with it."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.features import shapes
from rasterio.shutil import copy
from shapely.geometry import box, shape

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "check_demo.py"


@pytest.fixture(scope="module")
def check_demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_demo", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_classes(classes: np.ndarray, folder: Path, write_raster: Callable[..., Path]) -> None:
    plain = write_raster(classes, "plain.tif", nodata=0)
    copy(plain, folder / "landcover.tif", driver="COG", compress="DEFLATE", blocksize=128)


@pytest.fixture
def demo(tmp_path: Path, write_raster: Callable[..., Path], rng: np.random.Generator) -> tuple[Path, Path]:
    """A sound demo folder and its scene, whose lower left corner has no data."""
    folder = tmp_path / "demo"
    folder.mkdir()
    classes = np.kron(rng.integers(1, 5, (8, 8)), np.ones((96, 96))).astype("uint8")
    classes[600:, :168] = 0
    scene = write_raster(rng.integers(1, 255, (3, 768, 768)).astype("uint8"), "scene.tif", valid=classes > 0)
    write_classes(classes, folder, write_raster)
    with rasterio.open(scene) as raster:
        found = [(shape(outline), int(value)) for outline, value in shapes(classes, transform=raster.transform)]
        polygons = geopandas.GeoDataFrame(
            {"value": [value for _, value in found]}, geometry=[outline for outline, _ in found], crs=raster.crs
        )
    polygons.to_file(folder / "landcover.gpkg")
    left, top = raster.bounds.left, raster.bounds.top
    houses = [box(left + 3 * n, top - 2, left + 3 * n + 2, top - 1) for n in range(160)]
    columns = {"name": "buildings", "score": 0.5, "area_m2": 2.0}
    geopandas.GeoDataFrame(columns, index=range(160), geometry=houses, crs=polygons.crs).to_file(
        folder / "buildings.gpkg"
    )
    for name in ("preview.png", "buildings.png"):
        Image.fromarray(rng.integers(0, 255, (500, 800, 3), dtype="uint8")).save(folder / name)
    return folder, scene


def test_sound_demo_passes(check_demo: ModuleType, demo: tuple[Path, Path]) -> None:
    assert check_demo.main(*demo) == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing", "landcover.gpkg is missing"),
        ("one class", "expected at least 3 classes"),
        ("nodata", "disagree on which pixels have data"),
        ("no COG", "is no valid COG"),
        ("grid", "does not lie on the grid"),
        ("CRS", "has the CRS EPSG:32632"),
        ("few polygons", "holds 2 polygons"),
        ("small", "is smaller than 400 px"),
        ("uniform", "is nearly uniform"),
        ("few buildings", "holds 100 buildings; expected at least 150"),
        ("CRS of buildings", "buildings.gpkg has the CRS EPSG:32632"),
        ("scores", "scores outside 0 to 1"),
    ],
)
def test_faults_are_found(
    check_demo: ModuleType,
    demo: tuple[Path, Path],
    fault: str,
    said: str,
    write_raster: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, scene = demo
    raster, polygons, houses = (folder / name for name in ("landcover.tif", "landcover.gpkg", "buildings.gpkg"))
    with rasterio.open(raster) as file:
        classes = file.read(1)
    match fault:
        case "missing":
            polygons.unlink()
        case "one class":
            write_classes(np.minimum(classes, 1), folder, write_raster)
        case "nodata":
            write_classes(np.where(np.arange(768) == 9, 0, classes).astype("uint8"), folder, write_raster)
        case "no COG":
            shutil.copyfile(write_raster(classes, "striped.tif", nodata=0), raster)
        case "grid":
            write_classes(classes[:, 1:], folder, write_raster)
        case "CRS":
            geopandas.read_file(polygons).to_crs(32632).to_file(polygons)
        case "few polygons":
            geopandas.read_file(polygons).iloc[:2].to_file(polygons)
        case "small":
            Image.open(folder / "preview.png").resize((300, 200)).save(folder / "preview.png")
        case "uniform":
            Image.new("RGB", (800, 500), (200, 200, 200)).save(folder / "preview.png")
        case "few buildings":
            geopandas.read_file(houses).iloc[:100].to_file(houses)
        case "CRS of buildings":
            geopandas.read_file(houses).to_crs(32632).to_file(houses)
        case "scores":
            geopandas.read_file(houses).assign(score=1.5).to_file(houses)
    assert check_demo.main(folder, scene) == 1
    assert said in capsys.readouterr().err, "it is this fault that is found"
