"""From raw pixels to what a network sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """The network sees ``(raw - mean) / std`` by band, and 0 where there is no data."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Scale (N, C, H, W) raw pixels; ``valid`` is (N, H, W)."""
        shape, device = (1, -1, 1, 1), pixels.device
        mean, std = (torch.tensor(values, device=device).view(shape) for values in (self.mean, self.std))
        return torch.where(valid[:, None], (pixels - mean) / std, 0.0)
