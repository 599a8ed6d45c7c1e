"""A small model, rasters of noise, and the map that whole-image inference makes of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning

from landseg.classes import ClassMap, LandClass
from landseg.inference.prediction import Prediction, Predictions
from landseg.models.card import Band, Card, Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.tiling.runner import Runner
from tests.parts.engine import Small, whole

TABLE = ClassMap(tuple(LandClass(v, n, (v, 90, 90)) for v, n in ((1, "roof"), (2, "land"), (5, "water"))))


def small_model(bands: int = 3, *, dtype: str = "uint8", pooled: bool = False, **changes: Any) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Small(bands, pooled=pooled)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    rgb = ("red", "green", "blue")
    names = rgb if bands == 3 else tuple(f"band{number}" for number in range(bands))
    common = rgb if bands == 3 else (None,) * bands
    card = Card(
        name="small",
        description="for tests",
        arch="small",
        encoder="none",
        bands=tuple(Band(n, c, 100.0, 50.0) for n, c in zip(names, common, strict=True)),
        classes=TABLE,
        receptive_field=Field.of(receptive_field(network)),
        parameters=1,
        licence="none",
        dtypes=(dtype,),
        **changes,
    )
    return Model(network.eval(), card, Path("small.safetensors"), f"hash of {bands} {dtype}")


MODEL = small_model()


QUICK: dict[str, Any] = {"device": "cpu", "precision": "fp32", "quiet": True}


def noise(height: int, width: int, *, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (bands, height, width)).astype(dtype)


def expected(pixels: np.ndarray, model: Model = MODEL, valid: np.ndarray | None = None) -> np.ndarray:
    """Class values of whole-image inference."""
    runner = Runner(model.network, mean=model.card.means, std=model.card.stds, device="cpu", precision="fp32")
    logits = whole(runner, pixels, valid)
    values: np.ndarray = TABLE.to_values(logits.argmax(axis=0), valid)
    return values


def one(result: Prediction | Predictions) -> Prediction:
    assert isinstance(result, Prediction)
    return result


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            return raster.read(1)  # type: ignore[no-any-return]
