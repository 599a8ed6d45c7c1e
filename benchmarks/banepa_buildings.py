"""How well a model finds the mapped buildings of Banepa, by default on the column of tiles that was kept out.

    python benchmarks/banepa_buildings.py --data DIR [--model M] [--tiles '386691_*']

DIR holds `buildings_banepa/`. Everything outside the polygons counts as no building: they are complete.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from landseg.classes import IGNORE_INDEX
from landseg.geo.rasters.source import FileSource
from landseg.labels.polygons import PolygonLabels
from landseg.metrics.confusion import Confusion
from landseg.models.file import load_model
from landseg.predict import predict


def counted(tiles: list[Path], polygons: Path, model_name: str | None) -> Confusion:
    """Building or not, over whole tiles predicted together."""
    model = load_model(model_name)
    building = model.card.classes.values[model.card.classes.names.index("building")]
    labels, confusion = PolygonLabels(polygons), Confusion(2)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "map.tif"
        predict(tiles, output, model=model, quiet=True)
        with FileSource(output) as found:
            values, valid = found.read(found.grid.rect)
            truth = labels.burn(found.grid).astype(np.uint8)
    confusion.update(np.where(valid, truth, np.uint8(IGNORE_INDEX)), (values[0] == building).astype(np.uint8))
    return confusion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--tiles", default="386691_*")
    options = parser.parse_args()
    folder = options.data / "buildings_banepa"
    tiles = sorted((folder / "tiles").glob(f"{options.tiles}.tif"))
    if not tiles:
        raise SystemExit(f"no tile is called like {options.tiles}")
    found = counted(tiles, folder / "buildings.gpkg", options.model)
    right, missed, wrong = (int(found.counts[place]) for place in ((1, 1), (1, 0), (0, 1)))
    print(f"{len(tiles)} tiles, {int(found.counts.sum()):,} pixels: IoU of buildings {found.iou()[1]:.3f}, "
          f"precision {right / max(1, right + wrong):.3f}, recall {right / max(1, right + missed):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
