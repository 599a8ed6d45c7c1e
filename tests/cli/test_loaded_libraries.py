"""The libraries that each command loads in a fresh process: those that it computes with, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from landseg.labels.legend import class_tag
from tests.parts.probabilities import TABLE, drawn, write_probs, write_truth
from tests.parts.sample_models import save_small_model

LIBRARIES = (
    "torch", "torch._dynamo", "torchvision", "timm", "segmentation_models_pytorch", "lightning", "tensorboard",
    "safetensors", "sympy", "rasterio", "pyproj", "shapely", "pyogrio", "geopandas", "pandas", "pyarrow", "scipy",
    "sklearn", "matplotlib", "PIL", "onnx", "onnxruntime",
)  # fmt: skip
RASTERS = ("rasterio", "pyproj", "shapely")
VECTORS = (*RASTERS, "pyogrio", "geopandas", "pandas", "pyarrow")  # pyogrio loads the others
NETWORK = (*RASTERS, "torch", "safetensors")
COMPILED = (*RASTERS, "safetensors", "onnxruntime", "onnx")  # onnx writes graphs, where the cache has none

# What each command may load. With the network of a shipped model even torch comes without its compiler.
MAY_LOAD: dict[str, tuple[str, ...]] = {
    "models": (),
    "models --networks": (),
    "info landcover-rgb": (),
    "info image.tif": RASTERS,
    "info classes.tif": RASTERS,
    "info landcover-rgb --receptive-field": (*NETWORK, "PIL"),
    "areas classes.tif": RASTERS,
    "areas classes.tif -o table.csv": RASTERS,
    "areas classes.tif --by zones.gpkg": VECTORS,
    "rasterize zones.gpkg burnt.tif --like classes.tif": VECTORS,
    "export classes.tif shapes.gpkg": VECTORS,
    "evaluate classes.tif truth.tif": RASTERS,
    "evaluate classes.tif truth.tif --csv figures.csv": RASTERS,
    "evaluate classes.tif truth.tif --report page.html": (*RASTERS, "PIL"),
    "compare classes.tif other.tif truth.tif": RASTERS,
    "calibrate probs.tif truth.tif -m small.safetensors -o warm.safetensors": RASTERS,
    "refine probs.tif image.tif -o refined.tif": RASTERS,
    "data image.tif truth.tif": RASTERS,
    "data image.tif truth.tif --sheet sheet.png": (*RASTERS, "PIL"),
    "predict image.tif -o map.tif --precision fp32": COMPILED,
    "predict image.tif -o map2.tif --precision fp32 --polygons polygons.gpkg": (*COMPILED, *VECTORS),
    "predict image.tif -o map3.tif --precision fp32 --preview view.png": (*COMPILED, "PIL"),
    "predict image.tif -o map4.tif --runtime torch": NETWORK,
    "verify image.tif --size 16": (*NETWORK, *COMPILED),
}

PROGRAM = """
import sys
{before}
from landseg.cli.main import main
sys.argv = ["landseg", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(name for name in {libraries!r} if name in sys.modules))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Probabilities and their truth, two class rasters, an image of the same ground, zones, and a small model."""
    made = tmp_path_factory.mktemp("libraries")
    save_small_model(made / "small.safetensors", classes=TABLE)
    probs, truth = drawn(1.5, (40, 60))
    write_probs(made / "probs.tif", probs)
    write_truth(made / "truth.tif", truth)
    write_probs(made / "image.tif", probs, dtype="uint8")
    classes = probs.argmax(0).astype(np.uint8)
    for name, values in (("classes.tif", classes), ("other.tif", np.roll(classes, 3, axis=1))):
        write_truth(made / name, values)
        with rasterio.open(made / name, "r+") as file:
            file.update_tags(LANDSEG_CLASSES=class_tag(TABLE))
    left, top = 300_000, 3_000_000
    shapes = [box(left, top - 200, left + 200, top), box(left + 300, top - 300, left + 500, top)]
    zones = geopandas.GeoDataFrame({"class": ["a", "b"]}, geometry=shapes, crs="EPSG:32645")
    zones.to_file(made / "zones.gpkg")
    return made


def assert_loads_no_more(command: str, allowed: tuple[str, ...], folder: Path, *, before: str = "") -> None:
    code = PROGRAM.format(arguments=command.split(), before=before, libraries=LIBRARIES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert sorted(set(loaded) - set(allowed)) == []


@pytest.mark.parametrize("command", MAY_LOAD)
def test_a_command_loads_what_it_uses(command: str, folder: Path) -> None:
    assert_loads_no_more(command, MAY_LOAD[command], folder)


@pytest.mark.parametrize(("command", "library"), [("models", "shapely"), ("info classes.tif", "pyogrio")])
def test_twin_a_library_more_is_seen(command: str, library: str, folder: Path) -> None:
    with pytest.raises(AssertionError, match=library):
        assert_loads_no_more(command, MAY_LOAD[command], folder, before=f"import {library}")


def test_twin_a_command_that_fails_is_seen(folder: Path) -> None:
    with pytest.raises(AssertionError):
        assert_loads_no_more("info missing.tif", RASTERS, folder)
