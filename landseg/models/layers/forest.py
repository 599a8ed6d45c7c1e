"""The layers of a pixel forest: features with bounded reach, and the decision trees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import LeafLayer

_MOST_TREES, _MOST_LEAVES, _MOST_DEPTH = 512, 1 << 14, 64
_MOST_NODES, _MOST_VALUES = 1 << 23, 1 << 26

CHUNK = 1 << 15
"""Pixels at a time on a CPU: few enough for their features to stay in the processor's cache."""
_CHUNK_GPU = 1 << 20

_LEAST = 1e-7  # the smallest probability, since 0 has no logarithm
_SUM = 1e-3  # tolerance of the sum of a leaf's probabilities, which should be 1


class LocalMean(LeafLayer):
    """A layer that takes the mean of the part of a square around each pixel that lies inside the image."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.kernel_size, self.stride, self.padding = (size, size), (1, 1), (size // 2, size // 2)

    def forward(self, x: Tensor) -> Tensor:
        inside = [counted(units, 0, units, self.size, device=x.device) for units in x.shape[-2:]]
        return square_sums(x, self.size, self.padding) / (inside[0][:, None] * inside[1])

    def extra_repr(self) -> str:
        return f"size={self.size}"


def square_sums(x: Tensor, size: int, padding: tuple[int, int]) -> Tensor:
    """Return sums over squares, down the columns and then along rows: 2 * size additions, not size ** 2."""
    x = F.avg_pool2d(x, (size, 1), 1, (padding[0], 0), divisor_override=1)
    return F.avg_pool2d(x, (1, size), 1, (0, padding[1]), divisor_override=1)


def counted(units: int, start: int, stop: int, size: int, *, device: torch.device) -> Tensor:
    """Return the number of the ``size`` units around each of ``start``..``stop`` that lie in 0..``units``."""
    first = torch.arange(start, stop, device=device) - size // 2
    inside: Tensor = (first + size).clamp(max=units) - first.clamp(min=0)
    return inside.float()


class Tones(LeafLayer):
    """A layer that subtracts the mean of all bands from each band; the result depends least on the light."""

    def forward(self, x: Tensor) -> Tensor:
        total = x[:, :1]
        for band in range(1, x.shape[1]):  # always in this order, on which the last bits of a sum depend
            total = total + x[:, band : band + 1]
        return x - total / x.shape[1]


class Forest(LeafLayer):
    """A layer from features (N, F, H, W) to logarithms of the trees' mean class probabilities, (N, K, H, W).

    Each tree has ``2 * leaves - 1`` nodes, its root first and every node before its children. The tables are vectors,
    one tree behind the other, in float32 in model files:

    - ``feature``: index of the feature that a node compares; -1 for a leaf.
    - ``threshold``: pixels with a larger feature go right, others left.
    - ``child``: the left child of a decision (the right child follows it), or a leaf's row of probabilities.
    - ``probability``: (trees, leaves, K).

    In a new forest every tree is a single leaf, in which all classes are equally probable.
    """

    def __init__(self, features: int, classes: int, *, trees: int, leaves: int, depth: int) -> None:
        super().__init__()
        for what, number, most in (
            ("trees", trees, _MOST_TREES), ("leaves", leaves, _MOST_LEAVES), ("depth", depth, _MOST_DEPTH),
        ):  # fmt: skip
            if not (type(number) is int and 1 <= number <= most):
                raise ModelError(f"{what} should be a whole number from 1 to {most}, got {number}")
        self.count, self.classes = features, classes
        self.trees, self.leaves, self.depth, self.nodes = trees, leaves, depth, 2 * leaves - 1
        if trees * self.nodes > _MOST_NODES or trees * leaves * classes > _MOST_VALUES:
            raise ModelError(f"{trees} trees of {leaves} leaves are too many for memory: take fewer of either")
        nodes, values = trees * self.nodes, trees * leaves * classes
        self.feature = _table(torch.full((nodes,), -1, dtype=torch.int16))
        self.threshold = _table(torch.zeros(nodes))
        self.child = _table(torch.zeros(nodes, dtype=torch.int32))
        self.probability = _table(torch.full((values,), 1 / classes))

    def forward(self, x: Tensor) -> Tensor:
        tables = self._tables()
        result = x.new_empty((x.shape[0], self.classes, *x.shape[2:]), dtype=torch.float32)
        chunk = _CHUNK_GPU if x.device.type == "cuda" else CHUNK
        for image, out in zip(x.flatten(2), result.flatten(2), strict=True):
            for start in range(0, image.shape[1], chunk):
                pixels = image[:, start : start + chunk].to(torch.float32).contiguous()
                mean = self._votes(pixels, *tables) / self.trees
                out[:, start : start + chunk] = mean.clamp_min_(_LEAST).log_().t()
        return result

    def _tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return feature, threshold, left child and row of the leaf, each (trees, nodes). Leaves lead to themselves,
        so that all pixels take the same number of steps."""
        feature, child = (table.view(self.trees, self.nodes) for table in (self.feature, self.child))
        inner, own = feature >= 0, torch.arange(self.nodes, dtype=torch.int32, device=feature.device)
        threshold = torch.where(inner, self.threshold.view_as(feature), torch.inf)
        left = torch.where(inner, child, own)
        return feature.clamp(min=0).to(torch.int32), threshold, left, torch.where(inner, 0, child)

    def _votes(self, x: Tensor, feature: Tensor, threshold: Tensor, left: Tensor, leaf: Tensor) -> Tensor:
        """Return the sum of the trees' probabilities, (n, K), of pixels (F, n)."""
        count = x.shape[1]
        flat, pixel = x.flatten(), torch.arange(count, dtype=torch.int32, device=x.device)
        first = feature * count  # position of the first pixel's feature in the flat features
        rows = self.probability.view(self.trees, self.leaves, self.classes)
        votes = x.new_zeros((count, self.classes))
        for tree in range(self.trees):
            node = torch.zeros_like(pixel)
            for _ in range(self.depth):
                value = flat.index_select(0, first[tree].index_select(0, node).add_(pixel))
                right = value > threshold[tree].index_select(0, node)
                node = left[tree].index_select(0, node).add_(right)
            votes += rows[tree].index_select(0, leaf[tree].index_select(0, node))
        return votes

    def check(self) -> None:
        """Raise ModelError if a path down a tree could leave the tables, run in a circle or end at no leaf."""
        feature, child = (table.view(self.trees, self.nodes).long() for table in (self.feature, self.child))
        inner, own = feature >= 0, torch.arange(self.nodes, device=feature.device)
        if bool(((feature < -1) | (feature >= self.count)).any()):
            raise ModelError(f"a tree compares a feature that does not exist: expected 0 to {self.count - 1}")
        if bool((inner & ((child <= own) | (child >= self.nodes - 1))).any()):
            raise ModelError("a decision of a tree does not lead to nodes behind it")
        if bool((~inner & ((child < 0) | (child >= self.leaves))).any()):
            raise ModelError(f"a tree's leaf has no row of probabilities: expected 0 to {self.leaves - 1}")
        if not bool(torch.isfinite(self.threshold).all()):
            raise ModelError("a tree's threshold is no finite number")
        rows = self.probability.view(-1, self.classes)
        if not (bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() <= _SUM).all())):
            raise ModelError("the class probabilities of a leaf should be 0 or more, with a sum of 1")
        here = torch.zeros_like(inner)
        here[:, 0] = True
        for _ in range(self.depth):
            tree, node = (here & inner).nonzero(as_tuple=True)
            here = torch.zeros_like(inner)
            here[tree, child[tree, node]] = here[tree, child[tree, node] + 1] = True
        if bool((here & inner).any()):
            raise ModelError(f"a tree has more than {self.depth} decisions in a row, the depth in its card")

    def extra_repr(self) -> str:
        return f"trees={self.trees}, leaves={self.leaves}, depth={self.depth}"


def _table(values: Tensor) -> nn.Parameter:
    """Return a parameter of values, which counts as learned: a card may ask for no more than its file holds."""
    return nn.Parameter(values, requires_grad=False)
