"""Outputs of a small run, strip by strip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from landseg.classes import ClassMap, LandClass
from landseg.geo.grid import Grid, Rect
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets

CLASSES = ClassMap((LandClass(1, "building", (200, 30, 30)), LandClass(3, "road", (90, 90, 90))))


GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 30, 40)


SIGNATURE = {"model": "abc", "window": 512}


STRIPS = (Rect(0, 0, 24, 30), Rect(24, 0, 16, 30))


def layers_in(folder: Path) -> list[Layer]:
    classes = Layer.of_classes("classes", folder / "map.tif", CLASSES)
    return [classes, Layer.of_probs("probs", folder / "probs.tif", CLASSES)]


def pixels(rect: Rect) -> tuple[Any, Any, Any]:
    rows, columns = np.mgrid[rect.slices]
    values = np.where((rows // 5 + columns // 7) % 2, 1, 3).astype("uint8")
    probs = np.stack([(rows * 3 + columns) % 256, (rows + columns * 5) % 256]).astype("uint8")
    return values, probs, (rows + columns) % 11 > 0


def begin(folder: Path, **options: Any) -> Outputs:
    fixed = {"signature": SIGNATURE, "tags": {"version": "1.0", "command": "predict"}}
    how = {name: options.pop(name) for name in ("resume", "overwrite", "inputs", "can_resume") if name in options}
    targets = Targets(layers_in(folder), {folder / "notes.txt": ()}, **how)
    return Outputs.begin(targets, GRID, **{**fixed, **options})


def put(outputs: Outputs, rect: Rect) -> None:
    values, probs, valid = pixels(rect)
    outputs.write("classes", rect, values, valid)
    outputs.write("probs", rect, probs, valid)


def run(folder: Path, *, resume: bool = False, journal_first: bool = False) -> None:
    """A whole run; ``journal_first`` is the broken twin that records a step before its pixels are there."""
    if resume and Outputs.finished(folder / "map.tif", SIGNATURE):
        return
    with begin(folder, resume=resume) as outputs:
        if "measured" not in outputs.state:
            outputs.set_state("measured", 0.25)
        for rect in STRIPS:
            if f"row {rect.top}" in outputs.done:
                continue
            if journal_first:
                outputs._pending.update({layer.name: rect.area for layer in outputs.layers})
                outputs.commit(f"row {rect.top}")
            put(outputs, rect)
            if journal_first:
                outputs._pending.clear()
            else:
                outputs.commit(f"row {rect.top}")
        outputs.extra(folder / "notes.txt").write_text("polygons")
        outputs.finish({"disagreement": str(outputs.state["measured"])})
