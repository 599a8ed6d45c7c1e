"""A small network, rasters in memory and the engine around them: what the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landseg.geo.grid import Rect
from landseg.models.layers.upsample import AlignedUpsample
from landseg.tiling.collect import collect
from landseg.tiling.placement import GridPlacement
from landseg.tiling.runner import Runner
from landseg.tiling.stitch import CoreStitcher, Finished, Stitcher, WindowTarget
from landseg.tiling.windowed import Job
from landseg.tiling.windows import WindowPlan, plan_windows

CLASSES = 3
STRIDE = 4


class Small(nn.Module):
    """Two strided convolutions, a dilated one, an aligned upsampler: stride 4, radius 15."""

    def __init__(self, bands: int = 2, *, pooled: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(bands, 6, 5, stride=2, padding=2)
        self.second = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.third = nn.Conv2d(6, 6, 3, padding=2, dilation=2)
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else None
        self.score = nn.Conv2d(6, CLASSES, 1)
        self.upsample = AlignedUpsample(STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.first(x))
        features = torch.relu(self.second(features))
        features = torch.relu(self.third(features))
        if self.pool is not None:
            features = features + 3 * self.pool(features)
        scores: Tensor = self.upsample(self.score(features), x)
        return scores


def small_runner(*, bands: int = 2, pooled: bool = False, precision: str = "fp32") -> Runner:
    """A runner around `Small` with random weights that are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = Small(bands, pooled=pooled)
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.5)
    return Runner(network, mean=[100.0] * bands, std=[50.0] * bands, device="cpu", precision=precision)


def picture(height: int, width: int, *, bands: int = 2, seed: int = 0) -> NDArray[np.uint8]:
    """Noise (bands, height, width)."""
    return np.random.default_rng(seed).integers(0, 256, (bands, height, width), dtype=np.uint8)


def whole(runner: Runner, pixels: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Whole-image logits (K, h, w)."""
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    return runner.run([runner.prepare(pixels, valid)])[0]


def reader(
    runner: Runner, pixels: NDArray[Any], valid: NDArray[np.bool_], placement: GridPlacement
) -> Callable[[WindowTarget], tuple[Tensor | None, NDArray[np.bool_]]]:
    """What a job reads pieces with: pixels on the network's grid, validity on the source's."""

    def read(piece: WindowTarget) -> tuple[Tensor | None, NDArray[np.bool_]]:
        target = valid[piece.target.slices]
        if not target.any():
            return None, target
        here = pixels[(slice(None), *piece.window.rect.slices)]
        holes = np.ones(here.shape[1:], bool) if placement.factor != 1 else valid[piece.window.rect.slices]
        return runner.prepare(here, holes), target

    return read


def tiled(
    runner: Runner,
    pixels: NDArray[Any],
    *,
    plan: WindowPlan | None = None,
    stitcher: Stitcher | None = None,
    placement: GridPlacement | None = None,
    valid: NDArray[np.bool_] | None = None,
    batch: int = 1,
    **options: Any,
) -> NDArray[np.float32]:
    """Stitched logits (K, h, w) of the same picture, cropped by default."""
    shape = pixels.shape[1], pixels.shape[2]
    placement = placement or GridPlacement.same(shape)
    region = Rect(0, 0, *placement.source)
    if stitcher is None:
        stitcher = CoreStitcher(plan or plan_windows(shape, stride=STRIDE, **options), placement, region)
    valid = np.ones(placement.source, bool) if valid is None else valid
    job = Job(stitcher, reader(runner, pixels, valid, placement), runner.run, lambda _: {}, batch=batch, workers=2)
    return collect(job, region, CLASSES)[0]


class Record:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.rects: list[Rect] = []
        self.commits: list[str] = []

    def write(self, name: str, rect: Rect, pixels: Any, valid: Any = None) -> None:
        self.rects.append(rect)

    def commit(self, step: str) -> None:
        self.commits.append(step)


def finished(logits: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Finished:
    """Logits (K, h, w) as the stitcher hands them on."""
    height, width = logits.shape[1:]
    return Finished(Rect(0, 0, height, width), logits, np.ones((height, width), bool) if valid is None else valid)
