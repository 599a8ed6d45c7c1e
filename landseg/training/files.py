"""Images and the labels that belong to them, found by name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from landseg.errors import TrainingError
from landseg.geo.labels import is_vector

_IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt")
_SUFFIXES = ("", "_labels", "-labels", "_label", "_mask", "-mask")


@dataclass(frozen=True)
class Item:
    """An image, its label raster (None: polygons, or none), and what a list says of its split."""

    image: Path
    labels: Path | None = None
    split: str | None = None


def find_images(images: Sequence[str]) -> list[Path]:
    """Return the images in folders, globs, files and lists, by name.

    Raises:
        TrainingError: there is none.
    """
    return [item.image for item in _listed(images)]


def pair(images: Sequence[str], labels: str | None = None) -> list[Item]:
    """Return every image with its label raster.

    Raises:
        TrainingError: an image without one.
    """
    items = _listed(images)
    if labels is None or is_vector(Path(labels)):
        return items
    paired = [_with_labels(item, Path(labels)) for item in items]
    if missing := [item.image.name for item in paired if item.labels is None]:
        raise TrainingError(f"{len(missing)} images have no labels in {labels}, such as {missing[0]}")
    return paired


def scene_names(images: Sequence[Path]) -> list[str]:
    """A name for each image: its stem, and its folder's as well where two images have one stem."""
    stems = [image.stem for image in images]
    return [image.stem if stems.count(image.stem) == 1 else f"{image.parent.name}/{image.stem}" for image in images]


def _listed(images: Sequence[str]) -> list[Item]:
    found: dict[Path, Item] = {}
    for name in images:
        path = Path(name)
        if path.suffix.lower() == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    labels = row.get("label")
                    item = Item(
                        path.parent / row["image"], path.parent / labels if labels else None, row.get("split")
                    )
                    found[item.image] = item
            continue
        many = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else map(Path, sorted(glob(name)))
        for one in many:
            stem = one.stem.lower()
            if one.suffix.lower() in _IMAGES and not stem.endswith(("labels", "label", "mask")):
                found[one] = Item(one)
    if not found:
        raise TrainingError(f"no image in {', '.join(images)}: expected a folder, a glob, files or a list")
    return [found[path] for path in sorted(found)]


def _with_labels(item: Item, folder: Path) -> Item:
    if item.labels is not None:
        return item
    names = (folder / f"{item.image.stem}{end}{kind}" for end in _SUFFIXES for kind in (".png", ".tif", ".tiff"))
    path = next((path for path in names if path.exists() and path != item.image), None)
    return Item(item.image, folder if folder.is_file() else path, item.split)
