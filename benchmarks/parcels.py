"""The table of docs/panoptic.md: fields of six scenes of Iowa that were kept out, by several groupings of one model.

    python benchmarks/parcels.py DATA WORK [--steps 1280] [--seed 0] [--panoptic-fpn 30m] [--write docs/panoptic.md]

DATA holds scenes `field_NN.tif`, each with its fields in a `.gpkg` beside it. WORK gets the models; those that are
there are not trained again. The rise, the lowest score and the smallest area of each grouping are chosen on the
scenes that were learned from. A scene is one forward pass.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.houses import run
from benchmarks.pages import write_table
from landseg.dense.flood import flood
from landseg.dense.grouping import Maps, group
from landseg.dense.instance_choice import choose
from landseg.dense.instance_measure import InstanceMeasure
from landseg.dense.instances import ENERGIES, Instances
from landseg.dense.task import Example
from landseg.geo.rasters.source import FileSource
from landseg.labels.instances import NONE, ObjectPolygons, parts_of
from landseg.labels.polygons import PolygonLabels
from landseg.models.file import Model, load_model
from landseg.tiling.scaling import Scaling

BEGIN = "<!-- table: python benchmarks/parcels.py -->"
KEPT = ("00", "05", "10", "15", "20", "25")
CLASSES = Path(__file__).resolve().parent.parent / "sample_tiles" / "parcels" / "classes.toml"
FIGURES = ("ap50", "ap", "precision", "recall", "f1", "pq")
Found = tuple[NDArray[np.uint32], NDArray[np.float32]]
"""The ids (h, w) of a scene, and the score of each (n,)."""


def example(model: Model, path: Path) -> Example:
    """Return the network's output for a scene, and its fields."""
    card = model.card
    with FileSource(path) as source:
        grid = source.grid
        pixels, valid = source.read(grid.rect)
    scaled = Scaling(card.means, card.stds, fill=card.fill).planar(pixels, valid)
    with torch.inference_mode():
        output = model.network(torch.from_numpy(scaled))[0].numpy()
    polygons = parts_of(PolygonLabels(path.with_suffix(".gpkg")))
    ids = ObjectPolygons(polygons, np.ones(len(polygons), bool), beyond=NONE).on(grid).read(grid.rect)
    thing = card.classes.things[0]
    classes = np.where(ids > 0, thing, 1 - thing).astype(np.uint8)
    return Example(output, valid, {"class": classes, "instance": ids})


def pieces(maps: Maps, thing: int, *, inside: NDArray[np.bool_] | None = None) -> Found:
    """Return the four-connected pieces of the class of fields, scored by their mean probability.

    With ``inside`` they are those of these pixels alone, grown back to the nearest pixels of the class.
    """
    mask = maps.classes == thing
    ids = flood(np.zeros(mask.shape, np.uint16), mask if inside is None else mask & inside, rise=math.inf)
    if inside is not None and ids.any():
        rows, columns = distance_transform_edt(ids == 0, return_distances=False, return_indices=True)
        ids = np.where(mask, ids[rows, columns], 0).astype(np.uint32)
    count = int(ids.max(initial=0))
    sums = np.bincount(ids.ravel(), maps.probability.ravel(), count + 1)[1:]
    score = sums / np.maximum(1, np.bincount(ids.ravel(), minlength=count + 1)[1:]) / 255
    return ids, score.astype(np.float32)


def measured(task: Instances, examples: list[Example], found: Callable[[Example], Found]) -> dict[str, float]:
    """Return the figures of a grouping over scenes, with the IoU of the pixels of fields."""
    measure = InstanceMeasure(task.classes)
    for number, one in enumerate(examples):
        ids, scores = found(one)
        maps = task.maps(one.output, one.valid)
        values = task.classes.to_values(maps.classes, one.valid)
        layers = {"classes": values, "instances": ids, "scores": scores}
        measure.update(layers, one.valid, one.labels, raster=number)
    thing = task.classes.names[task.classes.things[0]]
    return {**measure.figures(), "iou": measure.summary().per_class[thing]["iou"]}


def ways(task: Instances, learned: list[Example]) -> Iterator[tuple[str, Callable[[Example], Found]]]:
    """Yield each grouping by its name, with options chosen on scenes that were learned from."""
    thing = task.classes.things[0]
    yield "pieces of the class map", lambda one: pieces(task.maps(one.output, one.valid), thing)

    def grown(one: Example) -> Found:
        maps = task.maps(one.output, one.valid)
        return pieces(maps, thing, inside=maps.boundary < 128)

    yield "interiors (boundary < 0.5), grown back", grown
    for energy in ENERGIES:

        def maps_of(kind: str, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Maps:
            return task.maps(output, valid, energy=kind)

        options, line = choose(
            maps_of, task.classes, {"energy": energy, "min_area_m2": 0.0}, lambda: learned, energies=()
        )
        print(energy, line, file=sys.stderr)

        def flooded(one: Example, energy: str = energy, options: Any = options) -> Found:
            maps = task.maps(one.output, one.valid, energy=energy)
            ids, things = group(maps, task.classes.things, rise=options["rise"], least_score=options["score"])
            return ids, things.score

        yield f"flood on {energy}, rise {options['rise']:g}, score {options['score']:g}", flooded


def train(data: Path, model: Path, *words: object) -> float | None:
    """Train a model without the scenes that are kept out, unless it is there; return its processor seconds."""
    if model.exists():
        return None
    kept = [word for number in KEPT for word in ("--keep-out", f"field_{number}")]
    learn = ["--things", "--background", "background", "--classes", CLASSES, *kept]
    return run("train", data / "*.tif", data / "*.gpkg", *learn, *words, "-o", model)


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1280, help="about 45 minutes on two cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.work / f"fields{given.seed}.safetensors"
    learned = train(given.data, path, "--steps", given.steps, "--seed", given.seed, "--scale", "0.5,1.5")
    model = load_model(path)
    task = Instances(model.card.classes, model.card.task_options)
    scenes = sorted(given.data.glob("field_*.tif"))
    kept = [example(model, scene) for scene in scenes if scene.stem[-2:] in KEPT]
    others = [example(model, scene) for scene in scenes if scene.stem[-2:] not in KEPT]
    lines = ["| grouping | AP50 | AP | precision | recall | F1 | PQ | pixel IoU |", f"|---|{'--:|' * 7}"]
    for name, found in ways(task, others):
        figures = measured(task, kept, found)
        lines.append(f"| {name} | {' | '.join(f'{figures[one]:.3f}' for one in (*FIGURES, 'iou'))} |")
        print(lines[-1], file=sys.stderr)
    print("\n".join(lines))
    if learned is not None:
        print(f"{learned:,.0f} processor seconds of training")
    if given.write is not None:
        write_table(given.write, BEGIN, lines)


if __name__ == "__main__":
    main()
