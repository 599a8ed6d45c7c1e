"""COCO's panoptic format read with Pillow and json alone, each promise of the format held on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VOID = -1


@dataclass(frozen=True)
class Panoptic:
    """A panoptic map as it was read.

    Attributes:
        values: class values (h, w); VOID where there is no segment.
        ids: of objects (h, w); 0 where there is none.
        table: the content of panoptic.json.
    """

    values: NDArray[np.int64]
    ids: NDArray[np.int64]
    table: dict[str, Any]

    def segments(self) -> list[tuple[int, int]]:
        """Return the image and the id of every segment."""
        return [(one["image_id"], part["id"]) for one in self.table["annotations"] for part in one["segments_info"]]


def read_panoptic(folder: Path) -> Panoptic:
    """Return the map in a folder; fail where pictures and JSON do not hold the same segments."""
    table = json.loads((folder / "panoptic.json").read_text(encoding="utf-8"))
    things = {one["id"]: one["isthing"] for one in table["categories"]}
    images = {one["id"]: one for one in table["images"]}
    assert set(things.values()) <= {0, 1} and len(images) == len(table["images"])
    assert [one["image_id"] for one in table["annotations"]] == list(images)
    named = sorted(one["file_name"] for one in table["annotations"])
    assert named == sorted(path.name for path in folder.iterdir() if path.name != "panoptic.json")
    shape = table["info"]["height"], table["info"]["width"]
    values, ids = np.full(shape, VOID), np.zeros(shape, np.int64)
    for one in table["annotations"]:
        image = images[one["image_id"]]
        assert image["file_name"] == one["file_name"]
        shown = _ids(folder / one["file_name"])
        assert shown.shape == (image["height"], image["width"])
        here = (
            slice(image["row"], image["row"] + len(shown)),
            slice(image["column"], image["column"] + shown.shape[1]),
        )
        assert sorted(part["id"] for part in one["segments_info"]) == np.unique(shown[shown > 0]).tolist()
        for part in one["segments_info"]:
            inside = shown == part["id"]
            rows, columns = np.nonzero(inside)
            size = [int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
            assert part["bbox"] == [columns.min(), rows.min(), *size] and part["area"] == inside.sum()
            assert part["iscrowd"] == 0
            values[here][inside] = part["category_id"]
            ids[here][inside] = part.get("instance", part["id"]) if things[part["category_id"]] else 0
    return Panoptic(values, ids, table)


def _ids(path: Path) -> NDArray[np.int64]:
    """Return the ids (h, w) of the colours of a picture."""
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        red, green, blue = np.moveaxis(np.asarray(picture).astype(np.int64), -1, 0)
    return red + 256 * green + 256**2 * blue  # type: ignore[no-any-return]
