"""Folders of panoptic maps in COCO's format for tests, drawn by another library than landseg's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.parts.reference_panoptic import Side

NAMES = ("field", "water", "house", "wood")
THINGS = (True, False, True, False)
CATEGORIES = [
    {"id": 10 * k + 7, "name": name, "isthing": int(thing)}
    for k, (name, thing) in enumerate(zip(NAMES, THINGS, strict=True))
]


def draw(path: Path, ids: Any) -> None:
    """Write segment ids (h, w) as the colours of COCO's panoptic pictures."""
    values = np.asarray(ids, np.uint32)
    Image.fromarray(np.stack([values % 256, values // 256 % 256, values // 65536], -1).astype(np.uint8)).save(path)


def table(sides: Sequence[Side], *, categories: Any = CATEGORIES) -> dict[str, Any]:
    """Return the JSON of images, whose ids are 100, 101 and so on; no categories where they are None."""
    own = CATEGORIES if categories is None else categories
    annotations = []
    for number, side in enumerate(sides, 100):
        rows = [{"id": i, "category_id": own[k]["id"], "iscrowd": int(crowd)} for i, k, crowd in side.segments]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": rows})
    return {"annotations": annotations} | ({} if categories is None else {"categories": categories})


def write_panoptic(folder: Path, sides: Sequence[Side], *, beside: bool = False, **options: Any) -> Path:
    """Write a folder with `panoptic.json` in it, or ``beside`` it a JSON of its own name, as panopticapi does."""
    folder.mkdir()
    for number, side in enumerate(sides):
        draw(folder / f"{100 + number}.png", side.ids)
    json_path = folder.with_name(f"{folder.name}.json") if beside else folder / "panoptic.json"
    json_path.write_text(json.dumps(table(sides, **options)))
    return folder
