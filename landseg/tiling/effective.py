"""The effective receptive field (Luo et al. 2016): what a network looks at of all that it may see, on one picture."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def evidence_at(network: nn.Module, inputs: Tensor, at: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """Return how strongly the top class's logit at one pixel depends on every input pixel, and that class's index.

    Args:
        network: in eval mode; maps (1, C, H, W) to logits (1, K, H, W).
        inputs: (1, C, H, W), scaled as the network expects it.
        at: (row, column) of the pixel.

    Returns:
        (H, W), the absolute gradient summed over the bands; nothing is normalised.
    """
    with torch.enable_grad():
        seen = inputs.detach().clone().requires_grad_()
        logits = network(seen)[0, :, at[0], at[1]]
        best = int(logits.argmax())
        (gradient,) = torch.autograd.grad(logits[best], seen)
    return gradient[0].abs().sum(0).numpy(), best


def side_holding(weights: NDArray[np.floating], at: tuple[int, int], share: float) -> int:
    """Return the side of the smallest square around a pixel that holds a share of all weights, edges or not.

    >>> side_holding(np.ones((5, 5)), (2, 2), 0.3)
    3
    """
    rows, columns = np.ogrid[: weights.shape[0], : weights.shape[1]]
    ring = np.maximum(abs(rows - at[0]), abs(columns - at[1]))
    held = np.cumsum(np.bincount(ring.ravel(), weights.ravel().astype(np.float64)))
    return 2 * int(np.searchsorted(held, share * held[-1])) + 1
