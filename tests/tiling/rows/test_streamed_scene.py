"""Streamed rows are the whole image's on a scene of 7.5 Mpx, for the model that ships and every bounded network."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor, nn

from landseg.models.file import load_model
from landseg.models.layers.fold import prepare_for_inference
from landseg.tiling.rows.buffers import BufferBlock, RowBuffer
from tests.parts.row_networks import NETWORKS, network_of
from tests.parts.streamed import streamed, whole

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 2499, 3001  # odd, and longer than the field of 1,473 either way
TOLERANCE = 1e-4  # relative to the largest logit
SHIPPED = ("shipped", "")


class Picture:
    """A tensor that a cache can be asked with."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels

    def cut(self, height: int, width: int) -> Tensor:
        return self._pixels[:, :, :height, :width]


@pytest.fixture(scope="module")
def scene(sample_tiles: Path) -> Tensor:
    """(1, 3, HEIGHT, WIDTH): the demo's scene, mirrored at its right and lower edges to be large enough."""
    with rasterio.open(sample_tiles / "banepa_scene.tif") as raster:
        pixels = raster.read([1, 2, 3])
    pixels = np.pad(pixels, ((0, 0), (0, HEIGHT - 2048), (0, WIDTH - 2048)), mode="symmetric")
    scaled = (torch.from_numpy(pixels).float()[None] - 127) / 128
    return scaled.contiguous(memory_format=torch.channels_last)


@cache
def ready(arch: str, encoder: str) -> nn.Module:
    network = load_model().network if (arch, encoder) == SHIPPED else deepcopy(network_of(arch, encoder))
    return prepare_for_inference(network.float().eval(), device=torch.device("cpu"), dtype=torch.float32)


@cache
def expected_of(arch: str, encoder: str, height: int, width: int, picture: Picture) -> Tensor:
    return whole(ready(arch, encoder), picture.cut(height, width))


@pytest.fixture(scope="module")
def picture(scene: Tensor) -> Picture:
    return Picture(scene)


def assert_same(got: Tensor, expected: Tensor) -> None:
    """Logits to the tolerance, classes but for near-ties."""
    scale = float(expected.abs().max())
    assert float((got - expected).abs().max()) <= TOLERANCE * scale
    best = expected.topk(2, dim=1).values
    changed = got.argmax(1) != expected.argmax(1)
    ties = (best[:, 0] - best[:, 1]) <= 2 * TOLERANCE * scale
    assert not (changed & ~ties).any() and float(changed.float().mean()) <= 1e-5


@pytest.mark.parametrize("strip", [16, 100, 256, 1000])
@pytest.mark.parametrize(("arch", "encoder"), [SHIPPED, *NETWORKS])
def test_any_strip_gives_the_whole(arch: str, encoder: str, strip: int, picture: Picture) -> None:
    chunk = None if strip == 1000 else 4 * strip
    got = streamed(ready(arch, encoder), picture.cut(HEIGHT, WIDTH), strip=strip, chunk=chunk, pushes=(strip,))
    assert_same(got, expected_of(arch, encoder, HEIGHT, WIDTH, picture))


@pytest.mark.parametrize(("arch", "encoder"), [SHIPPED, *NETWORKS])
def test_smaller_than_the_field(arch: str, encoder: str, picture: Picture) -> None:
    for height, width in ((333, 251), (1, 700), (47, 1)):
        got = streamed(ready(arch, encoder), picture.cut(height, width), strip=100, chunk=96, pushes=(33,))
        assert_same(got, expected_of(arch, encoder, height, width, picture))


def test_twin_one_row_too_few_is_caught(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = RowBuffer._fill

    def forgetful(self: RowBuffer, block: BufferBlock, *, with_new: bool) -> None:
        fill(self, block, with_new=with_new)
        if block.top < self._rows[0]:
            block.data[:, :, 0] = 0  # the first row that was kept is lost

    monkeypatch.setattr(RowBuffer, "_fill", forgetful)
    got = streamed(ready(*SHIPPED), picture.cut(600, 700), strip=100, pushes=(100,))
    with pytest.raises(AssertionError):
        assert_same(got, expected_of(*SHIPPED, 600, 700, picture))
