"""A random forest as a network: features of each pixel from layers with bounded reach, then the decision trees.

The trees are plain tables in the model file: no pickle, no code, and no object of the library that grew them. A tree
is a step function: a feature that differs in its last bit may end in another leaf. So the network runs in float32
(the 8 bits of bfloat16 do not tell thresholds apart), and the local means are average pools, whose order of sums
does not depend on the cuts of the raster; in convolutions it depends on the size of the window.
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
    """A network from scaled pixels (N, bands, H, W) to logarithms of class probabilities (N, classes, H, W).

    Args:
        bands: input channels.
        classes: K.
        trees: number of trees.
        leaves: maximum number of leaves of a tree.
        depth: maximum number of decisions from a root to a leaf.
        windows: sides in pixels of the squares of local means and variances; odd.

    Raises:
        ModelError: an option is out of its range.
    """

    precision = "fp32"
    """The only precision of this network, see the module."""

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
        """The options with which `build_network` makes this network."""
        forest = self.forest
        return {
            "trees": forest.trees, "leaves": forest.leaves, "depth": forest.depth, "windows": self.windows,
        }  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.forest(self.features(x))
        return result

    def check_tables(self) -> None:
        """Raise ModelError if a tree is broken; see `Forest.check`."""
        self.forest.check()


class PixelFeatures(nn.Module):
    """The features of the trees: bands, their differences from the mean of all, and local means and variances.

    From (N, bands, H, W) to (N, count, H, W). Trees ignore the scale of a feature, so variances need no root.
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
