"""What touching costs: corners of the houses of a town where they stand, decoded from perfect maps.

    python benchmarks/keypoints_in_place.py [--polygons FILE] [--units 0.26 0.52 1.04]

Maps are drawn from the smallest rectangles (of the outlines, for paf) of all polygons by the encoder of each system,
so what is not found is lost by the system, whatever a network learns. A house is found if all its corners are
within 0.125 units, half a pixel at stride 4, or within 1 m. The default polygons are those of sample_tiles/buildings,
342 houses of Banepa, most of which stand within half a metre of another one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.dense.keypoints import associative, centre_corners, multicut, paf, personlab
from landseg.dense.keypoints.associative import Associative
from landseg.dense.keypoints.centre_corners import CentreCorners
from landseg.dense.keypoints.multicut import Multicut
from landseg.dense.keypoints.paf import AffinityFields
from landseg.dense.keypoints.personlab import PersonLab
from landseg.dense.keypoints.skeletons import OUTLINE, RECTANGLE
from landseg.dense.keypoints.system import Maps, Poses, System
from landseg.dense.keypoints.targets import farthest
from landseg.errors import PlanError
from landseg.vector.corners import outline_corners, rectangle_corners

HOUSES = Path(__file__).resolve().parent.parent / "sample_tiles/buildings/buildings.gpkg"
Floats = NDArray[np.float64]
Objects = Sequence[Floats]
Case = tuple[str, System, Maps, Objects]


def systems(rectangles: Objects, outlines: Objects, shape: tuple[int, int]) -> list[Case]:
    """Return each system with its perfect maps, and the corners that it is to find."""
    reach = farthest(rectangles)
    longest = 2 + max(float(np.linalg.norm(one - np.roll(one, 1, axis=0), axis=1).max()) for one in outlines)
    centres = CentreCorners(RECTANGLE, reach), centre_corners.encode(rectangles, RECTANGLE, shape)
    cuts = Multicut(RECTANGLE, reach), multicut.encode(rectangles, RECTANGLE, shape)
    tags = associative.encode(rectangles, RECTANGLE, shape, reach=reach)
    return [
        ("Objects as Points, no snapping", replace(centres[0], snap=0), centres[1], rectangles),
        ("Objects as Points", *centres, rectangles),
        ("PersonLab", PersonLab(RECTANGLE, reach), personlab.encode(rectangles, RECTANGLE, shape), rectangles),
        ("associative embedding", Associative(RECTANGLE, reach), tags, rectangles),
        ("multicut", *cuts, rectangles),
        ("multicut, greedy", replace(cuts[0], method="greedy"), cuts[1], rectangles),
        ("PAF, outlines", AffinityFields(OUTLINE, longest), paf.encode(outlines, OUTLINE, shape), outlines),
    ]


def found_within(found: Poses, objects: Objects, within: float) -> int:
    """Return the number of objects of which all corners were found within a distance, in any cyclic order."""
    count, left = 0, found.each()
    for truth in objects:
        orders = np.stack([np.roll(truth, shift, axis=0) for shift in range(len(truth))])
        errors = [np.linalg.norm(one - orders, axis=2).max(axis=1).min() for one in left if one.shape == truth.shape]
        count += bool(errors) and float(np.nanmin([*errors, np.inf])) <= within
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polygons", type=Path, default=HOUSES)
    parser.add_argument("--units", type=float, nargs="+", default=[0.26, 0.52, 1.04], help="metres")
    given = parser.parse_args()
    frame: Any = geopandas.read_file(given.polygons)
    frame = frame.to_crs(frame.estimate_utm_crs())
    shapes = np.asarray(frame.geometry)
    left, _, _, top = shapely.total_bounds(shapes)
    print("| unit | system | found, to half a pixel | found, to 1 m | objects | s |")
    print("|--:|---|--:|--:|--:|--:|")
    for unit in given.units:

        def to_units(corners: Objects, unit: float = unit) -> Objects:
            return [(one - [left, top]) * [1, -1] / unit + 8 for one in corners if len(one) > 2]

        rectangles = to_units(list(rectangle_corners(shapes, crs=frame.crs)))
        outlines = to_units(outline_corners(shapes, tolerance_m=0.5, crs=frame.crs))
        columns, rows = np.ceil(np.concatenate([*rectangles, *outlines]).max(axis=0)).astype(int) + 8
        for name, system, maps, objects in systems(rectangles, outlines, (int(rows), int(columns))):
            begin = time.process_time()
            try:
                found = system.decode(maps)
            except PlanError as error:
                print(f"| {unit:g} m | {name} | refused: {error} |")
                continue
            seconds = time.process_time() - begin
            hits = [f"{found_within(found, objects, within)} of {len(objects)}" for within in (0.125, 1 / unit)]
            print(f"| {unit:g} m | {name} | {hits[0]} | {hits[1]} | {len(found)} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
