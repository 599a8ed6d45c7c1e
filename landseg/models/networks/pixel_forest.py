"""A random forest as a network: features of each pixel from layers with bounded reach, then a walk down all trees.

The trees are plain tables in the model file: no pickle, no code, and nothing of the library that grew them. A tree is
a step function: a feature that differs in its last bit may end in another leaf. So all of it runs in float32
(bfloat16 keeps 8 bits, less than thresholds lie apart), and the local means are average pools, whose sums have one
order wherever the raster is cut; convolutions choose theirs by the size of the window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.forest import Forest, LocalMean, Tones
from landseg.models.networks.catalogue import DEPTH, LEAVES, TREES, WINDOWS

_MOST_WINDOWS, _WIDEST, _MOST_FEATURES = 8, 255, 1 << 11


class PixelForest(nn.Module):
    """Scaled pixels (N, bands, H, W) to the logarithms of the forest's class probabilities (N, classes, H, W).

    Args:
        bands: input channels.
        classes: K.
        trees: how many.
        leaves: the most of one tree.
        depth: the most decisions from a root to a leaf.
        windows: sides in pixels of the squares that local means and variances are of; odd.

    Raises:
        ModelError: options out of their range.
    """

    precision = "fp32"
    """The only one that it computes in, see the module."""

    def __init__(
        self,
        bands: int,
        *,
        classes: int,
        trees: int = TREES,
        leaves: int = LEAVES,
        depth: int = DEPTH,
        windows: Sequence[int] = WINDOWS,
    ) -> None:
        super().__init__()
        self.bands, self.classes, self.windows = bands, classes, tuple(windows)
        self.features = PixelFeatures(bands, self.windows)
        self.forest = Forest(self.features.count, classes, trees=trees, leaves=leaves, depth=depth)

    @property
    def options(self) -> dict[str, int | tuple[int, ...]]:
        """What `build_network` makes it from."""
        forest = self.forest
        return {
            "trees": forest.trees, "leaves": forest.leaves, "depth": forest.depth, "windows": self.windows,
        }  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.forest(self.features(x))
        return result

    def check_tables(self) -> None:
        """Refuse trees that lead nowhere; see `Forest.check`."""
        self.forest.check()


class PixelFeatures(nn.Module):
    """What the trees look at: bands, their distance from the mean of all, and around each pixel means and variances.

    (N, bands, H, W) to (N, count, H, W). Trees do not care about a feature's scale, so that variances need no root.
    """

    def __init__(self, bands: int, windows: Sequence[int]) -> None:
        super().__init__()
        if not 0 < len(windows) <= _MOST_WINDOWS:
            raise ModelError(f"windows should be 1 to {_MOST_WINDOWS} sizes, got {len(windows)}")
        for size in windows:
            if not (type(size) is int and 3 <= size <= _WIDEST and size % 2):
                raise ModelError(f"windows should be odd numbers from 3 to {_WIDEST}, got {size}")
        self.tones = Tones() if bands > 1 else None
        self.means = nn.ModuleList(LocalMean(size) for size in windows)
        self.reach = max(windows) // 2  # pixels of context on each side
        self.count = bands * (1 + (bands > 1) + 2 * len(windows))
        if self.count > _MOST_FEATURES:
            got = f"{bands} bands make {self.count} features"
            raise ModelError(f"{got}, more than {_MOST_FEATURES}: take fewer bands")

    def forward(self, x: Tensor) -> Tensor:
        parts = [x] if self.tones is None else [x, self.tones(x)]
        squares = x * x
        for mean in self.means:
            local = mean(x)
            parts += [local, mean(squares) - local * local]
        return torch.cat(parts, 1)
