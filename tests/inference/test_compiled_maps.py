"""Maps of a network that really was compiled, in sections: those that PyTorch makes, in every way over a raster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor, nn

from landseg.inference.prediction import Prediction
from landseg.models.card import Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.upsample import AlignedUpsample
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.sections import Rows
from tests.parts.predicting import MODEL, noise, one, read

Write = Callable[..., Path]
FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32", "quiet": True}


class Small(nn.Module):
    """A network of everything that streaming minds: strides, dilation, a skip, an addition, two upsamplings."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, 24, 3, 2, 1)
        self.wide, self.each = nn.Conv2d(24, 72, 1), nn.Conv2d(72, 72, 5, 2, 2, groups=72)
        self.narrow, self.again = nn.Conv2d(72, 40, 1), nn.Conv2d(40, 40, 3, 1, 1)
        self.far = nn.Conv2d(40, 40, 3, 1, 6, dilation=6)
        self.up, self.mix = AlignedUpsample(2), nn.Conv2d(64, 32, 3, 1, 1)
        self.score, self.last = nn.Conv2d(32, classes, 1), AlignedUpsample(2)

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.relu(self.stem(x))
        coarse = self.narrow(torch.relu(self.each(torch.relu(self.wide(fine)))))
        coarse = torch.relu(coarse + self.again(coarse))
        coarse = torch.relu(self.far(coarse))
        mixed = torch.relu(self.mix(torch.cat([self.up(coarse, fine), fine], 1)))
        upsampled: Tensor = self.last(self.score(mixed), x)
        return upsampled


def small() -> Model:
    torch.manual_seed(0)
    card = MODEL.card
    network = Small(len(card.bands), card.channels).eval().requires_grad_(False)
    with torch.no_grad():
        network.score.weight.mul_(20)
    field = receptive_field(network)
    known = Field(field.size, field.stride, field.offset, field.halo)
    return Model(network, replace(card, name="small", receptive_field=known), Path("small.safetensors"), "small")


SMALL = small()
WAYS: dict[str, dict[str, Any]] = {
    "rows": {},
    "one thread": {"threads": 1},
    "windows": {"window": 256, "halo": "exact"},
    "flips": {"tta": "flips", "window": 192},
    "an area": {"aoi": "500010.5,5399850,500040,5399979.5"},
    "coarser": {"resolution": 1.25},
}


def mapped(source: Path, out: Path, **options: Any) -> Prediction:
    logits = out.with_name(f"{out.stem}_logits.tif")
    return one(predict(source, out, model=SMALL, logits=logits, **FP32, **options))


def assert_same_maps(first: Path, second: Path) -> None:
    """Logits agree to 1e-4 of the largest, and classes but where the two best are as near."""
    logits = []
    for path in (first, second):
        with rasterio.open(path.with_name(f"{path.stem}_logits.tif")) as raster:
            logits.append(np.nan_to_num(raster.read()))
    near = 1e-4 * float(np.abs(logits[0]).max())
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=near)
    best = np.sort(logits[0], axis=0)
    ties = best[-1] - best[-2] <= near
    assert (read(first) == read(second))[~ties].all() and ties.mean() < 0.5


def scene(write_raster: Write) -> Path:
    """A tall raster with holes, and with a gap that is long enough for the stream to stop and begin anew."""
    pixels = noise(900, 133)
    pixels[:, 250:640] = 0
    pixels[:, 100:130, 20:70] = 0
    return write_raster(pixels, nodata=0)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_map_that_pytorch_gives(way: str, write_raster: Write, tmp_path: Path) -> None:
    source, how = scene(write_raster), WAYS[way]
    made = {name: mapped(source, tmp_path / f"{name}.tif", runtime=name, **how) for name in ("torch", "onnx")}
    assert {name: one.runtime for name, one in made.items()} == {"torch": "torch", "onnx": "onnx"}
    assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_twin_an_area_without_what_lies_around_it_is_found(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, how = scene(write_raster), WAYS["an area"]
    mapped(source, tmp_path / "torch.tif", runtime="torch", **how)
    monkeypatch.setattr(CompiledNetwork, "halo", 0)
    mapped(source, tmp_path / "onnx.tif", runtime="onnx", **how)
    with pytest.raises(AssertionError):
        assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_blocks_of_columns_give_the_bits_of_the_whole(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landseg.tiling.compiled import ready

    source, real = write_raster(noise(200, 333)), ready.memory_of
    whole = mapped(source, tmp_path / "whole.tif", runtime="onnx")
    counted = real(CompiledNetwork(*recipe(), threads=1), (200, 333), 64)

    def no_room(network: CompiledNetwork, shape: tuple[int, int], strip: int) -> Any:
        return real(network, shape, strip) if shape[1] < 250 else replace(counted, piece=1 << 60)

    monkeypatch.setattr(ready, "memory_of", no_room)
    parts = mapped(source, tmp_path / "parts.tif", runtime="onnx")
    assert whole.windows == 1 < parts.windows and parts.halo > 0
    for name in ("whole", "parts"):
        assert (tmp_path / f"{name}.tif").is_file()
    np.testing.assert_array_equal(read(tmp_path / "whole_logits.tif"), read(tmp_path / "parts_logits.tif"))


def recipe() -> Any:
    from landseg.models.graph.write_recipe import recipe_of

    return recipe_of(SMALL.network, bands=len(SMALL.card.bands))


def test_a_killed_run_goes_on_to_the_same_bytes(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real = scene(write_raster), Outputs.commit
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
    mapped(source, tmp_path / "once" / "o.tif", runtime="onnx")
    steps: list[str] = []

    def killed(self: Outputs, step: str) -> None:
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(step)
        real(self, step)

    out = tmp_path / "twice" / "o.tif"
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            mapped(source, out, runtime="onnx")
    assert len(steps) == 2
    mapped(source, out, runtime="onnx", resume=True)
    for name in ("o.tif", "o_logits.tif"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_the_network_has_several_sections_and_kinds_of_steps() -> None:
    network = CompiledNetwork(*recipe())
    assert len(network.sections) > 2
    rows: Rows = network.rows
    assert all(len(rows.steps(part, 250, 64).times) > 1 for part in network.sections)
