"""A small scene with probabilities and imagery, to be refined."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from landseg.crf import fast
from landseg.crf.energy import CrfOptions, Scene
from landseg.crf.inputs import Evidence
from landseg.geo.grid import Rect
from landseg.geo.tags import CLASSES

Array = NDArray[np.float64]


def picture(height: int, width: int, *, bands: int = 3, seed: int = 1) -> tuple[Array, Array, NDArray[np.intp]]:
    """An image of curved regions with noise, poor probabilities of its three classes, and the truth."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    disc = (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < height * width / 16
    truth = (columns + 4 * np.sin(rows / 6) > width / 2).astype(np.intp) + disc
    shades = [60.0 * truth * (b + 1) / bands + 10 * np.sin(rows / 7 + b) for b in range(bands)]
    image = np.stack(shades) + rng.normal(0, 4, (bands, height, width))
    logits = rng.normal(0, 1.2, (3, height, width)) + (np.arange(3)[:, None, None] == truth)
    probs = np.exp(logits)
    return image, probs / probs.sum(0), truth


Write = Callable[..., Path]


Array = NDArray[Any]


SMALL = CrfOptions(2, 4.0, 1.5, 12.0, 3.0, 0.8)


ASKED: dict[str, Any] = {
    "iterations": 2,
    "bilateral_xy": 1.5,
    "bilateral_bands": 12.0,
    "spatial_xy": 0.8,
    "quiet": True,
}


TABLE = [{"value": v, "name": n, "color": [v, 90, 90]} for v, n in ((1, "roof"), (2, "land"), (5, "water"))]


def scene(height: int = 90, width: int = 100, *, bands: int = 3, seed: int = 1) -> tuple[Array, Array]:
    """8-bit imagery and float32 probabilities of three classes."""
    image, probs, _ = picture(height, width, bands=bands, seed=seed)
    return image.clip(0, 255).astype("uint8"), probs.astype("float32")


def files(write: Write, image: Array, probs: Array, **how: Any) -> tuple[Path, Path]:
    """Both on disk, the probabilities with a class table."""
    path = write(probs, "probs.tif", nodata=float("nan"), **how)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(**{CLASSES: json.dumps({"classes": TABLE, "ignore": []})})
    return path, write(image, "image.tif", **how)


def read(path: Path) -> Array:
    with rasterio.open(path) as raster:
        return raster.read()


def whole(image: Array, probs: Array, options: CrfOptions = SMALL, *, valid: Any = None, **how: Any) -> Array:
    return fast.refine(probs, Scene.of(image, valid, **how), options)


def values(probs: Array) -> Array:
    return np.array([1, 2, 5], np.uint8)[probs.argmax(0)]


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """From the window of this number on, reading ends with the error."""
    left, look = [number], Evidence.read

    def looks(self: Evidence, rect: Rect) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise error
        return look(self, rect)

    monkeypatch.setattr(Evidence, "read", looks)
