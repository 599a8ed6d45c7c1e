"""Rasters of probabilities that are too sure by a known temperature, and the truth drawn from the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from landseg.labels.legend import class_tag
from landseg.metrics.calibration import tempered
from tests.parts.predicting import MODEL

K = 3


TABLE = MODEL.card.classes


def drawn(
    temperature: float, shape: tuple[int, int] = (200, 300), *, spread: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities (K, h, w) that are too sure by a temperature, and a truth (h, w) drawn from the right ones."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, spread, (K, *shape))
    right = np.exp(logits - logits.max(0))
    right /= right.sum(0)
    truth = (right.cumsum(0) < rng.random(shape)).sum(0).clip(0, K - 1)
    return tempered(right, 1 / temperature).astype(np.float32), truth.astype(np.uint8)


def write_probs(
    path: Path, probs: NDArray[np.float32], *, dtype: str = "float32", left: float = 0, **tags: str
) -> str:
    """A raster of probabilities as `predict` writes it."""
    stored = np.rint(probs * 255).astype(np.uint8) if dtype == "uint8" else probs
    with rasterio.open(
        path, "w", driver="GTiff", count=len(probs), dtype=dtype, height=probs.shape[1], width=probs.shape[2],
        crs="EPSG:32645", transform=Affine(10, 0, 300_000 + left, 0, -10, 3_000_000),
    ) as file:  # fmt: skip
        file.write(stored)
        file.update_tags(**{"LANDSEG_CLASSES": class_tag(TABLE), **tags})
    return str(path)


def write_truth(path: Path, truth: NDArray[np.uint8], *, left: float = 0) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=truth.shape[0], width=truth.shape[1], nodata=0,
        crs="EPSG:32645", transform=Affine(10, 0, 300_000 + left, 0, -10, 3_000_000),
    ) as file:  # fmt: skip
        file.write(TABLE.to_values(truth), 1)
    return str(path)
