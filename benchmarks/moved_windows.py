"""Fields that change when the windows move: the recipes of two other tools and landseg, with one model.

    python benchmarks/moved_windows.py MODEL SCENES... [--columns 6] [--write docs/panoptic.md]

Scenes of one size are put side by side to one large picture. It is mapped twice, the second time without its first
rows and columns, half a window of each recipe, so that all windows lie elsewhere. Compared are the fields of the
inside of both maps, further from every edge than the network sees: a field counts as changed if it has not the same
pixels, and as lost if no field of the other map overlaps it by half or more (IoU). The recipes are the defaults of:

- ftw-tools: patches of 1024 px, of which 64 px on each side are trimmed, are pasted; a field is a piece of the
  interior (class of fields, boundary < 0.5), cut where polygons are made, every 2048 px.
- sahi: slices of 512 px that overlap by a fifth, whose fields are grouped by the flood; from the best on, those that
  cover more than half of the smaller one of both are merged.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.dense.flood import flood
from landseg.dense.grouping import Maps, differing, group
from landseg.dense.instances import Instances
from landseg.geo.rasters.source import FileSource
from landseg.metrics.overlaps import IdCounts
from landseg.models.file import Model, load_model
from landseg.predict import predict
from landseg.tiling.scaling import Scaling

BEGIN = "<!-- table: python benchmarks/moved_windows.py -->"
PATCH, TRIMMED, CUT = 1024, 64, 2048
SLICE, OVERLAP = 512, 0.2
Ids = NDArray[np.uint32]


def side_by_side(scenes: list[Path], columns: int) -> NDArray[Any]:
    """Return scenes as one picture (bands, h, w), row by row; those of an unfinished last row are left out."""
    parts = []
    for path in scenes:
        with FileSource(path) as source:
            parts.append(source.read(source.grid.rect)[0])
    rows = [np.concatenate(parts[i : i + columns], axis=2) for i in range(0, len(parts) - columns + 1, columns)]
    return np.concatenate(rows, axis=1)


def forward(model: Model, task: Instances, picture: NDArray[Any]) -> Maps:
    """Return the maps of one forward pass over a window."""
    valid = np.ones(picture.shape[1:], bool)
    scaled = Scaling(model.card.means, model.card.stds, fill=model.card.fill).planar(picture, valid)
    with torch.inference_mode():
        return task.maps(model.network(torch.from_numpy(scaled))[0].numpy(), valid)


def starts(size: int, window: int, step: int) -> Iterator[int]:
    """Yield where windows begin; the last one ends with the picture."""
    for start in range(0, size, step):
        yield max(0, min(start, size - window))
        if start + window >= size:
            return


def patched(model: Model, task: Instances, picture: NDArray[Any]) -> Ids:
    """Return the fields of patches that are trimmed and pasted."""
    height, width = picture.shape[1:]
    inside = np.zeros((height, width), bool)
    for top in starts(height, PATCH, PATCH - 2 * TRIMMED):
        for left in starts(width, PATCH, PATCH - 2 * TRIMMED):
            maps = forward(model, task, picture[:, top : top + PATCH, left : left + PATCH])
            found = (maps.classes == task.classes.things[0]) & (maps.boundary < 128)
            ends = [
                0 if edge else TRIMMED for edge in (top == 0, top + PATCH >= height, left == 0, left + PATCH >= width)
            ]
            rows, columns = slice(ends[0], PATCH - ends[1]), slice(ends[2], PATCH - ends[3])
            inside[top : top + PATCH, left : left + PATCH][rows, columns] = found[rows, columns]
    ids, count = np.zeros((height, width), np.uint32), 0
    for top in range(0, height, CUT):
        for left in range(0, width, CUT):
            part = inside[top : top + CUT, left : left + CUT]
            made = flood(np.zeros(part.shape, np.uint16), part, rise=math.inf)
            ids[top : top + CUT, left : left + CUT] = np.where(made, made + np.uint32(count), 0)
            count += int(made.max(initial=0))
    return ids


def sliced(model: Model, task: Instances, picture: NDArray[Any]) -> Ids:
    """Return the fields of slices, merged from the best on where they cover half of the smaller one."""
    height, width = picture.shape[1:]
    step = round(SLICE * (1 - OVERLAP))
    options = task.options
    fields: list[tuple[float, tuple[int, int], NDArray[np.bool_]]] = []
    for top in starts(height, SLICE, step):
        for left in starts(width, SLICE, step):
            maps = forward(model, task, picture[:, top : top + SLICE, left : left + SLICE])
            ids, things = group(maps, task.classes.things, rise=options["rise"], least_score=options["score"])
            for number, score in enumerate(things.score.tolist(), start=1):
                rows, columns = (np.flatnonzero((ids == number).any(axis=axis)) for axis in (1, 0))
                box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
                fields.append((score, (top + int(rows[0]), left + int(columns[0])), (ids == number)[box]))
    fields.sort(key=lambda field: -field[0])
    made, sizes = np.zeros((height, width), np.uint32), [0]
    for _, (top, left), mask in fields:
        there = made[top : top + mask.shape[0], left : left + mask.shape[1]]
        numbers, counts = np.unique(there[mask & (there > 0)], return_counts=True)
        size, into = int(mask.sum()), 0
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            if count > 0.5 * min(size, sizes[number]):
                into = number
                break
        if not into:
            sizes.append(0)
            into = len(sizes) - 1
        free = mask & (there == 0)
        there[free] = into
        sizes[into] += int(free.sum())
    return made


def landseg(model: Model, task: Instances, picture: NDArray[Any]) -> Ids:
    """Return the fields of `predict`."""
    with tempfile.TemporaryDirectory() as made_in:
        folder = Path(made_in)
        profile = {"driver": "GTiff", "count": len(picture), "dtype": picture.dtype, "tiled": True}
        shape = dict(zip(("height", "width"), picture.shape[1:], strict=True))
        with rasterio.open(folder / "picture.tif", "w", **profile, **shape) as raster:
            raster.write(picture)
        predict(
            folder / "picture.tif",
            folder / "map.tif",
            model=model,
            instances=folder / "ids.tif",
            precision="fp32",
            quiet=True,
        )
        with rasterio.open(folder / "ids.tif") as raster:
            ids: Ids = raster.read(1)
    return ids


def lost(one: Ids, other: Ids) -> int:
    """Return the number of fields of a map that no field of another overlaps by half or more."""
    counts = IdCounts()
    counts.update(one.astype(np.int64), other.astype(np.int64), valid=np.ones(one.shape, bool), at=(0, 0))
    overlaps = counts.overlaps()
    best = np.zeros(len(overlaps.true.area))
    np.maximum.at(best, overlaps.true_index, overlaps.iou())
    return int((best < 0.5).sum())


Recipe = Callable[[Model, Instances, NDArray[Any]], Ids]
RECIPES: dict[str, tuple[Recipe, int]] = {
    "patches of 1024 px, trimmed by 64 and pasted": (patched, PATCH // 2),
    "slices of 512 px, a fifth overlaps, merged": (sliced, SLICE // 2),
    "landseg predict": (landseg, PATCH // 2),
}
"""The function of each recipe, and half of its window."""


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    model = load_model(given.model)
    task = Instances(model.card.classes, model.card.task_options)
    picture = side_by_side(sorted(given.scenes), given.columns)
    field = model.card.receptive_field
    assert field is not None and field.halo is not None
    lines = ["| recipe | origin moved by | fields | changed | lost |", "|---|--:|--:|--:|--:|"]
    for name, (recipe, offset) in RECIPES.items():
        one = recipe(model, task, picture)[offset:, offset:]
        other = recipe(model, task, np.ascontiguousarray(picture[:, offset:, offset:]))
        edge = field.halo
        one, other = (ids[edge:-edge, edge:-edge] for ids in (one, other))
        count = len(np.unique(one[one > 0]))
        shares = (differing(other, one) / count, lost(one, other) / count)
        lines.append(f"| {name} | {offset} px | {count:,} | {shares[0]:.1%} | {shares[1]:.1%} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))
    if given.write is not None:
        write_table(given.write, BEGIN, lines)


if __name__ == "__main__":
    main()
