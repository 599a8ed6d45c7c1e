"""Logits on their way into rasters: what a temperature changes, and what it leaves alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landseg.dense.semantic import ClassDecoder
from landseg.metrics.calibration import tempered
from landseg.predict import predict
from landseg.refine import refine
from tests.parts.engine import finished
from tests.parts.predicting import MODEL, QUICK, noise, read

Write = Callable[..., Path]
TABLE = MODEL.card.classes
K = len(TABLE)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_probabilities_are_tempered_and_classes_and_logits_are_not(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (K, 40, 50)).astype(np.float32)
    layers = {"classes": "uint8", "probs": "float32", "confidence": "float32", "logits": "float32"}
    plain = ClassDecoder(TABLE, layers).decode(finished(logits))
    made = ClassDecoder(TABLE, layers, temperature=temperature).decode(finished(logits))
    for name in ("classes", "logits"):
        np.testing.assert_array_equal(made[name], plain[name])
    assert made["probs"] is not None and made["confidence"] is not None and plain["probs"] is not None
    np.testing.assert_allclose(made["probs"], tempered(plain["probs"], temperature), atol=1e-5)
    np.testing.assert_allclose(made["confidence"], made["probs"].max(0), rtol=1e-6)
    assert np.abs(made["probs"] - plain["probs"]).max() > 0.1  # twin: without it they differ


def test_predict_uses_the_cards_temperature_and_says_so(write_raster: Write, tmp_path: Path) -> None:
    source, card = write_raster(noise(60, 70)), replace(MODEL.card, temperature=2.0)
    options = {**QUICK, "probs_dtype": "float32"}
    for name, model in (("cold", MODEL), ("hot", replace(MODEL, card=card, hash="h"))):
        predict(source, tmp_path / f"{name}.tif", model=model, probs=tmp_path / f"{name}_p.tif", **options)
    np.testing.assert_array_equal(read(tmp_path / "hot.tif"), read(tmp_path / "cold.tif"))
    with rasterio.open(tmp_path / "cold_p.tif") as cold, rasterio.open(tmp_path / "hot_p.tif") as hot:
        np.testing.assert_allclose(hot.read(), tempered(cold.read(), 2.0), atol=1e-4)
        assert hot.tags()["LANDSEG_TEMPERATURE"] == "2.0" and "LANDSEG_TEMPERATURE" not in cold.tags()
    refine(tmp_path / "hot_p.tif", source, tmp_path / "r.tif", quiet=True)
    with rasterio.open(tmp_path / "r.tif") as refined:
        assert refined.tags()["LANDSEG_TEMPERATURE"] == "2.0"
