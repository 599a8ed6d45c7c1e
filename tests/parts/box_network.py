"""A network in NumPy, and the same in PyTorch: means of 3 x 3 pixels, zeros beyond the edges, bands mixed to classes.

It stands for a compiled network: it has all that an executor asks of one, and its results are easy to foresee.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.models.card import Field
from landseg.tiling.stream_plan import Memory, StreamPlan

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float32]
MIX = np.array([[3, -1, 0.5], [-2, 2, 1], [0.25, -1, 2]], np.float32)
"""The weight of each band (columns) for each class (rows)."""


@dataclass(frozen=True)
class BoxField:
    """The field of 3 x 3 pixels."""

    radius: int | None = 1
    halo: int | None = 1
    stride: int = 1
    unbounded_by: str | None = None


FIELD = Field(3, 1, 0.0, 1)
"""The same, as a card holds it."""


@dataclass(frozen=True)
class BoxNetwork:
    """The network in NumPy.

    Attributes:
        threads: that it was asked for.
        strip: rows of its plan.
        blocks: of columns in its plan.
    """

    threads: int = 1
    strip: int = 16
    blocks: int = 1
    period: int = 1
    bytes_per_pixel: float = 100.0
    why_not_streamed: str | None = None

    def run(self, images: Array) -> Array:
        """Return logits (N, 3, h, w) of images (N, 3, h, w)."""
        assert images.flags.c_contiguous and images.dtype == np.float32
        return mixed(np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1))))

    def rows(self, shape: tuple[int, int], *, region: Rect | None, strip: int) -> BoxRows:
        """Return one pass over a region."""
        return BoxRows(shape, region or Rect(0, 0, *shape))

    def plan(self, shape: tuple[int, int], *, limit: float, region: Rect | None, strip: int | None) -> StreamPlan:
        """Return strips, and blocks of columns."""
        area = region or Rect(0, 0, *shape)
        edges = [area.left + area.width * number // self.blocks for number in range(self.blocks + 1)]
        blocks = tuple(Rect(area.top, left, area.height, right - left) for left, right in pairwise(edges))
        halo = 1 if self.blocks > 1 else 0
        return StreamPlan(blocks, strip or self.strip, None, halo, Memory(1000, 1000, 0), 1.0)


class BoxRows:
    """One pass over a region of a raster."""

    def __init__(self, shape: tuple[int, int], region: Rect) -> None:
        self.region = region
        top, left = max(0, region.top - 1), max(0, region.left - 1)
        bottom, right = min(shape[0], region.bottom + 1), min(shape[1], region.right + 1)
        self.reads = Rect(top, left, bottom - top, right - left)
        self.due = region.top
        above = 1 if top == region.top else 0  # a row of zeros beyond the raster
        self._rows = np.zeros((1, 3, above, self.reads.width), np.float32)
        self._at, self._shape = top - above, shape

    def push(self, pixels: Array) -> list[tuple[int, Array]]:
        """Take the next rows and return the finished logits."""
        assert pixels.flags.c_contiguous and pixels.dtype == np.float32 and pixels.shape[3] == self.reads.width
        joined = np.concatenate([self._rows, pixels], axis=2)
        end = self._at + joined.shape[2]
        if end == self._shape[0]:  # the raster's last row: zeros beyond it
            joined = np.pad(joined, ((0, 0), (0, 0), (0, 1), (0, 0)))
        sides = [int(edge) for edge in (self.reads.left == self.region.left, self.reads.right == self.region.right)]
        made = mixed(np.pad(joined, ((0, 0), (0, 0), (0, 0), (sides[0], sides[1]))))
        first = self.due
        count = min(joined.shape[2] - 2, self.region.bottom - first)
        self._rows, self._at = joined[:, :, -2:], end - min(2, joined.shape[2])
        if count < 1:
            return []
        self.due = first + count
        return [(first, np.ascontiguousarray(made[:, :, :count]))]

    def rest(self) -> list[tuple[int, Array]]:
        """Return nothing: no row is on its way."""
        return []

    def __enter__(self) -> BoxRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None


def mixed(padded: Array) -> Array:
    """Return logits (N, 3, h, w) of images (N, 3, h + 2, w + 2)."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    boxes = sum(padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
    made: Array = np.einsum("cb,nbyx->ncyx", MIX, np.asarray(boxes, np.float32) / np.float32(9)).astype(np.float32)
    return made


def compiled(**changes: Any) -> Callable[..., tuple[Callable[[int], BoxNetwork], BoxField]]:
    """Return what stands in for `landseg.inference.runtimes.compiled_network`: this network, whatever the model."""
    return lambda model: (lambda threads: BoxNetwork(threads, **changes), BoxField())


def torch_box() -> nn.Module:
    """Return the network in PyTorch."""
    import torch

    layer = torch.nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(MIX / 9)[:, :, None, None].expand(3, 3, 3, 3))
    return torch.nn.Sequential(layer).eval()
