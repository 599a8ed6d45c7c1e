"""Maps of a compiled network that sees the whole input: windows as PyTorch's, and the stream refused in its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landseg.errors import PlanError
from landseg.inference.prediction import Prediction
from landseg.models.card import Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.upsample import AlignedUpsample
from landseg.predict import predict
from landseg.tiling.compiled.whole_network import WholeNetwork
from tests.inference.test_compiled_maps import FP32, assert_same_maps
from tests.parts.predicting import MODEL, noise, one

Write = Callable[..., Path]
WAYS: dict[str, dict[str, Any]] = {"windows": {"window": 96, "halo": 16}, "flips": {"tta": "flips"}, "the whole": {}}


class Seeing(nn.Module):
    """A network with a gate from the mean of its features, and that mean beside them."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(bands, 24, 3, 2, 1), nn.Conv2d(24, 24, 1)
        self.pool, self.squeeze = nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 8, 1)
        self.score, self.last = nn.Conv2d(32, classes, 1), AlignedUpsample(2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.stem(x))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        pooled = torch.relu(self.squeeze(self.pool(y))).expand(-1, -1, y.shape[-2], y.shape[-1])
        upsampled: Tensor = self.last(self.score(torch.cat([y, pooled], 1)), x)
        return upsampled


def seeing() -> Model:
    torch.manual_seed(0)
    network = Seeing(len(MODEL.card.bands), MODEL.card.channels).eval().requires_grad_(False)
    field = receptive_field(network)
    known = Field(field.size, field.stride, field.offset, field.halo)
    card = replace(MODEL.card, name="seeing", receptive_field=known)
    return Model(network, card, Path("seeing.safetensors"), "seeing")


SEEING = seeing()


def mapped(source: Path, out: Path, **options: Any) -> Prediction:
    logits = out.with_name(f"{out.stem}_logits.tif")
    return one(predict(source, out, model=SEEING, logits=logits, **FP32, **options))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_map_that_pytorch_gives(way: str, write_raster: Write, tmp_path: Path) -> None:
    source, how = write_raster(noise(150, 133)), WAYS[way]
    made = {name: mapped(source, tmp_path / f"{name}.tif", runtime=name, **how) for name in ("torch", "onnx")}
    assert {name: (one.runtime, one.engine) for name, one in made.items()} == {
        name: (name, "windows") for name in ("torch", "onnx")
    }
    assert made["torch"].mode == made["onnx"].mode and made["torch"].halo == made["onnx"].halo
    assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_twin_a_map_of_other_windows_is_found(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real = write_raster(noise(150, 133)), WholeNetwork.run
    mapped(source, tmp_path / "torch.tif", runtime="torch", **WAYS["windows"])
    monkeypatch.setattr(WholeNetwork, "run", lambda self, images: real(self, np.roll(images, 1, axis=3)))
    mapped(source, tmp_path / "onnx.tif", runtime="onnx", **WAYS["windows"])
    with pytest.raises(AssertionError):
        assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_the_stream_is_refused_in_the_same_words(write_raster: Write, tmp_path: Path) -> None:
    said = []
    for name in ("torch", "onnx"):
        with pytest.raises(PlanError, match="cannot be streamed") as refused:
            mapped(write_raster(noise(60, 60)), tmp_path / "o.tif", runtime=name, engine="stream")
        said.append(str(refused.value))
    assert said[0] == said[1] and "mean" in said[0]


def test_auto_takes_it(write_raster: Write, tmp_path: Path) -> None:
    made = mapped(write_raster(noise(60, 60)), tmp_path / "o.tif")
    assert (made.runtime, made.engine) == ("onnx", "windows")
