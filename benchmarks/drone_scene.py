"""How a model does on the drone scene of the demo, which no training saw, at the places that were labelled by eye.

    python benchmarks/drone_scene.py [--model M]

The samples (sample_tiles/banepa_scene_samples.geojson) are a few dozen polygons, not a survey: they tell a map that
is right from one that is not, no more.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from landseg.classes import IGNORE_INDEX
from landseg.geo.rasters.source import FileSource
from landseg.labels.polygons import PolygonLabels
from landseg.metrics.confusion import Confusion
from landseg.models.file import load_model
from landseg.predict import predict

SAMPLES = Path(__file__).resolve().parent.parent / "sample_tiles"


def sampled(model_name: str | None) -> tuple[tuple[str, ...], Confusion]:
    """Class names, and the counts at the samples."""
    model = load_model(model_name)
    classes = model.card.classes
    labels = PolygonLabels(SAMPLES / "banepa_scene_samples.geojson", "class")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "map.tif"
        predict(SAMPLES / "banepa_scene.tif", output, model=model, quiet=True)
        with FileSource(output) as found:
            values, valid = found.read(found.grid.rect)
            named = {name: index for index, name in enumerate(classes.names)}
            truth = labels.burn_names(found.grid, named, IGNORE_INDEX)
    truth[~valid] = IGNORE_INDEX
    confusion = Confusion(len(classes))
    confusion.update(truth, classes.to_indices_and_unmapped(values[0], valid)[0])
    return classes.names, confusion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    names, confusion = sampled(parser.parse_args().model)
    width = max(len(name) for name in names) + 2
    print("truth \\ map".ljust(width) + "".join(name.rjust(12) for name in names) + "     right")
    for name, row in zip(names, confusion.counts, strict=True):
        share = row[names.index(name)] / max(1, row.sum())
        print(name.ljust(width) + "".join(f"{count:12d}" for count in row) + f"{share:10.3f}")
    print(f"right of all {confusion.pixel_accuracy():.3f}, mean IoU {confusion.mean_iou():.3f}")


if __name__ == "__main__":
    main()
