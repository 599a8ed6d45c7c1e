"""The costs of windows: memory and time by the pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20


@dataclass(frozen=True)
class Costs:
    """The bytes that a run takes, as far as windows decide about them.

    Attributes:
        base: of the process before its first window.
        network: a window's pixel, while the network runs on it.
        waiting: a window's pixel, read and scaled, before its turn.
        result: a window's pixel, its logits and the layers that are made of them.
        limit: of the whole process.
        ahead: windows read before their turn, and being read.
        device: bytes free on a GPU, None where the network runs in the process's own memory.
        kept: how much more the network takes where freed memory is kept, which is faster.
        grows: pixels by which the rectangle that is computed at once may be higher, and wider, than its window.
    """

    base: float
    network: float
    waiting: float
    result: float
    limit: float
    ahead: int = 2
    device: float | None = None
    kept: float = 1.0
    grows: int = 0

    @property
    def sums(self) -> float:
        """The bytes that blending may take."""
        return self.limit / 16

    def held(self, window: tuple[int, int], shape: tuple[int, int]) -> int:
        """Return the pixels that a window (height, width) of a grid of ``shape`` holds at once."""
        height, width = (min(pixels, length + self.grows) for pixels, length in zip(shape, window, strict=True))
        return height * width

    def per_pixel(self, batch: int = 1) -> float:
        """Return the process's bytes for each pixel of a window."""
        waiting = (self.ahead + batch) * self.waiting
        results = (2 * batch + 1) * self.result  # being stitched, queued, coming out of the network
        return waiting + results + (0 if self.device is not None else batch * self.network)

    def total(self, pixels: float, batch: int = 1) -> float:
        """Return the process's bytes with windows of so many pixels."""
        return self.base + self.sums + pixels * self.per_pixel(batch)

    def total_kept(self, pixels: float, batch: int = 1) -> float:
        """Return the process's bytes with windows of so many pixels, where freed memory is kept between layers."""
        more = 0 if self.device is not None else (self.kept - 1) * batch * self.network * pixels
        return self.total(pixels, batch) + more

    def keeps(self, pixels: float, batch: int = 1) -> bool:
        """Return True if memory can be kept between layers with windows of so many pixels."""
        return self.device is None and self.total_kept(pixels, batch) <= self.limit

    def most(self, batch: int = 1) -> float:
        """Return the pixels of the largest window inside all limits."""
        most = (self.limit - self.sums - self.base) / self.per_pixel(batch)
        return most if self.device is None else min(most, self.device / (batch * self.network))


def slowdown(pixels: NDArray[np.float64], costs: Costs, batch: int = 1) -> NDArray[np.float64]:
    """Return the factor by which a pixel takes longer in windows of so many pixels.

    On two Zen 4 cores the shipped network ran at 6.8 to 7.0 Mpx/s at 512^2, 1024^2 and 2048^2 (bf16) while freed
    memory was kept, and at 6.8, 4.4 and 3.7 Mpx/s while it was not; large pages won back a fifth.
    """
    fresh = 1.0 + 0.3 * np.clip(np.log2(np.maximum(pixels, 1) / (1 << 18)) / 2, 0.0, 2.0)
    each = costs.per_pixel(batch) + (costs.kept - 1) * batch * costs.network
    kept = (costs.limit - costs.base - costs.sums) / each
    factor: NDArray[np.float64] = np.where(pixels <= kept, 1.0, fresh)
    return factor if costs.device is None else np.ones_like(pixels)
