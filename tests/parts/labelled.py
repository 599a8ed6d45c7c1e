"""Small labelled scenes, bright and dark, and the command that learns from them in a step or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import box
from typer.testing import CliRunner, Result

from landseg.cli.main import app
from tests.parts.places import UTM

SHAPE = (48, 64)
EDGE = 30  # left of it dark (4), from it on bright (6)
CLASSES = 'ignore = [0]\n[[classes]]\nvalue = 4\nname = "dark"\n[[classes]]\nvalue = 6\nname = "bright"\n'
NETWORK = ("--arch", "fcn32s", "--encoder", "timm:mobilenetv3_small_050", "--encoder-weights", "none")
QUICK = (
    *("--steps", "1", "--crop", "32", "--batch", "2", "--set", "fit.workers=0", "--set", "fit.precision=fp32"),
    *("--set", "fit.validate_every=100"),
)


def image(number: int = 0, *, bands: int = 3, dtype: str = "uint8") -> NDArray[Any]:
    """(bands, H, W), noise around 40 and 190, ten times as bright with 16 bits."""
    pixels = np.random.default_rng(number).normal(40, 8, (bands, *SHAPE))
    pixels[:, :, EDGE:] += 150
    return (pixels.clip(1, 255) * (1 if dtype == "uint8" else 10)).astype(dtype)


def labels() -> NDArray[np.uint8]:
    made = np.full(SHAPE, 4, np.uint8)
    made[:, EDGE:] = 6
    return made


def place(number: int) -> Affine:
    """Of scene ``number``: each lies by itself."""
    return Affine(0.5, 0, 500_000 + 1000 * number, 0, -0.5, 5_400_000)


def write(path: Path, array: NDArray[Any], *, at: Affine | None = None, colors: Any = None, **options: Any) -> Path:
    """A raster by its suffix, with a georeference where ``at`` is given."""
    bands = array if array.ndim == 3 else array[None]
    driver = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}[path.suffix]
    options |= {} if at is None else {"crs": UTM, "transform": at}
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = bands.shape[1:]
    with rasterio.open(
        path, "w", driver=driver, count=len(bands), height=height, width=width, dtype=bands.dtype, **options
    ) as raster:
        raster.write(bands)
        if colors is not None:
            raster.write_colormap(1, colors)
    return path


def write_scenes(folder: Path, count: int = 3, *, ending: str = "_labels.tif", suffix: str = ".tif") -> None:
    """``images/`` and ``labels/`` of some scenes, and ``classes.toml``; without georeference but as GeoTIFF."""
    for number in range(count):
        at = place(number) if suffix == ".tif" else None
        write(folder / f"images/{'abcdef'[number]}{suffix}", image(number), at=at)
        there = at if ending.endswith(".tif") else None
        write(folder / f"labels/{'abcdef'[number]}{ending}", labels(), at=there)
    (folder / "classes.toml").write_text(CLASSES)


def write_polygons(path: Path, count: int = 3, *, crs: str = UTM, **columns: Any) -> Path:
    """The bright parts of some scenes."""
    shapes = []
    for number in range(count):
        left, top = place(number) @ (EDGE, 0)
        right, bottom = place(number) @ (SHAPE[1], SHAPE[0])
        shapes.append(box(left, bottom, right, top))
    frame = geopandas.GeoDataFrame(
        {name: [value] * count for name, value in columns.items()}, geometry=shapes, crs=UTM
    )
    frame.to_crs(crs).to_file(path)
    return path


def landseg(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(folder: Path, *arguments: Any, output: str = "m.safetensors") -> Result:
    """`landseg train` of a small network, one step unless the arguments say otherwise."""
    named = [argument for argument in arguments[:2] if not str(argument).startswith("-")]
    return landseg("train", *named, "-o", folder / output, *NETWORK, *QUICK, *arguments[len(named) :])
