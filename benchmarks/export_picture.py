"""The picture in docs/export.md: outlines of a place in the sample scene as they are traced, simplified and smoothed.

    python benchmarks/export_picture.py [--output docs/images/export.png] [--left 930] [--top 440] [--size 200]

Predicts the scene with the shipped model, exports the map in three ways and draws each over the imagery, with a dot
for every corner.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.export import export
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import read_legend
from landseg.predict import predict

ROOT = Path(__file__).resolve().parent.parent
SCENE = ROOT / "sample_tiles" / "banepa_scene.tif"
WAYS: dict[str, dict[str, Any]] = {
    "as traced": {},
    "--min-area 10 --simplify 0.4": {"min_area": 10, "simplify": 0.4},
    "--min-area 10 --simplify 0.4 --smooth": {"min_area": 10, "simplify": 0.4, "smooth": True},
}
PANEL, GAP, HEAD, FINE = 480, 14, 50, 3  # sizes in the picture; it is drawn FINE times as large
PAPER, INK, QUIET = (252, 252, 250), (34, 36, 38), (112, 116, 120)
OPACITY = 0.42


@dataclass(frozen=True)
class Place:
    """A square of the scene, and how it is drawn.

    Attributes:
        imagery: of it.
        bounds: on the map.
        colors: of the classes, by value.
    """

    imagery: Image.Image
    bounds: tuple[float, float, float, float]
    colors: dict[int, tuple[int, int, int]]

    def panel(self, path: Path) -> tuple[Image.Image, int]:
        """The features of a file over the imagery, and how many corners there are to see."""
        size = PANEL * FINE
        shapes = geopandas.read_file(path, bbox=self.bounds)
        shapes = shapes.iloc[np.argsort(-shapely.area(shapely.envelope(shapes.geometry.to_numpy())))]
        picture = self.imagery.resize((size, size), Image.Resampling.BICUBIC)
        tint = picture.copy()
        draw = ImageDraw.Draw(tint)
        for value, shape in zip(shapes.value, shapes.geometry, strict=True):  # what lies in a hole comes after it
            draw.polygon(self._points(shape.exterior), fill=self.colors[int(value)])
        picture = Image.blend(picture, tint, OPACITY)
        draw = ImageDraw.Draw(picture)
        rings = [self._points(ring) for ring in shapely.get_rings(shapes.geometry.to_numpy())]
        for ring in rings:
            draw.line(ring, fill=INK, width=4, joint="curve")
        seen = {point for ring in rings for point in ring if min(point) >= 0 and max(point) <= size}
        for x, y in seen:
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(255, 255, 255), outline=INK, width=1)
        return picture.resize((PANEL, PANEL), Image.Resampling.LANCZOS), len(seen)

    def _points(self, ring: Any) -> list[tuple[float, float]]:
        left, _, right, top = self.bounds
        scale = PANEL * FINE / (right - left)
        points = shapely.get_coordinates(ring)
        across, down = (points[:, 0] - left) * scale, (top - points[:, 1]) * scale
        return list(zip(across.round(3).tolist(), down.round(3).tolist(), strict=True))


def place_of(map_: Path, *, left: int, top: int, size: int) -> Place:
    """The square of `size` pixels with this corner."""
    with rasterio.open(SCENE) as scene:
        window = rasterio.windows.Window(left, top, size, size)
        pixels, bounds = scene.read(window=window), scene.window_bounds(window)
    raster = RasterFile(map_)
    legend = read_legend(raster)
    raster.close()
    assert legend is not None
    return Place(
        Image.fromarray(np.moveaxis(pixels, 0, -1)), bounds, dict(zip(legend.values, legend.colors, strict=True))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "export.png")
    parser.add_argument("--left", type=int, default=930)
    parser.add_argument("--top", type=int, default=440)
    parser.add_argument("--size", type=int, default=200)
    options = parser.parse_args()
    canvas = Image.new("RGB", (len(WAYS) * (PANEL + GAP) + GAP, HEAD + PANEL + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(17), ImageFont.load_default(14)
    with tempfile.TemporaryDirectory() as folder:
        map_ = Path(folder) / "landcover.tif"
        predict(SCENE, map_, quiet=True)
        place = place_of(map_, left=options.left, top=options.top, size=options.size)
        for number, (title, how) in enumerate(WAYS.items()):
            out = Path(folder) / f"{number}.fgb"
            done = export(map_, out, **how, quiet=True)
            panel, corners = place.panel(out)
            x = GAP + number * (PANEL + GAP)
            canvas.paste(panel, (x, HEAD))
            draw.text((x, 7), title, INK, large)
            draw.text((x, 29), f"{corners:,} corners here, {done.features:,} polygons in the scene", QUIET, small)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    canvas.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(
        options.output, optimize=True
    )
    print(f"{options.output}: {options.output.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
