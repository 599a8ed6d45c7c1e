"""Receptive fields held against gradients."""

from __future__ import annotations

from torch import nn

from tests.parts.evidence import centroid, evidence, linearised, span


def check_evidence(network: nn.Module, radius: int, stride: int) -> tuple[int, int]:
    """The widest reach over all phases; the evidence's centroid must be the pixel at each of them."""
    start = -(-(radius + 8) // stride) * stride  # the first phase whose whole field lies inside
    width = start + stride + radius + 8
    probe = linearised(network)
    low = high = 0
    for column in range(start, start + stride):
        weights = evidence(probe, column, bands=3, width=width, height=32)
        assert abs(centroid(weights) - column) <= 0.1, f"phase {column - start}: {centroid(weights) - column:+.2f} px"
        first, last = span(weights)
        low, high = min(low, first - column), max(high, last - column)
    return low, high
